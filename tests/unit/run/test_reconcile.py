"""Control totals: how they are stored, and when two stages agree."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any, Optional

import pytest

from traffic_aggr.hive.partitions import Partition
from traffic_aggr.run.reconcile import (
    SUMS,
    AggregatedTotals,
    Difference,
    ImpalaTotals,
    RawTotals,
    change_percent,
    reconcile_final,
    reconcile_impala,
    reconcile_impala_raw,
    reconcile_staging,
    totals_from_mapping,
    totals_to_json,
)

DAY = Partition("2021-04-01")
USAGE: dict[str, Any] = {
    "bytes": 1 << 50,
    "voice_secs": 61,
    "sms": 3,
    **{f"whole_sale_cost_{number}": Decimal(f"{number}.000001") for number in range(1, 6)},
}
RAW = RawTotals(**USAGE, rows=10, cdrs=9, distinct_cdrs=7, repeated_cdrs=2, unclassified=1)
STAGING = AggregatedTotals(**USAGE, rows=4, cdrs=8, source_rows=10)
FINAL = dataclasses.replace(STAGING, source_rows=None)


def one_more(totals: Any, name: str) -> Any:
    """``totals`` with one total larger by the least there is."""
    value = getattr(totals, name)
    return dataclasses.replace(totals, **{name: value + (Decimal("0.000001") if isinstance(value, Decimal) else 1)})


def test_every_sum_of_the_contract_is_compared() -> None:
    assert ("bytes", "voice_secs", "sms", *(f"whole_sale_cost_{number}" for number in range(1, 6))) == SUMS


def test_equal_totals_reconcile() -> None:
    assert reconcile_staging(DAY, RAW, STAGING) == []
    assert reconcile_final(DAY, STAGING, FINAL) == []
    assert reconcile_impala(DAY, FINAL, ImpalaTotals(rows=4, bytes=1 << 50)) == []


@pytest.mark.parametrize("name", SUMS)
def test_staging_differs_from_raw_in_any_sum(name: str) -> None:
    (found,) = reconcile_staging(DAY, RAW, one_more(STAGING, name))
    assert (found.partition, found.total, found.left, found.right) == (DAY, name, "raw", "staging")


@pytest.mark.parametrize("source_rows", [9, 11, None], ids=["a row lost", "a row doubled", "not counted"])
def test_every_raw_row_must_be_in_one_group_of_staging(source_rows: Optional[int]) -> None:
    (found,) = reconcile_staging(DAY, RAW, dataclasses.replace(STAGING, source_rows=source_rows))
    assert (found.total, found.left_value, found.right_value) == ("rows", 10, source_rows)


@pytest.mark.parametrize(
    ("cdrs", "agrees"),
    [(6, False), (7, True), (8, True), (9, True), (10, False)],
    ids=["fewer than distinct", "as many as distinct", "between", "as many as there are", "more than there are"],
)
def test_cdrids_of_staging_lie_between_the_distinct_and_all_of_raw(cdrs: int, agrees: bool) -> None:
    found = reconcile_staging(DAY, RAW, dataclasses.replace(STAGING, cdrs=cdrs))
    assert [each.total for each in found] == ([] if agrees else ["cdrs"])


@pytest.mark.parametrize("name", ["rows", "cdrs", *SUMS])
def test_final_differs_from_staging_in_any_total(name: str) -> None:
    (found,) = reconcile_final(DAY, STAGING, one_more(FINAL, name), "the new data")
    assert (found.total, found.left, found.right) == (name, "staging", "the new data")


@pytest.mark.parametrize("name", ["rows", "cdrs", *SUMS])
def test_impala_differs_from_final_in_any_total(name: str) -> None:
    (found,) = reconcile_impala(DAY, FINAL, one_more(ImpalaTotals(**USAGE, rows=4, cdrs=8), name))
    assert (found.total, found.right) == (name, "impala")


@pytest.mark.parametrize("name", ["rows", *SUMS])
def test_impala_differs_from_raw_in_any_total(name: str) -> None:
    assert reconcile_impala_raw(DAY, RAW, ImpalaTotals(**USAGE, rows=10)) == []
    (found,) = reconcile_impala_raw(DAY, RAW, one_more(ImpalaTotals(**USAGE, rows=10), name))
    assert (found.total, found.left, found.right) == (name, "raw", "raw in Impala")


def test_what_impala_was_not_asked_is_not_compared() -> None:
    assert reconcile_impala(DAY, FINAL, totals_from_mapping(ImpalaTotals, {"rows": 4, "bytes": 1 << 50})) == []


def test_a_difference_reads_as_day_total_and_both_values() -> None:
    assert str(Difference(DAY, "sms", "raw", 3, "staging", 4)) == "2021-04-01 sms: raw 3, staging 4"


@pytest.mark.parametrize(
    "totals",
    [RAW, STAGING, FINAL, ImpalaTotals(4, 5), ImpalaTotals(4, Decimal("5.5"), 6)],
    ids=lambda each: type(each).__name__,
)
def test_totals_come_back_from_json(totals: Any) -> None:
    assert totals_from_mapping(type(totals), totals_to_json(totals)) == totals


def test_costs_are_plain_decimal_text_in_json() -> None:
    document = totals_to_json(RawTotals(whole_sale_cost_1=Decimal("0.000000"), whole_sale_cost_2=Decimal("1E+3")))
    assert (document["whole_sale_cost_1"], document["whole_sale_cost_2"]) == ("0.000000", "1000")


def test_a_total_that_was_not_measured_is_left_out_of_json() -> None:
    assert "source_rows" not in totals_to_json(FINAL)


def test_a_sum_over_no_rows_is_zero() -> None:
    assert totals_from_mapping(AggregatedTotals, {"rows": 0, "bytes": None}) == AggregatedTotals()


def test_decimals_of_a_query_lose_no_digit() -> None:
    cost = Decimal("1234567890123456789012.123456")
    found = totals_from_mapping(RawTotals, {"bytes": Decimal(2**62 + 1), "whole_sale_cost_5": cost})
    assert (found.bytes, found.whole_sale_cost_5) == (2**62 + 1, cost)


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [(100, 103, 3.0), (100, 0, 100.0), (100, 100, 0.0), (100, 350, 250.0), (0, 5, None), (0, 0, None)],
)
def test_a_change_is_in_percent_of_what_was_there(before: int, after: int, percent: Optional[float]) -> None:
    assert change_percent(before, after) == percent
