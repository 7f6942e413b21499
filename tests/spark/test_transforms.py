from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Optional

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from tests.support.frames import frame_of
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.restate import totals as control
from traffic_aggr.restate.row_checks import duplicate_keys, values_with
from traffic_aggr.restate.sources import of_partitions
from traffic_aggr.traffic.aggregation import (
    aggregate,
    is_classified,
    is_data,
    is_sms,
    is_voice,
    lookup_countries,
    lookup_names,
    raw_totals,
    repeated_cdrids,
    repeats_by_day,
    staged_totals,
    stored_text,
)
from traffic_aggr.traffic.columns import COSTS, FINAL_COLUMNS, RAW_COLUMNS, STAGING_COLUMNS
from traffic_aggr.traffic.job import TRAFFIC

MakeRaw = Callable[[Sequence[Mapping[str, Any]]], DataFrame]
UTC = datetime.timezone.utc
INDIA = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
BIGINT_MAX = 2**63 - 1


@pytest.fixture
def organisations(spark: SparkSession) -> DataFrame:
    rows = [(1, "Acme"), (2, "Acme"), (3, ""), (4, None), (None, "Nobody"), (5, "Semi;colon")]
    return lookup_names(frame_of(spark, rows, "orgno bigint, orgname string"))


@pytest.fixture
def countries(spark: SparkSession) -> DataFrame:
    rows = [("404", "India"), (" 310 ", "United States"), ("999", None), (None, "Nowhere")]
    return lookup_countries(frame_of(spark, rows, "mcc string, country string"))


@pytest.fixture
def rows_of(
    make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame
) -> Callable[[Sequence[Mapping[str, Any]]], list[Row]]:
    """
    The aggregation of raw rows given as dicts.
    """

    def rows(raw: Sequence[Mapping[str, Any]], *, repeats: bool = True, delimiters: Optional[str] = None) -> list[Row]:
        frame = make_raw(raw)
        repeated = repeated_cdrids(frame) if repeats else None
        return aggregate(frame, organisations, countries, repeated=repeated, delimiters=delimiters).collect()

    return rows


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


def test_only_listed_days_and_needed_columns_are_read(make_raw: MakeRaw) -> None:
    days = ["2021-04-01", "2021-04-02", "2021-04-03"]
    raw = make_raw([{"cdrid": number, "partition_date": day} for number, day in enumerate(days)])
    selected = of_partitions(raw.withColumn("imsi", F.lit("x")), TRAFFIC, ["2021-04-03", "2021-04-01"])
    assert selected.columns == [column.name for column in RAW_COLUMNS]
    assert {row.cdrid for row in selected.collect()} == {0, 2}


def test_only_the_files_of_listed_days_are_opened(spark: SparkSession, make_raw: MakeRaw, tmp_path: Path) -> None:
    raw = make_raw([{"cdrid": day, "partition_date": f"2021-04-0{day}"} for day in (1, 2)])
    raw.write.partitionBy("partition_date").parquet(str(tmp_path / "raw"))
    for file in tmp_path.glob("raw/partition_date=2021-04-01/*.parquet"):
        file.write_text("no Parquet")
    stored = spark.read.schema(raw.schema).parquet(str(tmp_path / "raw"))
    assert [row.cdrid for row in of_partitions(stored, TRAFFIC, ["2021-04-02"]).collect()] == [2]


def test_names_without_key_or_value_match_nothing(organisations: DataFrame) -> None:
    assert {row.orgno for row in organisations.collect()} == {1, 2, 3, 5}


def test_country_keys_are_trimmed(countries: DataFrame) -> None:
    assert {tuple(row) for row in countries.collect()} == {("404", "India"), ("310", "United States")}


def test_keys_that_are_equal_after_trimming_are_duplicates_whatever_their_name(spark: SparkSession) -> None:
    keys = [("404", "India"), (" 404", None), ("404 ", "India"), ("310", "USA"), (None, "a"), (None, "b")]
    lookup = frame_of(spark, [*keys, ("404\u00a0", "c")], "mcc string, country string")
    expected = frame_of(spark, [("404", 3)], "mcc string, rows bigint")
    assert_df_equality(duplicate_keys(lookup, "mcc"), expected, ignore_nullable=True)


def test_duplicate_organisation_numbers_are_found(spark: SparkSession) -> None:
    lookup = frame_of(spark, [(2, "a"), (1, "b"), (2, "a"), (None, "c"), (None, "d")], "orgno bigint, n string")
    expected = frame_of(spark, [(2, 2)], "orgno bigint, rows bigint")
    assert_df_equality(duplicate_keys(lookup, "orgno"), expected, ignore_nullable=True)


def test_unique_keys_have_no_duplicates(spark: SparkSession) -> None:
    assert duplicate_keys(frame_of(spark, [(1,), (2,)], "orgno bigint"), "orgno").isEmpty()


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


"""What Spark reads and shuffles."""


@pytest.fixture
def wide(spark: SparkSession, make_raw: MakeRaw, tmp_path: Path) -> DataFrame:
    raw = make_raw([{"cdrid": number % 9, "customernumber": f"c{number}"} for number in range(40)])
    path = str(tmp_path / "raw")
    raw.withColumns({f"other_{number}": F.lit("x") for number in range(30)}).write.partitionBy(
        "partition_date"
    ).parquet(path)
    return spark.read.parquet(path)


def columns_read(rows: DataFrame) -> set[str]:
    leaves = rows._jdf.queryExecution().sparkPlan().collectLeaves()
    nodes = [leaves.apply(number) for number in range(leaves.size())]
    scans = [node for node in nodes if node.getClass().getSimpleName() == "FileSourceScanExec"]
    return {name for scan in scans for name in scan.requiredSchema().fieldNames()}


def test_no_column_is_read_that_is_not_needed(wide: DataFrame, organisations: DataFrame, countries: DataFrame) -> None:
    raw = of_partitions(wide, TRAFFIC, ["2021-04-01"])
    needed = {column.name for column in RAW_COLUMNS} - {"partition_date"}
    assert columns_read(aggregate(raw, organisations, countries, repeated=None)) == needed
    assert columns_read(raw_totals(raw)) == {"cdrid", "calltype", "bytes", "retailduration", *COSTS}
    assert columns_read(repeated_cdrids(raw)) == {"cdrid"}


@pytest.mark.parametrize("repeats", [True, False])
def test_groups_are_shuffled_twice_and_become_no_more_files_than_asked_for(
    wide: DataFrame, organisations: DataFrame, countries: DataFrame, tmp_path: Path, repeats: bool
) -> None:
    repeated = repeated_cdrids(wide) if repeats else None
    rows = aggregate(wide, organisations, countries, repeated=repeated, files_per_day=3)
    plan = rows._jdf.queryExecution().executedPlan().toString()
    shuffles = re.findall(r"Exchange hashpartitioning\((\w+)#\d+, (\w+)#", plan)
    of_groups = [keys for keys in shuffles if "cdrid" not in keys]
    assert sorted(of_groups) == [("customernumber", "tcl_secs_id"), ("partition_date", "_file")]
    rows.write.partitionBy("partition_date").parquet(str(tmp_path / "out"))
    assert 1 <= len(list(tmp_path.glob("out/partition_date=2021-04-01/*.parquet"))) <= 3


def test_rows_are_sorted_by_day_while_they_have_no_decimals(
    wide: DataFrame, organisations: DataFrame, countries: DataFrame, tmp_path: Path
) -> None:
    rows = aggregate(wide, organisations, countries, repeated=None)
    columns = ", ".join(f"{name} {type_}" for name, type_ in rows.dtypes)
    by_day = f"USING parquet PARTITIONED BY (partition_date) LOCATION '{tmp_path}/by_day'"
    rows.sparkSession.sql(f"CREATE TABLE by_day ({columns}) {by_day}")
    try:
        in_order = [name for name in rows.columns if name != "partition_date"]
        insert = f"EXPLAIN INSERT INTO by_day SELECT {', '.join(in_order)}, partition_date FROM {{rows}}"
        (plan,) = rows.sparkSession.sql(insert, rows=rows).first() or ()
    finally:
        rows.sparkSession.sql("DROP TABLE by_day")
    nodes = re.findall(r"^[\s+:-]*(\w+)", plan, re.MULTILINE)
    assert nodes[nodes.index("WriteFiles") :][:3] == ["WriteFiles", "Project", "Sort"]


def test_a_delimiter_becomes_a_space_before_grouping_and_trimming(rows_of: Any) -> None:
    (row,) = rows_of([{"apn": "a;b"}, {"apn": "a b"}, {"apn": ";a\nb;"}], delimiters=";\n")
    assert (row.apn, row.source_rows) == ("a b", 3)


def test_names_that_are_not_trimmed_keep_the_space(rows_of: Any) -> None:
    (row,) = rows_of([{"companyname": ";x", "country": "y;"}], delimiters=";")
    assert (row.customername, row.country) == (" x", "y ")


def test_looked_up_names_are_changed_too(rows_of: Any) -> None:
    (row,) = rows_of([{"tcl_secs_id": 5}], delimiters=";")
    assert row.customername == "Semi colon"


def test_nothing_changes_without_delimiters(rows_of: Any) -> None:
    (row,) = rows_of([{"tcl_secs_id": 5, "apn": "a;b"}])
    assert (row.customername, row.apn) == ("Semi;colon", "a;b")


def test_call_types_are_told_apart_by_what_raw_holds(rows_of: Any) -> None:
    rows = rows_of([{"calltype": ";Data", "bytes": 1024}, {"calltype": "Data", "bytes": 2048}], delimiters=";")
    assert [(row.calltype, row.data_usage_in_kb) for row in rows] == [("Data", 2)]


def test_values_that_a_text_table_would_misread_are_counted_with_an_example(
    make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame
) -> None:
    raw = make_raw([{"apn": "a;b"}, {"apn": "c;d", "vin": " \\N "}, {"apn": "ok", "tcl_secs_id": 5}, {"sim": "x\ny"}])
    found = values_with(stored_text(raw, organisations, countries), ";\n", ["\\N"]).first()
    assert found is not None
    dangerous = {name: tuple(value) for name, value in found.asDict().items() if value.rows}
    assert dangerous == {
        "apn": (2, "c;d"),
        "vin": (1, "\\N"),
        "customername": (1, "Semi;colon"),
        "sim": (1, "x\ny"),
    }


def test_values_longer_than_their_column_are_counted_by_characters_or_by_bytes(
    make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame
) -> None:
    raw = make_raw([{"apn": "äöü"}, {"apn": "abcd"}, {"apn": "\U0001f600" * 3}, {"apn": " abc "}])
    texts = stored_text(raw, organisations, countries)
    by_characters = values_with(texts, "", [], {"apn": 3}).first()
    by_bytes = values_with(texts, "", [], {"apn": 3}, in_bytes=True).first()
    assert by_characters is not None
    assert by_bytes is not None
    assert tuple(by_characters.apn_too_long) == (1, "abcd")
    assert by_bytes.apn_too_long.rows == 3


def test_a_company_whose_organisation_is_found_is_not_stored_and_does_no_harm(
    make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame
) -> None:
    raw = make_raw([{"companyname": "a;b", "tcl_secs_id": 1}])
    found = values_with(stored_text(raw, organisations, countries), ";", []).first()
    assert found is not None
    assert tuple(found.customername) == (0, None)


def test_replaced_delimiters_do_no_harm_but_may_leave_a_null_marker(
    make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame
) -> None:
    texts = stored_text(make_raw([{"apn": "a;b", "vin": ";\\N"}]), organisations, countries, delimiters=";")
    found = values_with(texts, ";", ["\\N"]).first()
    assert found is not None
    assert (found.apn.rows, tuple(found.vin)) == (0, (1, "\\N"))


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
