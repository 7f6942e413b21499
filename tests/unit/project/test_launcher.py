"""
spark-submit.sh and the job script, in a copy of the project whose command line is a stand-in that tells what it got.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

STAND_IN = """
import json, os, sys

def main(argv=None):
    arguments = sys.argv[1:]
    if arguments[0] == "exit":
        return int(arguments[1])
    if arguments[0] == "import":
        __import__(arguments[1])
    json.dump({"arguments": arguments, "pid": os.getpid(), "environment": dict(os.environ), "package": __file__,
               "directory": os.getcwd(), "stdout": sys.stdout.encoding}, sys.stdout, ensure_ascii=False)
    return 0
"""
# A Python without the packages of the environment that runs the tests, which have PySpark among them.
BARE_PYTHON = '#!/bin/sh\nexec "{python}" -S "$@"\n'


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project directory, with a blank in its name, whose .venv runs this Python."""
    root = tmp_path / "the project"
    shutil.copytree(ROOT / "jobs", root / "jobs")
    shutil.copy(ROOT / "spark-submit.sh", root)
    script(root / "traffic_aggr" / "__init__.py", "")
    script(root / "traffic_aggr" / "cli" / "main.py", STAND_IN)
    script(root / ".venv" / "bin" / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    return root


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    return script(tmp_path / "bare" / "python", BARE_PYTHON.format(python=sys.executable))


@pytest.fixture
def spark_home(tmp_path: Path) -> Path:
    """A directory laid out like Spark's, with a PySpark of its own."""
    home = tmp_path / "spark home"
    script(home / "bin" / "spark-submit", "#!/bin/sh\n")
    library = home / "python" / "lib"
    library.mkdir(parents=True)
    with zipfile.ZipFile(library / "pyspark.zip", "w") as archive:
        archive.writestr("pyspark/__init__.py", "")
    return home


def launch(launcher: Path, *arguments: str, cwd: Path = Path("/"), **environment: str) -> subprocess.CompletedProcess:
    """Runs the launcher as cron would: nothing in the environment but what is given."""
    return subprocess.run(
        ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in environment.items()), str(launcher), *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def told(launcher: Path, *arguments: str, cwd: Path = Path("/"), **environment: str) -> dict[str, Any]:
    """What the stand-in got."""
    done = launch(launcher, *arguments, cwd=cwd, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def refusal(done: subprocess.CompletedProcess) -> str:
    """The one line with which the launcher refused."""
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("traffic-aggr: ")
    line: str = done.stderr
    return line


@pytest.mark.parametrize("language", ["C", "en_US.UTF-8", "POSIX"])
def test_it_starts_with_an_empty_environment_in_any_directory(project: Path, tmp_path: Path, language: str) -> None:
    answer = told(project / "spark-submit.sh", "status", cwd=tmp_path, LANG=language)

    assert answer["directory"] == str(tmp_path)
    assert answer["package"] == str(project / "traffic_aggr" / "cli" / "main.py")


def test_it_starts_through_symlinks(project: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("the project/spark-submit.sh")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "job").symlink_to("../link")

    assert told(tmp_path / "bin" / "job", "status")["package"] == str(project / "traffic_aggr" / "cli" / "main.py")


def test_arguments_arrive_as_they_were_given(project: Path) -> None:
    given = ["run", "--partitions", "a b", "", "*", "$HOME", "–ü"]

    assert told(project / "spark-submit.sh", *given, LANG="C")["arguments"] == given


def test_text_is_utf_8_in_the_c_locale(project: Path) -> None:
    assert told(project / "spark-submit.sh", "status", LC_ALL="C")["stdout"] == "utf-8"


@pytest.mark.parametrize("code", [0, 1, 2, 3, 75, 130, 143])
def test_the_exit_code_is_the_driver_s(project: Path, code: int) -> None:
    assert launch(project / "spark-submit.sh", "exit", str(code)).returncode == code


def test_the_process_is_the_driver_s(project: Path) -> None:
    with subprocess.Popen([project / "spark-submit.sh", "status"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        answer = json.load(process.stdout)

    assert answer["pid"] == process.pid


def test_the_configuration_is_the_project_s_own_by_default(project: Path) -> None:
    environment = told(project / "spark-submit.sh", "status")["environment"]

    assert environment["TRAFFIC_AGGR_CONFIG"] == str(project / "conf" / "local.yaml")


def test_a_configuration_in_the_environment_is_left_alone(project: Path) -> None:
    environment = told(project / "spark-submit.sh", "status", TRAFFIC_AGGR_CONFIG="mine.yaml")["environment"]

    assert environment["TRAFFIC_AGGR_CONFIG"] == "mine.yaml"


def test_files_in_the_current_directory_are_no_modules(project: Path, tmp_path: Path) -> None:
    for name in ("json", "yaml", "pyspark", "traffic_aggr"):
        script(tmp_path / "cwd" / f"{name}.py", "raise SystemExit('the wrong module')")

    assert told(project / "spark-submit.sh", "status", cwd=tmp_path / "cwd")["arguments"] == ["status"]


def test_the_python_of_the_environment_wins_over_the_project_s(project: Path, tmp_path: Path) -> None:
    script(project / ".venv" / "bin" / "python", "#!/bin/sh\nexit 99\n")

    told(project / "spark-submit.sh", "status", TRAFFIC_AGGR_PYTHON=sys.executable)


def test_the_path_s_python3_is_used_where_the_project_has_none(project: Path, tmp_path: Path) -> None:
    (project / ".venv" / "bin" / "python").replace(script(tmp_path / "bin" / "python3", ""))

    told(project / "spark-submit.sh", "status", PATH=f"{tmp_path / 'bin'}:{os.defpath}")


def test_spark_home_s_pyspark_is_used(project: Path, spark_home: Path, bare_python: Path) -> None:
    answer = told(
        project / "spark-submit.sh", "status", SPARK_HOME=str(spark_home), TRAFFIC_AGGR_PYTHON=str(bare_python)
    )

    assert str(spark_home / "python" / "lib" / "pyspark.zip") in answer["environment"]["PYTHONPATH"].split(":")


def test_a_python_path_in_the_environment_is_kept_behind_ours(project: Path) -> None:
    path = told(project / "spark-submit.sh", "status", PYTHONPATH="/site/lib")["environment"]["PYTHONPATH"]

    assert path == f"{project}:/site/lib"


def test_a_wrong_python_is_refused(project: Path) -> None:
    line = refusal(launch(project / "spark-submit.sh", "status", TRAFFIC_AGGR_PYTHON="/nowhere/python"))

    assert "TRAFFIC_AGGR_PYTHON=/nowhere/python" in line


def test_no_python_is_refused(project: Path, tmp_path: Path) -> None:
    (project / ".venv" / "bin" / "python").unlink()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "readlink"):
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)

    assert "no Python found" in refusal(launch(project / "spark-submit.sh", "status", PATH=str(programs)))


def test_an_old_python_is_refused(project: Path, tmp_path: Path) -> None:
    pretend = 'import runpy, sys; sys.version_info = (3, 8, 0); runpy.run_path(sys.argv[1], run_name="__main__")'
    old = script(tmp_path / "old" / "python", f'#!/bin/sh\nexec "{sys.executable}" -c \'{pretend}\' "$@"\n')

    assert "not Python 3.9" in refusal(launch(project / "spark-submit.sh", "status", TRAFFIC_AGGR_PYTHON=str(old)))


def test_no_spark_is_refused(project: Path, bare_python: Path) -> None:
    line = refusal(launch(project / "spark-submit.sh", "status", TRAFFIC_AGGR_PYTHON=str(bare_python)))

    assert "no PySpark" in line


def test_a_wrong_spark_home_is_refused(project: Path) -> None:
    line = refusal(launch(project / "spark-submit.sh", "status", SPARK_HOME="/nowhere"))

    assert "SPARK_HOME=/nowhere" in line


def test_a_missing_package_is_refused_by_name(project: Path) -> None:
    script(project / "traffic_aggr" / "cli" / "main.py", "import a_package_that_is_missing")

    assert "a_package_that_is_missing" in refusal(launch(project / "spark-submit.sh", "status"))


def test_the_job_script_alone_finds_its_project(project: Path, spark_home: Path, bare_python: Path) -> None:
    done = subprocess.run(
        [bare_python, project / "jobs" / "traffic_adhoc_aggr.py", "status"],
        cwd="/",
        env={"PYTHONPATH": str(spark_home / "python" / "lib" / "pyspark.zip")},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert json.loads(done.stdout)["package"] == str(project / "traffic_aggr" / "cli" / "main.py")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("path", ["spark-submit.sh", ".ci/run", "deploy/install-offline"])
def test_shellcheck_finds_nothing(path: str) -> None:
    done = subprocess.run(["shellcheck", ROOT / path], capture_output=True, text=True, timeout=60)

    assert done.stdout == ""
