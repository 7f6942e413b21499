"""A release for hosts without internet: made by ``make release``, installed and used with the network off."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import traffic_aggr
from tests.support.paths import ROOT

NO_NETWORK = ("unshare", "--map-root-user", "--net")


def run(*command: object, **environment: str) -> str:
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        list(map(str, command)), env={**known, **environment}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def without_network() -> tuple[str, ...]:
    if shutil.which("unshare") is None or subprocess.run([*NO_NETWORK, "true"], check=False).returncode:
        return ()  # pip is told not to look for an index either way
    return NO_NETWORK


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / ".git").exists():
        pytest.skip("a release is made from a clone")
    home = tmp_path_factory.mktemp("release")
    run("git", "clone", "--quiet", ROOT, home / "clone")
    # This test's environment is set up already, and is not that of the clone.
    told = run("make", "-C", home / "clone", "--old-file", "setup", f"VENV={sys.prefix}", "release")
    archive = home / "clone" / "build" / f"traffic_aggr-{traffic_aggr.__version__}.tar.gz"
    assert f"{archive.relative_to(home / 'clone')}; on the host without internet: deploy/install-offline" in told
    run("tar", "xzf", archive, "-C", home)
    return home / archive.name.removesuffix(".tar.gz")


def test_it_is_installed_and_works_without_a_network(unpacked: Path, without_network: tuple[str, ...]) -> None:
    told = run(*without_network, unpacked / "deploy" / "install-offline", PYTHON=sys.executable)
    assert f"installed into {unpacked}/.venv" in told

    launcher = unpacked / "spark-submit.sh"
    package = importlib.util.find_spec("pyspark")
    assert package is not None
    assert package.origin is not None
    set_up = {"SPARK_HOME": str(Path(package.origin).parent), "TRAFFIC_AGGR_DEMO": str(unpacked / "demo")}
    assert run(*without_network, launcher, "--version", **set_up).strip() == traffic_aggr.__version__
    assert "RUN" in run(*without_network, launcher, "history", **set_up)


def test_a_clone_without_wheels_says_what_packs_them() -> None:
    done = subprocess.run([ROOT / "deploy" / "install-offline"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "install-offline: the directory wheelhouse is missing; unpack an archive of `make release`\n"
