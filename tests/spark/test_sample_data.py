from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from traffic_aggr.config.config import TablesConfig
from traffic_aggr.errors import InputError
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.hive.partitions import PartitionList, parse_partition_list
from traffic_aggr.hive.schema import check_columns, check_layout
from traffic_aggr.restate.row_checks import duplicate_keys
from traffic_aggr.run.sample import SampleData, SampleRequest
from traffic_aggr.traffic.aggregation import (
    aggregate,
    lookup_countries,
    lookup_names,
    repeated_cdrids,
)
from traffic_aggr.traffic.columns import COUNTRY_LOOKUP_COLUMNS, ORG_DETAILS_COLUMNS, RAW_COLUMNS, STAGING_COLUMNS
from traffic_aggr.traffic.sample_data import generate
from traffic_aggr.traffic.sample_rows import BIGGEST_CUSTOMER, cdrs

DAYS = [f"2021-04-0{number}" for number in range(1, 7)]
DAY_ZERO = datetime.date(2021, 3, 31)
ROWS_PER_DAY = 700
FINAL = [column.name for column in STAGING_COLUMNS]


def tables_in(spark: SparkSession, database: str) -> list[str]:
    return [row.tableName for row in spark.sql(f"SHOW TABLES IN {database}").collect()]


@dataclass(frozen=True)
class Sample:
    """Sample data that was made once for all tests of this file."""

    made: SampleData
    out: Path
    raw: DataFrame
    org_details: DataFrame
    country_lookup: DataFrame
    old: DataFrame
    right: DataFrame

    def listed(self) -> PartitionList:
        with open(self.made.partition_list, "rb") as stream:
            return parse_partition_list(stream, "list")

    def differing(self, day: str) -> tuple[int, int]:
        """Rows of a day that only the old table has, and rows that it lacks."""
        old, right = (frame.where(F.col("partition_date") == day).select(FINAL) for frame in (self.old, self.right))
        return old.exceptAll(right).count(), right.exceptAll(old).count()


@pytest.fixture(scope="module")
def sample(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    out = tmp_path_factory.mktemp("sample") / "made"
    tables = TablesConfig(database="sample_data_once")
    made = generate(spark, tables, LocalFiles(), f"file:{out}", SampleRequest(len(DAYS), ROWS_PER_DAY))
    found = [
        spark.table(f"{tables.database}.{getattr(tables, key)}")
        for key in ("raw", "org_details", "country_lookup", "final")
    ]
    raw, org_details, country_lookup, old = found
    customers, places = lookup_names(org_details), lookup_countries(country_lookup)
    right = aggregate(raw, customers, places, repeated=repeated_cdrids(raw))
    yield Sample(made, out, raw, org_details, country_lookup, old.cache(), right.select(FINAL).cache())
    spark.catalog.clearCache()
    spark.sql(f"DROP DATABASE {tables.database} CASCADE")


def checksum(rows: DataFrame) -> Any:
    """Equal for equal rows in any order."""
    row = rows.select(F.sum(F.xxhash64(*rows.columns).cast("decimal(38,0)")), F.count(F.lit(1))).first()
    assert row is not None
    return tuple(row)


def made_rows(spark: SparkSession, first: int, days: int, seed: int = 1) -> DataFrame:
    return cdrs(spark, day_zero=DAY_ZERO, first=first, days=days, rows_per_day=500, seed=seed)


def test_the_same_seed_makes_the_same_rows_however_they_are_partitioned(spark: SparkSession) -> None:
    together = made_rows(spark, 1, 2)
    apart = made_rows(spark, 2, 1).unionByName(made_rows(spark, 1, 1)).repartition(5)
    assert checksum(together) == checksum(apart)


def test_another_seed_makes_other_rows(spark: SparkSession) -> None:
    assert checksum(made_rows(spark, 1, 1, seed=1)) != checksum(made_rows(spark, 1, 1, seed=2))


def test_raw_has_what_the_job_needs_among_many_more_columns(sample: Sample) -> None:
    assert check_columns("raw", sample.raw.dtypes, RAW_COLUMNS) == []
    assert len(sample.raw.columns) == 43
    names = [column.name for column in RAW_COLUMNS]
    assert [name for name in sample.raw.columns if name in names] != names


def test_every_listed_day_has_its_rows_in_several_files(sample: Sample) -> None:
    counts = {row.partition_date: row["count"] for row in sample.raw.groupBy("partition_date").count().collect()}
    assert counts == dict.fromkeys(DAYS, ROWS_PER_DAY)
    files = {day: len(list((sample.out / "raw" / f"partition_date={day}").glob("*.parquet"))) for day in DAYS}
    assert files == dict.fromkeys(DAYS, 3)


def test_groups_hold_several_rows(sample: Sample) -> None:
    assert 0.10 < sample.right.count() / (len(DAYS) * ROWS_PER_DAY) < 0.18


def test_few_customers_have_most_of_the_rows(sample: Sample) -> None:
    rows = sorted(row["count"] for row in sample.raw.groupBy("customernumber").count().collect())
    assert sum(rows[-len(rows) // 5 :]) > 0.5 * sum(rows)


@pytest.mark.parametrize(
    "awkward",
    [
        "calltype IS NULL",
        "trim(calltype) = ''",
        "calltype <> trim(calltype)",
        "lower(trim(calltype)) NOT IN ('data', 'voice', 'sms', '')",
        "lower(calltype) = 'data' AND calltype <> 'Data'",
        "mcc <> trim(mcc)",
        "trim(mcc) NOT IN (SELECT trim(mcc) FROM sample_data_once.country_lookup WHERE mcc IS NOT NULL)",
        "tcl_secs_id NOT IN (SELECT orgno FROM sample_data_once.org_details WHERE orgno IS NOT NULL)",
        "cdrid IS NULL",
        "vin IS NULL",
        "vin = ''",
        "bytes IS NULL",
        "retailduration IS NULL",
        "whole_sale_cost_4 IS NULL",
        "whole_sale_cost_1 < 0",
        "calldate < partition_date",
        "lower(trim(calltype)) = 'sms' AND bytes > 0",
    ],
)
def test_awkward_values_are_there(sample: Sample, awkward: str) -> None:
    assert not sample.raw.where(awkward).isEmpty()


def test_one_cdrid_in_a_thousand_repeats(sample: Sample) -> None:
    assert 0 < repeated_cdrids(sample.raw).count() < 0.005 * len(DAYS) * ROWS_PER_DAY


def test_lookups_are_as_the_contract_has_them_with_unique_keys(sample: Sample) -> None:
    assert check_columns("org_details", sample.org_details.dtypes, ORG_DETAILS_COLUMNS) == []
    assert check_columns("country_lookup", sample.country_lookup.dtypes, COUNTRY_LOOKUP_COLUMNS) == []
    assert duplicate_keys(sample.org_details, "orgno").isEmpty()
    assert duplicate_keys(sample.country_lookup, "mcc").isEmpty()


def test_org_details_is_text_with_nulls(sample: Sample) -> None:
    assert {row.orgname for row in sample.org_details.where("orgno IS NULL").collect()} == {"Unnumbered Ltd"}
    assert sample.org_details.where("orgname IS NULL").count() == 1


def test_the_list_is_as_upstream_leaves_it(sample: Sample) -> None:
    listed = sample.listed()
    assert list(listed.partitions) == DAYS
    assert (len(listed.skipped), list(listed.repeated)) == (1, [DAYS[0]])
    assert Path(sample.made.partition_list).read_text().startswith("#")


def test_the_summary_says_what_was_made(sample: Sample) -> None:
    assert (sample.made.rows, sample.made.days) == (len(DAYS) * ROWS_PER_DAY, len(DAYS))
    assert sample.made.bytes == sum(file.stat().st_size for file in sample.out.rglob("*") if file.is_file())
    assert str(sample.out / "partitions.txt") in str(sample.made)


def test_final_has_the_columns_of_the_contract(sample: Sample) -> None:
    assert check_layout("final", sample.old.dtypes, STAGING_COLUMNS) == []


def test_final_lacks_the_last_listed_day_and_has_one_at_each_end(sample: Sample) -> None:
    days = {row.partition_date for row in sample.old.select("partition_date").distinct().collect()}
    assert days == {"2021-03-31", *DAYS[:-1], "2021-04-07"}


@pytest.mark.parametrize("day", [DAYS[0], DAYS[4]])
def test_some_days_lost_groups(sample: Sample, day: str) -> None:
    added, lost = sample.differing(day)
    assert added == 0
    assert 0 < lost < 0.2 * sample.right.where(F.col("partition_date") == day).count()


def test_on_some_days_a_customer_counts_twice(sample: Sample) -> None:
    mine = (F.col("partition_date") == DAYS[1]) & (F.col("customernumber") == BIGGEST_CUSTOMER)
    old, right = (frame.where(mine).select(F.sum("data_usage_in_kb")).first() for frame in (sample.old, sample.right))
    assert old is not None
    assert right is not None
    assert old[0] == 2 * right[0] > 0


@pytest.mark.parametrize("day", DAYS[2:4])
def test_the_other_days_are_right(sample: Sample, day: str) -> None:
    assert sample.differing(day) == (0, 0)


def test_text_final_is_as_in_production(spark: SparkSession, database: str, tmp_path: Path, sample: Sample) -> None:
    tables = TablesConfig(database=database)
    generate(
        spark,
        tables,
        LocalFiles(),
        f"file:{tmp_path}/out",
        SampleRequest(len(DAYS), ROWS_PER_DAY, final_format="text"),
    )
    final = f"{database}.{tables.final}"
    properties = {row.key: row.value for row in spark.sql(f"SHOW TBLPROPERTIES {final}").collect()}
    assert properties["external.table.purge"] == "true"
    file = next((tmp_path / "out" / "final").glob("partition_date=2021-04-01/part-*"))
    assert file.read_text().splitlines()[0].count(";") == len(FINAL) - 2
    assert checksum(spark.table(final).select(FINAL)) == checksum(sample.old.select(FINAL))


def test_a_directory_with_something_in_it_is_refused(spark: SparkSession, database: str, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(InputError, match="not an empty directory"):
        generate(
            spark,
            TablesConfig(database=database),
            LocalFiles(),
            f"file:{tmp_path}",
            SampleRequest(1, 10),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert tables_in(spark, database) == []


def test_a_table_with_its_data_elsewhere_is_refused_and_stays(
    spark: SparkSession, database: str, tmp_path: Path
) -> None:
    tables = replace(TablesConfig(database=database), final="precious")
    spark.sql(f"CREATE TABLE {database}.precious (a INT) STORED AS PARQUET")
    with pytest.raises(InputError, match="precious exists, with its data in") as refused:
        generate(spark, tables, LocalFiles(), f"file:{tmp_path}/out", SampleRequest(1, 10))
    assert not (tmp_path / "out").exists()
    assert tables_in(spark, database) == ["precious"]
    assert "drop" not in str(refused.value)


def test_a_table_with_a_partition_elsewhere_is_refused_and_stays(
    spark: SparkSession, database: str, tmp_path: Path
) -> None:
    tables = replace(TablesConfig(database=database), final="precious")
    spark.sql(
        f"CREATE TABLE {database}.precious (a INT) PARTITIONED BY (partition_date STRING) STORED AS PARQUET "
        f"LOCATION 'file:{tmp_path}/out/final'"
    )
    elsewhere = f"file:{tmp_path}/elsewhere"
    spark.sql(f"ALTER TABLE {database}.precious ADD PARTITION (partition_date='2021-04-01') LOCATION '{elsewhere}'")
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(InputError, match=f"precious exists, with its data in {elsewhere}"):
        generate(spark, tables, LocalFiles(), f"file:{tmp_path}/out", SampleRequest(1, 10))
    assert tables_in(spark, database) == ["precious"]


def test_sample_data_whose_files_were_deleted_can_be_made_again(
    spark: SparkSession, database: str, tmp_path: Path
) -> None:
    tables = TablesConfig(database=database)
    for days in (1, 2):
        generate(spark, tables, LocalFiles(), f"file:{tmp_path}/out", SampleRequest(days, 10))
        assert spark.table(f"{database}.{tables.raw}").count() == 10 * days
        shutil.rmtree(tmp_path / "out")
