"""
Rows as the steps write them: counted, together by day, and as Parquet with a directory for each day.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from traffic_aggr.hive.catalog import TableFacts
from traffic_aggr.hive.partitions import PARTITION_COLUMN, Partition
from traffic_aggr.hive.schema import Column


def counted_by_day(rows: DataFrame, days: Sequence[Partition], counts: Observation) -> DataFrame:
    """
    Returns ``rows``, which have ``source_rows``. While Spark reads them, ``counts`` sums it by day.

    Call it after the last shuffle, where a task that runs twice counts once.
    """
    numbered = rows.withColumn("_day", _number(F.col(PARTITION_COLUMN)))
    per_day = [F.sum(F.when(F.col("_day") == _number(F.lit(day)), F.col("source_rows"))).alias(day) for day in days]
    return numbered.observe(counts, *per_day).drop("_day")


def _number(day: SparkColumn) -> SparkColumn:
    """Converts a day to a number: each row is compared with every day, and strings are slow to compare."""
    return F.datediff(day, F.lit("1970-01-01"))


def together_by_day(rows: DataFrame) -> DataFrame:
    """
    Brings the rows of each day together, in files of a good size.

    Uses SQL, since PySpark's ``hint`` cannot name the column.
    """
    return rows.sparkSession.sql(f"SELECT /*+ REBALANCE({PARTITION_COLUMN}) */ * FROM {{rows}}", rows=rows)


def write_parquet(rows: DataFrame, directory: str, table: TableFacts) -> None:
    """Writes a directory for each day beneath ``directory``, compressed as ``table`` has it."""
    codec = table.properties.get("parquet.compression", "snappy")
    rows.write.mode("append").partitionBy(PARTITION_COLUMN).option("compression", codec).parquet(directory)


def read_parquet(spark: SparkSession, directory: str, columns: Sequence[Column]) -> DataFrame:
    """Returns the rows, of ``columns``, that ``write_parquet`` wrote beneath ``directory``."""
    return spark.read.schema(", ".join(f"{column.name} {column.type}" for column in columns)).parquet(directory)
