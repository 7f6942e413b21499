"""What is made of a command's arguments: the days, and the command in a form that works from any directory."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.main import build_parser
from traffic_aggr.errors import ConfigError, PartitionListError
from traffic_aggr.run.plan import Step

CONFIG = """
partitions: {file: days, max_per_run: 3, empty_list: %s}
impala: {enabled: false}
state: {dir: state, status_file: status, lock_file: lock}
logs: {dir: logs}
notify: {smtp: {host: null}, alert_file: alerts.jsonl}
"""
RUN_ID = "20210504T020200Z-0a1b2c"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with ``job.yaml``."""
    (tmp_path / "job.yaml").write_text(CONFIG % "ok")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAFFIC_AGGR_CONFIG", "job.yaml")
    monkeypatch.setenv("TRAFFIC_AGGR_PROGRAM", "spark-submit.sh")
    return tmp_path


def invocation(*arguments: str) -> Invocation:
    return Invocation(build_parser().parse_args(arguments), None)


def test_the_default_configuration_is_that_of_the_checkout_from_any_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAFFIC_AGGR_CONFIG")
    assert invocation("status").typed.config == str(ROOT / "conf" / "local.yaml")


@pytest.mark.parametrize(
    ("arguments", "again"),
    [
        ("run", "run"),
        ("run --dates 2021-04-01..2021-04-02", "run --dates 2021-04-01..2021-04-02"),
        ("run --month 2021-04 --dry-run", "run --month 2021-04 --dry-run"),
        ("run --partitions days", "run --partitions {home}/days"),
        ("run --partitions hdfs://nn/days", "run --partitions hdfs://nn/days"),
        ("plan --partitions days", "plan --partitions {home}/days"),
        (f"rollback {RUN_ID}", f"rollback {RUN_ID}"),
        ("cleanup --dry-run", "cleanup --dry-run"),
    ],
)
def test_the_command_can_be_typed_again_in_any_directory(home: Path, arguments: str, again: str) -> None:
    typed = invocation(*arguments.split()).typed
    command, *rest = again.format(home=home).split()
    positional = [word for word in rest if word == RUN_ID]
    options = [word for word in rest if word != RUN_ID]
    words = ["spark-submit.sh", command, *options, *positional, "--config", f"{home}/job.yaml"]
    assert shlex.split(typed.again(resumed=True)) == words


def test_a_command_that_resumes_starts_where_the_other_one_stopped() -> None:
    typed = invocation("run", "--from-step", "load").typed
    assert "--from-step" not in typed.again(resumed=True)
    assert "run --from-step load" in typed.again(resumed=False)


def test_the_option_comes_before_the_environment(home: Path) -> None:
    (home / "other.yaml").write_text(CONFIG % "ok")
    assert invocation("run", "--config", "other.yaml").config.path.name == "other.yaml"
    assert invocation("run").config.path.name == "job.yaml"


def test_a_configuration_that_is_missing_is_named(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        assert invocation("run", "--config", "none.yaml").config is None


@pytest.mark.parametrize(
    ("arguments", "days"),
    [
        ((), ["2021-04-01", "2021-04-03"]),
        (("--partitions", "others"), ["2021-03-31"]),
        (("--dates", "2021-04-29..2021-05-01"), ["2021-04-29", "2021-04-30", "2021-05-01"]),
    ],
)
def test_an_option_takes_the_place_of_the_configured_list(
    home: Path, arguments: tuple[str, ...], days: list[str]
) -> None:
    (home / "days").write_text("2021-04-01\n2021-04-03\n")
    (home / "others").write_text("2021-03-31\n")
    assert [str(day) for day in invocation("run", *arguments).ask().partitions.partitions] == days


def test_the_step_to_start_at_is_asked_for() -> None:
    asked = invocation("run", "--dates", "2021-04-01..2021-04-01", "--from-step", "load").ask()
    assert asked.from_step is Step.LOAD


@pytest.mark.parametrize("arguments", [("--month", "2021-04"), ("--dates", "2021-04-01..2021-04-04"), ()])
def test_more_days_than_allowed_are_refused_whichever_way_they_are_given(
    home: Path, arguments: tuple[str, ...]
) -> None:
    (home / "days").write_text("".join(f"2021-04-0{day}\n" for day in range(1, 5)))
    with pytest.raises(PartitionListError, match="more than 3"):
        invocation("run", *arguments).ask()


@pytest.mark.parametrize("content", ["", "\n# nothing\n"])
def test_a_list_without_days_is_refused_where_the_config_says_so(home: Path, content: str) -> None:
    (home / "days").write_text(content)
    assert invocation("run").ask().partitions.partitions == ()
    (home / "job.yaml").write_text(CONFIG % "fail")
    with pytest.raises(PartitionListError, match="lists no days"):
        invocation("run").ask()


def test_a_list_that_cannot_be_read_is_named() -> None:
    with pytest.raises(PartitionListError, match=r"the partition list .*days cannot be read: No such file"):
        invocation("run").ask()
