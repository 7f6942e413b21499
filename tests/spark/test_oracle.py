"""
Every column of every row of the aggregation against DuckDB's answer on the same files, on awkward data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from tests.support.awkward_rows import COUNTRIES, DAYS, ORGANISATIONS, awkward_rows
from tests.support.oracle import expected_rows
from traffic_aggr.restate.sources import of_partitions
from traffic_aggr.spark.engine import aggregating
from traffic_aggr.traffic.aggregation import aggregate, lookup_countries, lookup_names, repeated_cdrids
from traffic_aggr.traffic.columns import RAW_COLUMNS
from traffic_aggr.traffic.job import TRAFFIC


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
        days = of_partitions(self.raw_frame, TRAFFIC, DAYS)
        repeated = repeated_cdrids(days) if repeats else None
        rows = aggregate(days, self.organisation_names, self.country_names, repeated=repeated)
        with aggregating(rows.sparkSession):
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
