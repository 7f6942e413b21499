"""The rows that raw becomes: each rule of the numbers by itself."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Optional

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.support.aggregated_rows import MakeRaw
from tests.support.frames import frame_of
from traffic_aggr.traffic.aggregation import (
    aggregate,
    is_classified,
    is_data,
    is_sms,
    is_voice,
    raw_totals,
)
from traffic_aggr.traffic.columns import COSTS, FINAL_COLUMNS, STAGING_COLUMNS

UTC = datetime.timezone.utc
INDIA = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
BIGINT_MAX = 2**63 - 1


@pytest.fixture
def odd_session_time_zone(spark: SparkSession) -> Iterator[None]:
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")
    yield
    spark.conf.set("spark.sql.session.timeZone", "UTC")


def test_call_types_compare_without_case_or_blanks(spark: SparkSession) -> None:
    cases = [
        ("Data", True, False, False, True),
        (" dATA ", True, False, False, True),
        ("VOICE", False, True, False, True),
        ("sms  ", False, False, True, True),
        ("Fax", False, False, False, False),
        ("", False, False, False, False),
        ("\tData", False, False, False, False),
        (None, None, None, None, False),
    ]
    value = F.col("calltype")
    frame = frame_of(spark, [case[:1] for case in cases], "calltype string")
    judged = frame.select(value, is_data(value), is_voice(value), is_sms(value), is_classified(value))
    assert [tuple(row) for row in judged.collect()] == cases


def test_columns_and_types_are_those_of_staging(
    make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame
) -> None:
    result = aggregate(make_raw([]), organisations, countries, repeated=None)
    assert [(name, type_.upper()) for name, type_ in result.dtypes] == [
        *((column.name, column.type) for column in STAGING_COLUMNS),
        ("source_rows", "BIGINT"),
    ]


def test_texts_are_trimmed_of_blanks_only_and_empty_stays_empty(rows_of: Any) -> None:
    (row,) = rows_of([{"apn": " a b ", "vin": "   ", "sim": "\u00a0s\t", "msisdn": None}])
    assert (row.apn, row.vin, row.sim, row.msisdn) == ("a b", "", "\u00a0s\t", None)


def test_values_that_differ_in_outer_blanks_are_one_group(rows_of: Any) -> None:
    (row,) = rows_of([{"apn": "a"}, {"apn": " a"}, {"apn": "a  "}])
    assert row.source_rows == 3


def test_nulls_group_with_nulls_and_not_with_empty_strings(rows_of: Any) -> None:
    rows = rows_of([{"apn": None}, {"apn": None}, {"apn": ""}])
    assert {(row.apn, row.source_rows) for row in rows} == {(None, 2), ("", 1)}


def test_days_are_kept_apart(rows_of: Any) -> None:
    rows = rows_of([{"partition_date": "2021-04-01"}, {"partition_date": "2021-04-02"}])
    assert {row.partition_date for row in rows} == {"2021-04-01", "2021-04-02"}


def test_calltype_is_stored_as_found_and_groups_by_its_case(rows_of: Any) -> None:
    rows = rows_of([{"calltype": " DATA", "bytes": 1024}, {"calltype": "Data ", "bytes": 2048}])
    assert {(row.calltype, row.data_usage_in_kb) for row in rows} == {("DATA", 1), ("Data", 2)}


def test_customer_is_the_organisation_or_else_the_company_as_it_is(rows_of: Any) -> None:
    names = {1: "Acme", 3: "", 4: " raw ", 6: " raw ", None: " raw "}
    rows = rows_of([{"tcl_secs_id": number, "companyname": " raw "} for number in names])
    assert {row.tcl_secs_id: row.customername for row in rows} == names


def test_companies_of_one_organisation_are_one_group(rows_of: Any) -> None:
    (row,) = rows_of([{"tcl_secs_id": 1, "companyname": "a"}, {"tcl_secs_id": 1, "companyname": None}])
    assert (row.customername, row.source_rows) == ("Acme", 2)


def test_country_is_looked_up_or_else_the_one_in_raw_as_it_is(rows_of: Any) -> None:
    countries = {" 404": "India", "310": "United States", "999": " raw ", "1": " raw ", None: " raw "}
    rows = rows_of([{"mcc": mcc, "country": " raw "} for mcc in countries])
    assert {row.mcc: row.country for row in rows} == {mcc and mcc.strip(): name for mcc, name in countries.items()}


def test_calldate_is_the_day_in_utc(rows_of: Any) -> None:
    days = {
        datetime.datetime(2021, 4, 1, 0, 0, tzinfo=UTC): "2021-04-01",
        datetime.datetime(2021, 4, 1, 23, 59, 59, 999999, UTC): "2021-04-01",
        datetime.datetime(2021, 4, 2, 5, 29, tzinfo=INDIA): "2021-04-01",
        datetime.datetime(2021, 4, 2, 5, 30, tzinfo=INDIA): "2021-04-02",
        datetime.datetime(2021, 2, 28, 12, 0, tzinfo=UTC): "2021-02-28",
        datetime.datetime(1969, 12, 31, 23, 59, 59, 1, UTC): "1969-12-31",
        None: None,
    }
    rows = rows_of([{"calldate": moment, "apn": str(moment)} for moment in days])
    assert {row.apn: row.calldate for row in rows} == {str(moment): day for moment, day in days.items()}


@pytest.mark.usefixtures("odd_session_time_zone")
def test_calldate_does_not_depend_on_the_sessions_time_zone(rows_of: Any) -> None:
    (row,) = rows_of([{"calldate": datetime.datetime(2021, 4, 1, 0, 30, tzinfo=UTC)}])
    assert row.calldate == "2021-04-01"


@pytest.mark.usefixtures("odd_session_time_zone")
def test_a_calldate_without_time_zone_is_taken_as_it_stands(
    make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame
) -> None:
    raw = make_raw([{}]).withColumn("calldate", F.expr("TIMESTAMP_NTZ'2021-04-01 00:30:00'"))
    (row,) = aggregate(raw, organisations, countries, repeated=None).collect()
    assert row.calldate == "2021-04-01"


def test_data_usage_is_exact_in_kb_and_rounded_half_up_in_mb(rows_of: Any) -> None:
    usage = {
        0: ("0", "0"),
        1: ("0.0009765625", "0"),
        52: ("0.05078125", "0"),
        53: ("0.0517578125", "0.0001"),
        -52: ("-0.05078125", "0"),
        32768: ("32", "0.0313"),
        -32768: ("-32", "-0.0313"),
        1024 * 1024: ("1024", "1"),
        BIGINT_MAX: ("9007199254740991.9990234375", "8796093022208"),
        -BIGINT_MAX - 1: ("-9007199254740992", "-8796093022208"),
    }
    rows = rows_of([{"calltype": "Data", "bytes": octets, "apn": str(octets)} for octets in usage])
    assert {int(row.apn): (row.data_usage_in_kb, row.data_usage_in_mb) for row in rows} == {
        octets: (Decimal(kb), Decimal(mb)) for octets, (kb, mb) in usage.items()
    }


def test_voice_usage_is_in_seconds_and_rounded_half_up_in_minutes(rows_of: Any) -> None:
    minutes = {
        0: "0",
        1: "0.0167",
        -1: "-0.0167",
        3: "0.05",
        59: "0.9833",
        90: "1.5",
        BIGINT_MAX: "153722867280912930.1167",
    }
    rows = rows_of([{"calltype": "Voice", "retailduration": seconds, "apn": str(seconds)} for seconds in minutes])
    assert {int(row.apn): (row.voice_usage_in_secs, row.voice_usage_in_mins) for row in rows} == {
        seconds: (seconds, Decimal(expected)) for seconds, expected in minutes.items()
    }


def test_usage_is_summed_before_it_is_rounded(rows_of: Any) -> None:
    (row,) = rows_of([{"calltype": "Data", "bytes": 30}, {"calltype": "Data", "bytes": 30}])
    assert row.data_usage_in_mb == Decimal("0.0001")


def test_sms_usage_is_the_number_of_rows(rows_of: Any) -> None:
    (row,) = rows_of([{"calltype": "SMS", "bytes": 5, "retailduration": 9}, {"calltype": "SMS"}])
    assert (row.sms_usage, row.data_usage_in_kb, row.voice_usage_in_secs) == (2, 0, 0)


def test_each_call_type_adds_to_its_own_usage_only(rows_of: Any) -> None:
    rows = rows_of([{"calltype": kind, "bytes": 1024, "retailduration": 60} for kind in ("Data", "Voice")])
    usage = {row.calltype: (row.data_usage_in_kb, row.voice_usage_in_secs, row.sms_usage) for row in rows}
    assert usage == {"Data": (1, 0, 0), "Voice": (0, 60, 0)}


def test_another_calltype_adds_to_costs_and_cdrs_only(rows_of: Any) -> None:
    cdr = {"cdrid": 1, "bytes": 1024, "retailduration": 60, "whole_sale_cost_5": Decimal("1.5")}
    rows = rows_of([{**cdr, "calltype": calltype} for calltype in ("Fax", "", None)])
    for row in rows:
        assert (row.data_usage_in_kb, row.data_usage_in_mb, row.voice_usage_in_secs, row.sms_usage) == (0, 0, 0, 0)
        assert (row.whole_sale_cost_5, row.noofcdrids) == (Decimal("1.5"), 1)


def test_null_measures_count_as_zero(rows_of: Any) -> None:
    (row,) = rows_of([{"calltype": "Data"}])
    measures = [row[column.name] for column in FINAL_COLUMNS if not column.type.startswith(("STRING", "INT"))]
    assert measures == [0] * 11


COST_AMOUNTS = [
    ["0.1", "0.2", "999999999999.999999", None, "-0.000001"],
    ["-999999999999.999999", "-0.5", "-7", "0.000001"],
    ["999999999999.999999"] * 12,
    ["99.999999", "100", "100.000001", "-100", "-99.999999", "-100.000001"],
    ["99.999999"] * 12,
]


def test_costs_are_exact_sums(rows_of: Any, make_raw: MakeRaw) -> None:
    rows: list[dict[str, Any]] = []
    right = {}
    cases = itertools.product(COST_AMOUNTS, (1, 2, 5))
    for number, (amounts, rows_a_cdrid) in enumerate(cases, 1):
        day = f"2021-04-{number:02}"
        costs = [amount and Decimal(amount) for amount in amounts]
        rows += [
            {**dict.fromkeys(COSTS, cost), "cdrid": row // rows_a_cdrid, "partition_date": day}
            for row, cost in enumerate(costs)
        ]
        right[day] = [sum(filter(None, costs), Decimal(0))] * len(COSTS)
    assert len(right) == 15
    for found in (rows_of(rows), raw_totals(make_raw(rows)).collect()):
        assert {row.partition_date: [row[name] for name in COSTS] for row in found} == right


def test_cdrids_are_counted_once_a_group_without_nulls(rows_of: Any) -> None:
    cdrs = [{"cdrid": 1}, {"cdrid": 1}, {"cdrid": 2}, {"cdrid": None}, {"cdrid": 1, "apn": "other"}]
    assert {(row.apn, row.noofcdrids, row.source_rows) for row in rows_of(cdrs)} == {(None, 2, 4), ("other", 1, 1)}


@pytest.mark.parametrize(("cdrid", "distinct"), [(7, 1), (None, 0)])
def test_cdrids_may_all_be_the_same(rows_of: Any, cdrid: Optional[int], distinct: int) -> None:
    (row,) = rows_of([{"cdrid": cdrid}] * 50)
    assert (row.noofcdrids, row.source_rows) == (distinct, 50)


def test_without_repeats_cdrids_are_simply_counted(rows_of: Any) -> None:
    (row,) = rows_of([{"cdrid": 1}, {"cdrid": 2}, {"cdrid": None}], repeats=False)
    assert (row.noofcdrids, row.source_rows) == (2, 3)
