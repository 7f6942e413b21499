"""What the service desk is told of the days of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.support.fakes import run_record
from traffic_aggr.config.load import load_config
from traffic_aggr.hive.layout import Placement
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.host.edge import EdgeNode
from traffic_aggr.host.notify import Notifier
from traffic_aggr.run.record import Day, Outcome, Publication, RunRecord
from traffic_aggr.run.result import day_states

FIRST, SECOND, THIRD = (Partition(f"2021-04-0{number}") for number in (1, 2, 3))
OLD, NEW = Day("home", "kept", Placement("home")), Day("home", "kept", Placement("home"), new="staged")
LISTED = [FIRST, SECOND, THIRD]


@pytest.fixture
def edge(tmp_path: Path) -> EdgeNode:
    """An edge node without a mail server, whose alerts go to a file."""
    settings = {
        "partitions": {"file": "days"},
        "impala": {"enabled": False},
        "state": {"dir": "state", "status_file": "status", "lock_file": "lock"},
        "logs": {"dir": "logs"},
        "notify": {"smtp": {"host": None}, "alert_file": "alerts.jsonl"},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(settings))
    config = load_config(tmp_path / "job.yaml", {})
    return EdgeNode(config, Notifier(config.notify, None, redact=str))


def mailed(tmp_path: Path) -> str:
    (line,) = (tmp_path / "alerts.jsonl").read_text().splitlines()
    body: str = json.loads(line)["body"]
    return body


def test_a_refused_day_is_in_the_mail_beside_those_that_would_have_been_restated(
    edge: EdgeNode, tmp_path: Path
) -> None:
    record = run_record(partitions=LISTED, days={FIRST: OLD}, refused=[SECOND], kept=[THIRD], outcome=Outcome.REFUSED)
    edge.raise_ticket(record, record)
    told = mailed(tmp_path)
    assert "), 3 days 2021-04-01..2021-04-03\n" in told
    assert told.endswith(
        "\n  3 days listed: 1 kept, 1 refused, 1 unchanged"
        "\n  2021-04-01: old data\n  2021-04-03: kept as before\n  2021-04-02: refused, as before"
    )


def test_a_recovery_counts_what_became_of_all_listed_days(edge: EdgeNode, tmp_path: Path) -> None:
    (tmp_path / "status").write_text("MNAAS_email_sdp_created=Yes\n")
    days = {FIRST: NEW, SECOND: OLD}
    record = run_record(partitions=LISTED, days=days, kept=[THIRD], publication=Publication.PUBLISHED)
    edge.succeeded(record, list)
    told = mailed(tmp_path)
    assert "), 3 days 2021-04-01..2021-04-03\n  3 days listed: 1 restated, 1 cleared, 1 kept" in told


@pytest.mark.parametrize(
    ("record", "states"),
    [
        pytest.param(
            run_record(days={FIRST: NEW, SECOND: OLD}, publication=Publication.PUBLISHED),
            ["2021-04-01: new data", "2021-04-02: cleared"],
            id="published",
        ),
        pytest.param(
            run_record(days={FIRST: OLD, SECOND: OLD}, refused=[SECOND]),
            ["2021-04-01: old data", "2021-04-02: refused, old data"],
            id="refused for its change",
        ),
        pytest.param(run_record(partitions=LISTED), [], id="failed before the plan"),
    ],
)
def test_each_day_of_the_plan_has_its_state(record: RunRecord, states: list[str]) -> None:
    assert day_states(record) == states


@pytest.mark.parametrize(("status", "after"), [("Success", "Success"), ("Running", "Running"), ("?", "Failure")])
def test_a_run_that_finds_the_lock_held_leaves_the_job_status_as_it_was(
    edge: EdgeNode, tmp_path: Path, status: str, after: str
) -> None:
    (tmp_path / "status").write_text(f"MNAAS_job_status={status}\n")
    edge.begin()
    edge.left_to_holder()
    assert f"MNAAS_job_status={after}\n" in (tmp_path / "status").read_text()


def test_a_command_that_never_showed_itself_in_the_status_file_has_nothing_to_put_back(
    edge: EdgeNode, tmp_path: Path
) -> None:
    (tmp_path / "status").write_text("MNAAS_job_status=Success\n")
    edge.left_to_holder()
    assert (tmp_path / "status").read_text() == "MNAAS_job_status=Success\n"
