"""The command that messages name is the one to type."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from traffic_aggr.run.command_line import CommandLine, program

JOB = "/opt/x/jobs/traffic_adhoc_aggr.py"


@pytest.mark.parametrize(
    ("argv", "environment", "words"),
    [
        ([JOB], {"TRAFFIC_AGGR_PROGRAM": "/opt/x/spark-submit.sh"}, ("/opt/x/spark-submit.sh",)),
        ([JOB], {"PYSPARK_GATEWAY_PORT": "1"}, ("spark-submit", JOB)),
        (["/opt/x/traffic_aggr/__main__.py"], {}, (sys.executable, "-m", "traffic_aggr")),
        (["/usr/lib/pytest/__main__.py"], {}, ("traffic-aggr",)),
    ],
)  # fmt: skip
def test_the_program_is_named_as_it_was_started(
    argv: list[str], environment: dict[str, str], words: tuple[str, ...]
) -> None:
    assert program(argv, environment) == words


@pytest.mark.parametrize("on_path", [True, False])
def test_the_console_script_goes_by_its_name_only_where_the_shell_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_path: bool
) -> None:
    script = tmp_path / "traffic-aggr"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) if on_path else "/nowhere")
    assert program([str(script)], {}) == (("traffic-aggr",) if on_path else (str(script),))


def test_a_command_is_quoted_and_a_resumed_one_does_not_start_at_a_step_again() -> None:
    typed = CommandLine(("/opt/my job",), "/etc/a b.yaml", ("run", "--dates", "2021-04-01..2021-04-02"), "load")
    assert typed.of("recover") == "'/opt/my job' recover --config '/etc/a b.yaml'"
    again = "'/opt/my job' run --dates 2021-04-01..2021-04-02"
    assert typed.again(resumed=True) == f"{again} --config '/etc/a b.yaml'"
    assert typed.again(resumed=False) == f"{again} --from-step load --config '/etc/a b.yaml'"
