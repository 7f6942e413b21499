"""Hooks, by real commands."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from traffic_aggr.host import hooks
from traffic_aggr.host.hooks import run_after_load

RUN_ID = "20210504T020200Z-0a1b2c"


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="traffic_aggr.host.hooks")


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_hook_knows_the_run(tmp_path: Path) -> None:
    run_after_load([["sh", "-c", f'echo "$TRAFFIC_AGGR_RUN_ID" > {tmp_path}/id']], RUN_ID)
    assert (tmp_path / "id").read_text() == f"{RUN_ID}\n"


def test_a_hook_keeps_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE", "a site")
    run_after_load([["sh", "-c", f'echo "$SITE" > {tmp_path}/site']], RUN_ID)
    assert (tmp_path / "site").read_text() == "a site\n"


def test_no_shell_looks_at_the_arguments(tmp_path: Path) -> None:
    write = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    run_after_load([python(write, str(tmp_path / "argument"), "$HOME; *")], RUN_ID)
    assert (tmp_path / "argument").read_text() == "$HOME; *"


def test_a_command_can_name_the_restated_partitions(tmp_path: Path) -> None:
    command = ["sh", "-c", 'echo "$0" > "$1"', "--only={partitions}", str(tmp_path / "named")]
    run_after_load([command], RUN_ID, ["2021-04-01", "2021-04-02"])
    assert (tmp_path / "named").read_text() == "--only=2021-04-01,2021-04-02\n"


def test_what_a_hook_says_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    run_after_load([["sh", "-c", "echo out; echo err >&2"]], RUN_ID)
    assert [text for text in caplog.messages if text in ("hook sh: out", "hook sh: err")] == [
        "hook sh: out",
        "hook sh: err",
    ]
    assert warnings(caplog) == []


def test_of_a_talkative_hook_the_last_lines_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    run_after_load([["seq", "1000"]], RUN_ID)
    assert [text for text in caplog.messages if text.startswith("hook seq:")] == [
        f"hook seq: {number}" for number in range(981, 1001)
    ]


def test_bytes_that_are_no_text_are_logged_as_far_as_they_go(caplog: pytest.LogCaptureFixture) -> None:
    run_after_load([["printf", r"\377 odd\n"]], RUN_ID)
    assert any(text.endswith(" odd") for text in caplog.messages)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param(["false"], "exit code 1", id="fails"),
        pytest.param(["sh", "-c", "kill -9 $$"], "exit code -9", id="is killed"),
        pytest.param(["/no/such/command"], "No such file", id="is missing"),
        pytest.param(["/etc/passwd"], "Permission denied", id="is no program"),
    ],
)
def test_a_hook_that_fails_is_a_warning_and_the_next_one_runs(
    command: list[str], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_after_load([command, ["touch", str(tmp_path / "next")]], RUN_ID)
    (warning,) = warnings(caplog)
    assert warning.startswith(f"hook {command[0]} failed")
    assert said in warning
    assert warning.endswith("the loaded data stays")
    assert (tmp_path / "next").exists()


def test_a_hook_that_hangs_is_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "LIMIT_S", 0.2)
    run_after_load([["sleep", "60"], ["touch", str(tmp_path / "next")]], RUN_ID)
    (warning,) = warnings(caplog)
    assert "timed out" in warning
    assert (tmp_path / "next").exists()


def test_a_hook_may_leave_something_running(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the old job started its housekeeping script: in the background, with the output of the hook.
    monkeypatch.setattr(hooks, "LIMIT_S", 2)
    run_after_load([["sh", "-c", "sleep 10 & echo started"]], RUN_ID)
    assert warnings(caplog) == []
    assert "hook sh: started" in caplog.messages


def test_a_hook_cannot_wait_for_input(caplog: pytest.LogCaptureFixture) -> None:
    run_after_load([["cat"]], RUN_ID)
    assert warnings(caplog) == []


def test_without_hooks_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    run_after_load([], RUN_ID)
    assert caplog.messages == []
