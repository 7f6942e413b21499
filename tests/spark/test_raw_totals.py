"""The totals of raw and of staging, and the cdrids that repeat."""

from __future__ import annotations

from decimal import Decimal

from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.support.aggregated_rows import MakeRaw
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.restate import totals as control
from traffic_aggr.traffic.aggregation import (
    aggregate,
    raw_totals,
    repeated_cdrids,
    repeats_by_day,
    staged_totals,
)
from traffic_aggr.traffic.columns import COSTS, FINAL_COLUMNS
from traffic_aggr.traffic.job import TRAFFIC

BIGINT_MAX = 2**63 - 1


def test_raw_totals_count_each_day_by_the_rules_of_the_aggregation(make_raw: MakeRaw) -> None:
    raw = make_raw(
        [
            {"cdrid": 1, "calltype": " data", "bytes": 5, "retailduration": 7, "whole_sale_cost_1": Decimal("0.5")},
            {"cdrid": 1, "calltype": "Voice", "bytes": 5, "retailduration": 7, "whole_sale_cost_1": None},
            {"cdrid": None, "calltype": "SMS", "bytes": 5},
            {"cdrid": 2, "calltype": "Fax", "bytes": 5, "whole_sale_cost_1": Decimal("0.25")},
            {"cdrid": 3, "calltype": None, "bytes": 5},
            {"cdrid": 3, "calltype": "Data", "bytes": None, "partition_date": "2021-04-02"},
        ]
    )
    totals = {row.partition_date: row for row in raw_totals(raw).collect()}
    first, second = totals["2021-04-01"], totals["2021-04-02"]
    assert (first.rows, first.cdrs, first.unclassified) == (5, 4, 2)
    assert (first.bytes, first.voice_secs, first.sms) == (5, 7, 1)
    assert (first.whole_sale_cost_1, first.whole_sale_cost_2) == (Decimal("0.75"), 0)
    assert (second.rows, second.cdrs, second.unclassified, second.bytes) == (1, 1, 0, 0)


def test_raw_totals_do_not_wrap(make_raw: MakeRaw) -> None:
    (row,) = raw_totals(make_raw([{"calltype": "Data", "bytes": BIGINT_MAX}] * 3)).collect()
    assert row.bytes == 3 * BIGINT_MAX


def test_raw_totals_shuffle_no_rows(make_raw: MakeRaw) -> None:
    plan = raw_totals(make_raw([{}]))._jdf.queryExecution().executedPlan().toString()
    assert plan.count("Exchange hashpartitioning(partition_date") == plan.count("Exchange") == 1


def test_a_cdrid_that_repeats_on_one_day_or_on_two_counts_once_on_each(
    make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame
) -> None:
    one, two = "2021-04-01", "2021-04-02"
    places = [(1, one), (1, one), (1, two), (2, one), (2, one), (2, two), (2, two), (3, two)]
    raw = make_raw([{"cdrid": cdrid, "partition_date": day} for cdrid, day in places])
    rows = aggregate(raw, organisations, countries, repeated=repeated_cdrids(raw)).collect()
    found = sorted((row.partition_date, row.noofcdrids, row.source_rows) for row in rows)
    assert found == [(one, 2, 4), (two, 3, 4)]


def test_repeated_cdrids_are_counted_within_each_day(
    make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame
) -> None:
    cdrids = [1, 1, 1, 2, 3, 3, None, None]
    raw = make_raw(
        [
            *({"cdrid": cdrid} for cdrid in cdrids),
            {"cdrid": 2, "partition_date": "2021-04-02"},
            {"cdrid": None, "partition_date": "2021-04-03"},
        ]
    )
    repeated = repeated_cdrids(raw)
    assert sorted(map(tuple, repeated.collect())) == [("2021-04-01", 1, 2), ("2021-04-01", 3, 1)]
    assert list(map(tuple, repeats_by_day(repeated).collect())) == [("2021-04-01", 2, 3)]
    lookups = {"org_details": organisations, "country_lookup": countries}
    days = [Partition(f"2021-04-0{day}") for day in (1, 2, 3)]
    totals = control.raw_totals(TRAFFIC, TRAFFIC.open(raw, lookups), days)
    found = {day: (of_day["distinct_cdrs"], of_day["repeated_cdrs"]) for day, of_day in totals.items()}
    assert found == {"2021-04-01": (3, 2), "2021-04-02": (1, 0), "2021-04-03": (0, 0)}


def test_staged_totals_are_those_of_raw(make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame) -> None:
    raw = make_raw(
        [
            {"cdrid": 1, "calltype": "Data", "bytes": 1000001, "whole_sale_cost_3": Decimal("0.000001")},
            {"cdrid": 2, "calltype": "data", "bytes": -3, "whole_sale_cost_3": Decimal("12.5")},
            {"cdrid": 2, "calltype": "Voice", "retailduration": 61},
            {"cdrid": 3, "calltype": "SMS"},
            {"cdrid": 4, "calltype": "Data", "bytes": BIGINT_MAX, "partition_date": "2021-04-02"},
            {"cdrid": 5, "calltype": "DATA", "bytes": BIGINT_MAX, "partition_date": "2021-04-02"},
        ]
    )
    staged = aggregate(raw, organisations, countries, repeated=None)
    sums = ["partition_date", "cdrs", "bytes", "voice_secs", "sms", *COSTS]
    assert_df_equality(
        staged_totals(staged).select(*sums),
        raw_totals(raw).select(*(F.col(name).cast(staged_totals(staged).schema[name].dataType) for name in sums)),
        ignore_row_order=True,
        ignore_nullable=True,
        ignore_metadata=True,
    )


def test_staged_totals_of_nulls_are_zero(spark: SparkSession) -> None:
    nulls = ", ".join(f"CAST(NULL AS {column.type}) AS {column.name}" for column in FINAL_COLUMNS)
    (row,) = staged_totals(spark.sql(f"SELECT {nulls}, '2021-04-01' AS partition_date")).collect()
    assert tuple(row) == ("2021-04-01", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
