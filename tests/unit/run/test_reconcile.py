"""Control totals: how they are stored, and when two stages agree."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from typing import Any, Optional

import pytest

from tests.support.totals import SUMS, grouped, one_more, raw, seen
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.run.reconcile import (
    Difference,
    reconcile_final,
    reconcile_impala,
    reconcile_impala_raw,
    reconcile_staging,
)
from traffic_aggr.run.totals import Totals, change_percent, measured
from traffic_aggr.traffic.job import TRAFFIC

DAY = Partition("2021-04-01")
USAGE: dict[str, Any] = {
    "bytes": 1 << 50,
    "voice_secs": 61,
    "sms": 3,
    **{f"whole_sale_cost_{number}": Decimal(f"{number}.000001") for number in range(1, 6)},
}
RAW = raw(**USAGE, rows=10, cdrs=9, distinct_cdrs=7, repeated_cdrs=2, unclassified=1)
STAGING = grouped(**USAGE, rows=4, cdrs=8, source_rows=10)
FINAL = dataclasses.replace(STAGING, source_rows=None)


def more(totals: Totals, name: str) -> Totals:
    """``totals`` with one total larger by the least there is."""
    return one_more(totals, name, Decimal("0.000001") if isinstance(totals[name], Decimal) else 1)


def test_every_sum_of_the_contract_is_compared() -> None:
    assert ("bytes", "voice_secs", "sms", *(f"whole_sale_cost_{number}" for number in range(1, 6))) == SUMS


def test_equal_totals_reconcile() -> None:
    assert reconcile_staging(TRAFFIC.totals, DAY, RAW, STAGING) == []
    assert reconcile_final(TRAFFIC.totals, DAY, STAGING, FINAL) == []
    assert reconcile_impala(DAY, FINAL, seen(rows=4, bytes=1 << 50)) == []


@pytest.mark.parametrize("name", SUMS)
def test_staging_differs_from_raw_in_any_sum(name: str) -> None:
    (found,) = reconcile_staging(TRAFFIC.totals, DAY, RAW, more(STAGING, name))
    assert (found.partition, found.total, found.left, found.right) == (DAY, name, "raw", "staging")


@pytest.mark.parametrize("source_rows", [9, 11, None], ids=["a row lost", "a row doubled", "not counted"])
def test_every_raw_row_must_be_in_one_group_of_staging(source_rows: Optional[int]) -> None:
    (found,) = reconcile_staging(TRAFFIC.totals, DAY, RAW, dataclasses.replace(STAGING, source_rows=source_rows))
    assert (found.total, found.left_value, found.right_value) == ("rows", 10, source_rows)


@pytest.mark.parametrize(
    ("cdrs", "agrees"),
    [(6, False), (7, True), (8, True), (9, True), (10, False)],
    ids=["fewer than distinct", "as many as distinct", "between", "as many as there are", "more than there are"],
)
def test_cdrids_of_staging_lie_between_the_distinct_and_all_of_raw(cdrs: int, agrees: bool) -> None:
    found = reconcile_staging(TRAFFIC.totals, DAY, RAW, one_more(STAGING, "cdrs", cdrs - STAGING["cdrs"]))
    assert [each.total for each in found] == ([] if agrees else ["cdrs"])


@pytest.mark.parametrize("name", ["rows", "cdrs", *SUMS])
def test_final_differs_from_staging_in_any_total(name: str) -> None:
    (found,) = reconcile_final(TRAFFIC.totals, DAY, STAGING, more(FINAL, name), "the new data")
    assert (found.total, found.left, found.right) == (name, "staging", "the new data")


@pytest.mark.parametrize("name", ["rows", "cdrs", *SUMS])
def test_impala_differs_from_final_in_any_total(name: str) -> None:
    (found,) = reconcile_impala(DAY, FINAL, more(seen(**USAGE, rows=4, cdrs=8), name))
    assert (found.total, found.right) == (name, "impala")


@pytest.mark.parametrize("name", ["rows", *SUMS])
def test_impala_differs_from_raw_in_any_total(name: str) -> None:
    assert reconcile_impala_raw(DAY, RAW, seen(**USAGE, rows=10)) == []
    (found,) = reconcile_impala_raw(DAY, RAW, more(seen(**USAGE, rows=10), name))
    assert (found.total, found.left, found.right) == (name, "raw", "raw in Impala")


def test_what_impala_was_not_asked_is_not_compared() -> None:
    assert reconcile_impala(DAY, FINAL, seen(4, bytes=1 << 50)) == []


def test_a_difference_reads_as_day_total_and_both_values() -> None:
    assert str(Difference(DAY, "sms", "raw", 3, "staging", 4)) == "2021-04-01 sms: raw 3, staging 4"


@pytest.mark.parametrize(
    "totals",
    [RAW, STAGING, FINAL, seen(4, bytes=5), seen(4, bytes=Decimal("5.5"), cdrs=6)],
    ids=lambda each: type(each).__name__,
)
def test_totals_come_back_from_json(totals: Any) -> None:
    assert Totals.from_json(json.loads(json.dumps(totals.to_json()))) == totals


def test_costs_are_plain_decimal_text_in_json() -> None:
    document = raw(whole_sale_cost_1=Decimal("0.000000"), whole_sale_cost_2=Decimal("1E+3")).to_json()
    assert (document["whole_sale_cost_1"], document["whole_sale_cost_2"]) == ("0.000000", "1000")


def test_a_total_that_was_not_measured_is_left_out_of_json() -> None:
    assert "source_rows" not in FINAL.to_json()


def test_a_sum_over_no_rows_is_zero() -> None:
    assert measured({"rows": 0, **dict.fromkeys(TRAFFIC.names)}, TRAFFIC.scales) == grouped()


def test_decimals_of_a_query_lose_no_digit() -> None:
    cost = Decimal("1234567890123456789012.123456")
    row = {"rows": 1, **dict.fromkeys(TRAFFIC.names), "bytes": Decimal(2**62 + 1), "whole_sale_cost_5": cost}
    found = measured(row, TRAFFIC.scales)
    assert (found["bytes"], found["whole_sale_cost_5"]) == (2**62 + 1, cost)


def test_a_total_that_a_query_forgot_is_no_zero() -> None:
    with pytest.raises(KeyError, match="sms"):
        measured({"rows": 0, "bytes": 1}, {"bytes": 0, "sms": 0})
    with pytest.raises(KeyError, match="sms"):
        Totals(1, {"bytes": 1})["sms"]


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [(100, 103, 3.0), (100, 0, 100.0), (100, 100, 0.0), (100, 350, 250.0), (0, 5, None), (0, 0, None)],
)
def test_a_change_is_in_percent_of_what_was_there(before: int, after: int, percent: Optional[float]) -> None:
    assert change_percent(before, after) == percent
