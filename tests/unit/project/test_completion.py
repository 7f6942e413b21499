"""Completion: the scripts in deploy are those of the parser, and bash completes with its own."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from devtools.completion import FILES, script

# As readline does: words up to the one to complete, and which that is.
COMPLETE = """
source {file}
COMP_WORDS=({words}) COMP_CWORD={last}
{function}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("my.yaml", "my list.txt"):
        (tmp_path / name).touch()
    (tmp_path / "mine").mkdir()
    return tmp_path


def completed(directory: Path, *words: str, program: str = "traffic-aggr") -> list[str]:
    """What bash offers for the last of ``words``, in ``directory``."""
    file = shlex.quote(str(FILES["bash"]))
    function = f"$(complete -p {program} | sed 's/.* -F \\([^ ]*\\) .*/\\1/')"
    text = COMPLETE.format(file=file, words=shlex.join([program, *words]), last=len(words), function=function)
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", text], cwd=directory, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    return sorted(filter(None, done.stdout.splitlines()))


@pytest.mark.parametrize("shell", FILES)
def test_the_scripts_are_those_of_the_parser(shell: str) -> None:
    assert FILES[shell].read_text(encoding="utf-8") == script(shell), "run python -m devtools.completion"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["re"], ["recover", "report"]),
        (["in"], []),
        (["ro"], ["rollback"]),
        (["run", "--da"], ["--dates"]),
        (["run", "--from-step", ""], ["drop", "load", "stage"]),
        (["cleanup", "--"], ["--config", "--dry-run", "--help", "--json", "--yes"]),
        (["run", "--config", "my"], ["my list.txt", "my.yaml"]),
        (["run", "--dry-run", "--config", "my."], ["my.yaml"]),
        (["import-properties", "my."], ["my.yaml"]),
        (["sample-data", "--out", "m"], ["mine"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bash_completes(directory: Path, words: list[str], offered: list[str]) -> None:
    assert completed(directory, *words) == offered


def test_bash_completes_all_files_where_nothing_is_typed_yet(directory: Path) -> None:
    assert completed(directory, "status", "--config", "") == ["mine", "my list.txt", "my.yaml"]


def test_bash_completes_the_launcher_too(directory: Path) -> None:
    assert completed(directory, "stat", program="spark-submit.sh") == ["status"]


def test_zsh_understands_its_script() -> None:
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("zsh is not installed (Debian: zsh)")
    subprocess.run([zsh, "-n", FILES["zsh"]], check=True, timeout=30)
