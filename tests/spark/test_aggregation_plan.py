"""What Spark reads, shuffles and sorts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.support.aggregated_rows import MakeRaw
from traffic_aggr.restate.sources import of_partitions
from traffic_aggr.traffic.aggregation import (
    aggregate,
    raw_totals,
    repeated_cdrids,
)
from traffic_aggr.traffic.columns import COSTS, RAW_COLUMNS
from traffic_aggr.traffic.job import TRAFFIC


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
