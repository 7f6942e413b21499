"""What a run's report breaks its change down by, against the same sums over the rows in Python."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Callable, Optional

import pytest
from pyspark.sql import Row

from tests.support.warehouse import LISTED, Job
from traffic_aggr.restate import totals
from traffic_aggr.run import breakdown
from traffic_aggr.run.breakdown import TOP
from traffic_aggr.traffic.columns import COSTS
from traffic_aggr.traffic.job import TRAFFIC

Dimension = Callable[[Row], Any]
NAMED, PLACED = {1, 2}, {"404", "405"}

OF_BOTH: dict[str, Dimension] = {
    "customer": lambda row: [row.customername],
    "country": lambda row: [row.country],
    "calltype": lambda row: [row.calltype],
    "late_calldate": lambda row: [row.calldate] if row.calldate != row.partition_date else [],
}
OF_NEW: dict[str, Dimension] = {
    "tcl_secs_id_without_name": lambda row: (
        [] if row.tcl_secs_id in NAMED else [None if row.tcl_secs_id is None else str(row.tcl_secs_id)]
    ),
    "mcc_without_country": lambda row: [] if row.mcc in PLACED else [row.mcc],
}


NONE: dict[str, Decimal] = dict.fromkeys(("rows", *TRAFFIC.names), Decimal(0))


def usage(rows: list[Row], dimension: Dimension) -> dict[Optional[str], dict[str, Decimal]]:
    found: dict[Optional[str], dict[str, Decimal]] = {}
    for row in rows:
        for value in dimension(row):
            measured = {
                "rows": 1,
                "cdrs": row.noofcdrids,
                "bytes": int(row.data_usage_in_kb * 1024),
                "voice_secs": row.voice_usage_in_secs,
                "sms": row.sms_usage,
                **{name: row[name] for name in COSTS},
            }
            sums = found.setdefault(value, dict(NONE))
            found[value] = {name: sums[name] + amount for name, amount in measured.items()}
    return found


def decimals(totals: dict[str, Any]) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in totals.items()}


@pytest.mark.parametrize("kind", ["parquet", "text"])
@pytest.mark.parametrize("mode", ["swap", "drop_and_load"])
def test_the_change_is_broken_down_to_the_last_byte(job: Job, kind: str, mode: str) -> None:
    job.create_final(kind)
    job.settings["publish"] = {"mode": mode}
    before = job.final_rows().collect()

    assert job("run").code == 0

    after, found = job.final_rows().collect(), job.record()["breakdown"]
    assert set(found) == {*OF_BOTH, *OF_NEW}
    for name, dimension in {**OF_BOTH, **OF_NEW}.items():
        olds = usage(before, dimension) if name in OF_BOTH else {}
        news = usage(after, dimension)
        expected = {value: (olds.get(value, NONE), news.get(value, NONE)) for value in {*olds, *news}}
        parts = found[name]["parts"]
        assert 0 < len(parts) <= TOP
        assert {part["value"]: (decimals(part["before"]), decimals(part["after"])) for part in parts} == expected


def test_the_changes_of_customers_are_broken_down_by_day(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakdown, "TOP", 100)
    job.create_final()
    before = job.final_rows().collect()

    assert job("run").code == 0

    after, found = job.final_rows().collect(), job.record()["breakdown"]
    expected = {}
    for day in LISTED:
        olds, news = (
            usage([row for row in rows if row.partition_date == day], OF_BOTH["customer"]) for rows in (before, after)
        )
        for value in {*olds, *news}:
            sides = olds.get(value, NONE), news.get(value, NONE)
            if sides[0] != sides[1]:
                expected[value, day] = sides
    assert TOP < len(expected) < 100
    cells = found["customer"].pop("by_partition")
    assert {
        (cell["value"], cell["partition"]): (decimals(cell["before"]), decimals(cell["after"])) for cell in cells
    } == expected
    assert [name for name in found if found[name].get("by_partition")] == []


def test_with_too_many_customers_and_days_customers_alone_are_broken_down(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.create_final()
    assert job("run").code == 0
    whole = job.record()["breakdown"]
    cells = sum(len(of_dimension["parts"]) for of_dimension in whole.values())
    assert job("rollback", job.record()["run_id"]).code == 0
    monkeypatch.setattr(totals, "MAX_VALUES", cells)

    assert job("run").code == 0

    found = job.record()["breakdown"]
    assert whole["customer"]["by_partition"]
    assert found["customer"].pop("by_partition") == []
    whole["customer"].pop("by_partition")
    assert found == whole


def test_a_run_that_resumes_has_the_breakdown_of_the_one_that_staged(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.create_final()
    with monkeypatch.context() as patch:
        patch.setattr("traffic_aggr.restate.steps._publish", lambda work: 1 // 0)
        assert job("run").code == 1
    staged = job.record()

    assert job("run").code == 0

    assert job.record()["resumes"] == staged["run_id"]
    assert job.record()["breakdown"] == staged["breakdown"] != {}


def test_more_values_than_a_driver_should_hold_are_not_broken_down(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.create_final()
    monkeypatch.setattr(totals, "MAX_VALUES", 3)

    assert job("run").code == 0

    assert job.record()["breakdown"] == {}
    assert "not broken down: there are more than 3 values to break it down by" in job.record()["notes"]
    assert sorted(job.record()["totals"]) == list(LISTED)
