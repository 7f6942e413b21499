"""The built wheel and sdist: nothing is missing, and the job runs from the wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installation
from tests.support.paths import ROOT

DIRECTORIES = (".ci", "bench", "conf", "deploy", "devtools", "docs", "jobs", "tests", "traffic_aggr")
FILES = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "Makefile", "README.md", "constraints-spark4.txt")
FILES += ("constraints.txt", "pyproject.toml", "setup.cfg", "spark-submit.sh")


def files_below(root: Path) -> Iterator[Path]:
    """The files of the project below a directory of it, without what Python and linters leave there."""
    for path in root.rglob("*"):
        if (
            path.is_file()
            and "__pycache__" not in path.parts
            and not any(part.endswith("_cache") for part in path.parts)
        ):
            yield path.relative_to(ROOT)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the sdist of this project, built without a network."""
    project, out = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("built")
    for name in (*FILES, *DIRECTORIES):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, project / name)
    code = f"from setuptools import build_meta as b; b.build_wheel({str(out)!r}); b.build_sdist({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel's content alone."""
    directory = tmp_path_factory.mktemp("installed")
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory)
    return directory


def test_the_wheel_has_every_file_of_the_package_and_no_other(installed: Path) -> None:
    found = {path.relative_to(installed) for path in (installed / "traffic_aggr").rglob("*") if path.is_file()}
    assert found == set(files_below(ROOT / "traffic_aggr"))
    assert {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} == {"traffic_aggr"}


def test_the_sdist_has_every_file_of_the_project(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        found = {Path(*Path(member.name).parts[1:]) for member in archive.getmembers() if member.isfile()}
    expected = {*map(Path, FILES), *(path for name in DIRECTORIES for path in files_below(ROOT / name))}
    assert expected - found == set()


@pytest.mark.spark
@pytest.mark.slow
def test_the_job_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    job = Installation(tmp_path)
    python = ("env", f"PYTHONPATH={installed}", sys.executable)
    where = subprocess.run(
        [*python, "-c", "import traffic_aggr.cli.main as main; print(main.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert where.stdout.startswith(str(installed))
    program = (*python, "-m", "traffic_aggr")

    sizes = ("--days", "2", "--rows-per-day", "50")
    code, _, err = job.run("sample-data", "--out", str(tmp_path / "sample"), *sizes, launcher=program)
    assert code == 0, err
    code, out, err = job.run("run", "--dates", "2021-04-01..2021-04-02", launcher=program)

    assert code == 0, err
    assert "raw = staging = final" in out
    (report,) = tmp_path.rglob("report.html")
    assert "raw, staging and final agree on every day" in report.read_text()
