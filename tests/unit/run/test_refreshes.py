"""What Impala is sent after each step."""

from __future__ import annotations

import pytest

from tests.support.fakes import FIRST, SECOND
from traffic_aggr.hive.partitions import partitions_between
from traffic_aggr.hive.sql import TableName
from traffic_aggr.run.plan import Step
from traffic_aggr.run.refreshes import Refreshes

STAGING, FINAL = TableName("db", "staging"), TableName("db", "final")
DAYS = [f"REFRESH db.final PARTITION (partition_date='{day}')" for day in (FIRST, SECOND)]


@pytest.mark.parametrize(
    ("step", "statements"),
    [
        (Step.DROP, ["REFRESH db.final"]),
        (Step.STAGE, ["REFRESH db.staging"]),
        (Step.LOAD, ["REFRESH db.staging", "REFRESH db.final", *DAYS]),
    ],
)
def test_each_step_refreshes_what_it_has_changed(step: Step, statements: list[str]) -> None:
    assert Refreshes(STAGING, FINAL).after(step, moved=[FIRST, SECOND]) == statements


def test_a_run_that_only_verifies_leaves_staging_alone() -> None:
    assert Refreshes(STAGING, FINAL).after(Step.LOAD, verify_only=True) == ["REFRESH db.final"]


@pytest.mark.parametrize("step", list(Step))
def test_a_table_that_the_run_created_is_loaded_whole(step: Step) -> None:
    sent = Refreshes(STAGING, FINAL, [STAGING, FINAL]).after(step, moved=[FIRST])
    assert {statement.rpartition(" ")[0] for statement in sent} == {"INVALIDATE METADATA"}


def test_days_that_were_put_back_are_reloaded_each() -> None:
    assert Refreshes(STAGING, FINAL).put_back([FIRST, SECOND]) == ["REFRESH db.final", *DAYS]
    assert Refreshes(STAGING, FINAL, [FINAL]).put_back([FIRST]) == ["INVALIDATE METADATA db.final"]


def test_more_than_a_hundred_days_are_cheaper_to_load_whole() -> None:
    days = partitions_between("2021-01-01..2021-04-11").partitions
    assert Refreshes(STAGING, FINAL).put_back(days) == ["REFRESH db.final", "INVALIDATE METADATA db.final"]
