"""What the mails to the service desk say."""

from __future__ import annotations

import pytest

from tests.support.alerts import failed, failure, recovery
from tests.support.fakes import RUN_ID, run_record
from traffic_aggr.config.config import JobConfig
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.host.alerts import failure_alert
from traffic_aggr.run.command_line import CommandLine
from traffic_aggr.run.record import Next


def test_a_failure_reads_on_a_phone() -> None:
    assert failure().subject == (
        "[traffic_adhoc_aggr] FAILED at load: 30 days 2021-04-01..2021-04-30,"
        " old data is back in place for 30 partitions"
    )


def test_a_failure_says_first_what_happened_whether_data_is_safe_and_what_to_run() -> None:
    assert failure().body.splitlines()[:8] == [
        "traffic_adhoc_aggr FAILED at load on edge-1.",
        "What happened: the disk is full",
        "The data: old data is back in place for 30 partitions.",
        "What to run: traffic-aggr run --config conf/yarn.yaml",
        "",
        f"Run {RUN_ID} (MNAAS_Traffic_Adhoc_Aggr.sh), 30 days 2021-04-01..2021-04-30",
        "  30 days listed: 30 unchanged",
        "  2021-04-01: no data, as before",
    ]


def test_a_failure_ends_with_the_log() -> None:
    lines = failure().body.splitlines()
    assert lines[-3] == "Last lines of the log, times in UTC+05:30:"
    assert lines[-1] == "  02:41:00 ERROR the disk is full"


def test_what_the_next_command_does_is_said_where_it_is_known() -> None:
    assert "What it does: it starts afresh." in failure(next=Next("run it", "starts afresh")).body


def test_without_a_next_command_status_is_named() -> None:
    typed = CommandLine(("./spark-submit.sh",), "/my.yaml", ("run",))
    assert f"What to run: {typed.of('status')}" in failure(next=None, typed=typed).body


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ([], "no days"),
        (["2021-04-01"], "1 day 2021-04-01"),
        (["2021-04-03", "2021-04-01"], "2 days 2021-04-01..2021-04-03"),
    ],
    ids=["none", "one", "out of order"],
)
def test_days_are_summed_up(days: list[str], said: str) -> None:
    assert f": {said}," in failure(partitions=list(map(Partition, days)), days={}).subject


def test_a_failure_before_any_step_whose_data_an_earlier_run_left_says_where_that_run_left_it() -> None:
    earlier = failed(run_id="20210503T020200Z-abc123")
    alert = failure_alert(JobConfig(), run_record(error="no queue"), earlier)
    assert alert.subject.startswith(
        "[traffic_adhoc_aggr] FAILED at preflight: 30 days 2021-04-01..2021-04-30, old data"
    )
    assert alert.run_id == RUN_ID


def test_a_recovery_names_the_run_that_failed() -> None:
    assert recovery().subject == (
        "[traffic_adhoc_aggr] RECOVERED: 30 days 2021-04-01..2021-04-30, new data is in place for 30 partitions"
    )
    assert recovery().body.splitlines()[-1] == f"It ends the failure of {RUN_ID}"
