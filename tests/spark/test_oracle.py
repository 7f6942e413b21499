"""
Every column of every row of the aggregation against DuckDB's answer on the same files, on awkward data.
"""

from __future__ import annotations

import datetime
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from tests.oracle import expected_rows
from traffic_aggr.traffic.aggregation import aggregate, lookup_countries, lookup_names, repeated_cdrids, select_days
from traffic_aggr.traffic.columns import COSTS, RAW_COLUMNS, TRIMMED

DAYS = ["2021-04-01", "2021-04-02", "2021-04-03"]
UNLISTED_DAY = "2021-04-04"
NO_BREAK_SPACE = "\u00a0"

ORGANISATIONS = "1,Acme,AC\n2,Acme,A2\n3,,EMPTY\n4,\\N,NULL\n\\N,Nobody,NO\n5,Bêta; Ltd ,B\nx,Not a number,X\n"
COUNTRIES = [
    ("404", "India", "IN"),
    (" 310 ", "United States", "US"),
    ("", "No code", None),
    ("999", None, "XX"),
    (None, "Nowhere", "NW"),
    (f"{NO_BREAK_SPACE}404", "Not trimmed", "NT"),
]

TEXTS = [None, "", " ", "a", " a", "a ", "A", f"{NO_BREAK_SPACE}a", "\ta\t", "é", "e\u0301", "a;b", "\\N"]
CALL_TYPES = ["Data", "DATA", " data ", "Voice", "vOICE ", "SMS", "sms", " Sms", "Fax", "", " ", None, "\tData", "ſms"]
UTC = datetime.timezone.utc
MOMENTS = [
    None,
    datetime.datetime(2021, 3, 31, 23, 59, 59, 999999, UTC),
    datetime.datetime(2021, 4, 1, tzinfo=UTC),
    datetime.datetime(2021, 4, 1, 18, 29, 59, tzinfo=UTC),
    datetime.datetime(2021, 4, 1, 18, 30, tzinfo=UTC),
    datetime.datetime(2021, 4, 1, 23, 59, 59, 999999, UTC),
    datetime.datetime(2021, 4, 2, tzinfo=UTC),
    datetime.datetime(2020, 2, 29, 12, tzinfo=UTC),
    datetime.datetime(1969, 12, 31, 23, 59, 59, 500000, UTC),
]
BYTES = [None, 0, 1, -1, 52, 53, -53, 1024, 524288, 52428, 52429, -52429, 1048575, 2**52, -(2**52) + 1]
SECONDS = [None, 0, 1, -1, 3, 59, 60, 61, 2**50, -(2**50) - 1]
COST_VALUES = [
    None,
    Decimal(0),
    Decimal("0.000001"),
    Decimal("-0.000001"),
    Decimal("999999999999.999999"),
    Decimal("1.5"),
]


@dataclass(frozen=True)
class Source:
    """Files of raw and of the lookups, and the same as DataFrames."""

    raw: Path
    organisations: Path
    countries: Path
    raw_frame: DataFrame
    organisation_names: DataFrame
    country_names: DataFrame

    def expected(self) -> list[tuple[Any, ...]]:
        return expected_rows(self.raw, self.organisations, self.countries, DAYS)

    def aggregated(self, *, repeats: bool) -> list[tuple[Any, ...]]:
        days = select_days(self.raw_frame, DAYS)
        repeated = repeated_cdrids(days) if repeats else None
        rows = aggregate(days, self.organisation_names, self.country_names, repeated=repeated)
        return [tuple(row) for row in rows.collect()]


def write(spark: SparkSession, database: str, out: Path, rows: list[dict[str, Any]]) -> Source:
    """
    Write ``rows`` in several files a day, and the lookups.
    """
    raw, organisations, countries = out / "raw", out / "org_details", out / "country_lookup"
    schema = ", ".join(f"{column.name} {column.type}" for column in RAW_COLUMNS)
    tuples = [tuple(row.get(column.name) for column in RAW_COLUMNS) for row in rows]
    spark.createDataFrame(tuples, schema).repartition(3).write.partitionBy("partition_date").parquet(str(raw))
    organisations.mkdir()
    (organisations / "part-0").write_text(ORGANISATIONS, encoding="utf-8")
    spark.createDataFrame(COUNTRIES, "mcc string, country string, cntry_code string").write.parquet(str(countries))
    spark.sql(
        f"CREATE EXTERNAL TABLE {database}.org_details (orgno BIGINT, orgname STRING, org_abbr STRING) "
        f"ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION '{organisations}'"
    )
    return Source(
        raw,
        organisations,
        countries,
        spark.read.schema(schema).parquet(str(raw)),
        lookup_names(spark.table(f"{database}.org_details")),
        lookup_countries(spark.read.parquet(str(countries))),
    )


def awkward_rows(seed: int, count: int, *, repeats: bool) -> list[dict[str, Any]]:
    """
    Rows over few values a column, of which a third differ from the last one in measures only, so that groups form.
    """
    choose = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        if number % 3:
            row = dict(rows[choose.randrange(max(0, number - 50), number)])
        else:
            row = {name: choose.choice(TEXTS) for name in (*TRIMMED, "companyname", "country")}
            row["companyname"] = choose.choice(["Acme", "Acme", " Acme", None, "", "Other"])
            row["mcc"] = choose.choice([key for key, _, _ in COUNTRIES] + ["404 ", "310", " ", "777"])
            row["tcl_secs_id"] = choose.choice([None, 1, 2, 3, 4, 5, 6, -1])
            row["calltype"] = choose.choice(CALL_TYPES)
            row["calldate"] = choose.choice(MOMENTS)
            row["partition_date"] = choose.choice([*DAYS, UNLISTED_DAY])
        row["cdrid"] = choose.choice([None, number, choose.randrange(20) if repeats else number])
        row["bytes"] = choose.choice(BYTES)
        row["retailduration"] = choose.choice(SECONDS)
        row.update({name: choose.choice(COST_VALUES) for name in COSTS})
        rows.append(row)
    return rows


@pytest.fixture(params=["false", "true"], ids=["not-ansi", "ansi"])
def ansi(spark: SparkSession, request: pytest.FixtureRequest) -> Iterator[None]:
    spark.conf.set("spark.sql.ansi.enabled", request.param)
    yield
    spark.conf.unset("spark.sql.ansi.enabled")


@pytest.mark.usefixtures("ansi")
@pytest.mark.quick
def test_every_row_of_awkward_data_is_as_duckdb_has_it(spark: SparkSession, database: str, tmp_path: Path) -> None:
    source = write(spark, database, tmp_path, awkward_rows(1, 3000, repeats=True))
    expected = source.expected()
    assert len({row[-2] for row in expected}) == len(DAYS)
    assert len(expected) < 0.6 * sum(source_rows for *_, source_rows in expected)
    assert Counter(source.aggregated(repeats=True)) == Counter(expected)


@pytest.mark.parametrize("seed", [2, 3])
def test_counting_is_counting_distinct_where_no_cdrid_repeats(
    spark: SparkSession, database: str, tmp_path: Path, seed: int
) -> None:
    source = write(spark, database, tmp_path, awkward_rows(seed, 2000, repeats=False))
    expected = Counter(source.expected())
    assert Counter(source.aggregated(repeats=False)) == expected
    assert Counter(source.aggregated(repeats=True)) == expected


def test_counting_is_wrong_where_cdrids_repeat(spark: SparkSession, database: str, tmp_path: Path) -> None:
    source = write(spark, database, tmp_path, awkward_rows(4, 500, repeats=True))
    assert Counter(source.aggregated(repeats=False)) != Counter(source.expected())


def test_all_cdrids_equal_count_once_in_each_group(spark: SparkSession, database: str, tmp_path: Path) -> None:
    rows = [{**row, "cdrid": 7} for row in awkward_rows(5, 500, repeats=True)]
    source = write(spark, database, tmp_path, rows)
    aggregated = source.aggregated(repeats=True)
    assert Counter(aggregated) == Counter(source.expected())
    assert {row[-3] for row in aggregated} == {1}


def test_two_companies_of_one_organisation_are_one_row(spark: SparkSession, database: str, tmp_path: Path) -> None:
    row = {"tcl_secs_id": 1, "calltype": "Data", "bytes": 3, "partition_date": DAYS[0]}
    source = write(
        spark, database, tmp_path, [{**row, "cdrid": 1, "companyname": "A"}, {**row, "cdrid": 2, "companyname": "B"}]
    )
    aggregated = source.aggregated(repeats=True)
    assert aggregated == source.expected()
    assert len(aggregated) == 1
