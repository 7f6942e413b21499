"""Which partitions of a table the metastore is asked for: the listed ones, however many others there are."""

from __future__ import annotations

import datetime
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.support.warehouse import Job
from traffic_aggr.hive.catalog import Directory, HiveCatalog, HiveTable, location_of
from traffic_aggr.hive.metastore import MetastoreClient
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.sql import TableName

DAYS = [Partition(str(datetime.date(2021, 1, 1) + datetime.timedelta(days=number))) for number in range(80)]
MISSING = Partition("2020-12-31")


@pytest.fixture
def table(spark: SparkSession, database: str, tmp_path: Path) -> HiveTable:
    """A table with a partition for each of ``DAYS``, and two that are no days."""
    values = [*DAYS, "2021-01-x", "__HIVE_DEFAULT_PARTITION__"]
    where = " ".join(f"PARTITION (partition_date='{value}')" for value in values[:-1])
    spark.sql(
        f"CREATE EXTERNAL TABLE {database}.t (a INT) PARTITIONED BY (partition_date STRING)"
        f" STORED AS PARQUET LOCATION '{tmp_path}'"
    )
    spark.sql(f"ALTER TABLE {database}.t ADD {where}")
    spark.sql(f"INSERT INTO {database}.t PARTITION (partition_date) SELECT 1, CAST(NULL AS STRING)")
    catalog = HiveCatalog(spark)
    facts = catalog.facts(TableName(database, "t"))
    assert facts is not None
    return catalog.table(facts)


@pytest.mark.parametrize(
    "wanted",
    [[], DAYS[:1], DAYS[:50], DAYS[:51], DAYS[::40], DAYS, DAYS[:10] + DAYS[30:]],
    ids=["none", "one", "fifty", "more", "far apart", "all", "with a gap"],
)
def test_those_that_are_wanted_and_there_are_found(table: HiveTable, wanted: list[Partition]) -> None:
    asked = [MISSING, *wanted]
    found = table.partitions(asked)
    assert sorted(found) == wanted
    assert all(where.location.endswith(f"/partition_date={day}") for day, where in found.items())
    assert sorted(table.promises(asked)) == wanted
    assert sorted(each.spec["partition_date"] for each in table.directories("partition_date", asked)) == wanted


def test_all_are_days_alone(table: HiveTable) -> None:
    assert sorted(table.all_partitions()) == DAYS
    assert sorted(table.all_locations()) == DAYS
    assert len(table.directories()) == len(DAYS) + 2


@pytest.mark.parametrize("hive_differs", [False, True], ids=["as known", "another version of Hive's client"])
def test_days_alone_are_cleared_and_their_files_stay(
    table: HiveTable,
    tmp_path: Path,
    hive_differs: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if hive_differs:
        monkeypatch.setattr("traffic_aggr.hive.metastore._WRAPPED", {})
    (file,) = tmp_path.glob("*/*.parquet")
    with caplog.at_level(logging.DEBUG, "traffic_aggr.hive.catalog"):
        table.clear()
        table.clear()
    assert table.all_partitions() == []
    assert sorted(each.name for each in table.directories()) == [
        "partition_date=2021-01-x",
        "partition_date=__HIVE_DEFAULT_PARTITION__",
    ]
    assert file.exists()
    assert ("Spark drops 80 partitions one by one" in caplog.text) == hive_differs


def test_all_directories_are_those_that_spark_lists(spark: SparkSession, database: str, tmp_path: Path) -> None:
    spark.sql(
        f"CREATE EXTERNAL TABLE {database}.t (a INT) PARTITIONED BY (region STRING, partition_date STRING)"
        f" STORED AS PARQUET LOCATION '{tmp_path}/t'"
    )
    catalog = HiveCatalog(spark)
    facts = catalog.facts(TableName(database, "t"))
    assert facts is not None
    table = catalog.table(facts)
    assert table.directories() == []

    elsewhere = ["", f"{tmp_path}/t2", f"file://{tmp_path}//a/./b/../c/", f"{tmp_path}/ü b%20c"]
    for number, location in enumerate(elsewhere):
        where = f"LOCATION '{location}'" if location else ""
        partition = f"PARTITION (region='ö/{number} %=', partition_date='{DAYS[0]}')"
        spark.sql(f"ALTER TABLE {database}.t ADD {partition} {where}")

    told = catalog.read(catalog.client.getPartitions(database, "t", catalog.classes.option.empty()))
    expected = [Directory(location_of(each["storage"]), each["spec"]) for each in told]
    with ThreadPoolExecutor(1) as thread:
        in_another_thread = thread.submit(table.directories).result()
    assert sorted(table.directories(), key=str) == sorted(in_another_thread, key=str) == sorted(expected, key=str)
    assert len(expected) == len(elsewhere)


def test_one_of_several_partition_columns_may_be_wanted(spark: SparkSession, database: str, tmp_path: Path) -> None:
    spark.sql(
        f"CREATE EXTERNAL TABLE {database}.t (a INT) PARTITIONED BY (region STRING, partition_date STRING)"
        f" STORED AS PARQUET LOCATION '{tmp_path}'"
    )
    for day in DAYS[:2]:
        for region in ("north", "south"):
            spark.sql(f"ALTER TABLE {database}.t ADD PARTITION (region='{region}', partition_date='{day}')")
    catalog = HiveCatalog(spark)
    facts = catalog.facts(TableName(database, "t"))
    assert facts is not None
    found = catalog.table(facts).directories("partition_date", [DAYS[1]])
    assert sorted(each.spec["region"] for each in found) == ["north", "south"]
    assert {each.spec["partition_date"] for each in found} == {DAYS[1]}


def test_a_run_lists_raw_and_the_final_table_once_each(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.create_final()
    listed: list[str] = []
    everything = MetastoreClient.partitions

    def counted(client: MetastoreClient, name: TableName) -> Any:
        listed.append(name.name)
        return everything(client, name)

    monkeypatch.setattr(MetastoreClient, "partitions", counted)

    result = job("run")

    assert result.code == 0, result.err
    assert sorted(listed) == ["traffic_aggr_adhoc", "traffic_details_raw_daily_with_no_dups"]


def test_there_are_no_facts_about_a_table_that_is_not_there(job: Job) -> None:
    catalog = HiveCatalog(job.spark)
    assert catalog.facts(TableName(job.database, "missing")) is None
    assert catalog.facts(TableName("missing", "missing")) is None
