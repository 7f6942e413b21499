"""
Rows as the steps write them: the aggregation of a batch of days, their order in files, and Parquet by day.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Optional

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from traffic_aggr.hive.catalog import TableFacts
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.restate.sources import Sources
from traffic_aggr.run.reconcile import RawTotals
from traffic_aggr.traffic import aggregation
from traffic_aggr.traffic.columns import PARTITION_COLUMN, STAGING_COLUMNS

_SCHEMA = ", ".join(f"{column.name} {column.type}" for column in STAGING_COLUMNS)
_COLUMNS = [column.name for column in STAGING_COLUMNS]
_BROADCAST_CDRIDS = 1_000_000
_RAW_ROWS_PER_FILE = 10_000_000
"""
Gives files of 80 MB where seven raw rows become one, and of 600 MB where each stays a row of its own.

Impala reads files of such sizes best.
"""


def aggregated(
    sources: Sources, raw: Mapping[Partition, RawTotals], counted: Observation, *, delimiters: Optional[str]
) -> DataFrame:
    """
    Returns the rows of ``STAGING_COLUMNS`` of the days whose totals ``raw`` holds.

    While Spark writes them, ``counted`` counts each day's raw rows. That is after the last shuffle, where a task that
    runs twice counts once. In the grain's text, a space takes the place of each character of ``delimiters``.
    """
    days = list(raw)
    repeats = sum(totals.repeated_cdrs for totals in raw.values())
    repeated = sources.repeated.where(F.col(PARTITION_COLUMN).isin(*days)) if repeats else None
    groups = aggregation.group(
        aggregation.select_days(sources.raw, days),
        aggregation.lookup_names(sources.organisations),
        aggregation.lookup_countries(sources.countries),
        repeated=repeated,
        broadcast_repeated=repeats <= _BROADCAST_CDRIDS,
        delimiters=delimiters,
        files_per_day=max(1, *(math.ceil(totals.rows / _RAW_ROWS_PER_FILE) for totals in raw.values())),
    )
    numbered = groups.withColumn("_day", _number(F.col(PARTITION_COLUMN)))
    per_day = [F.sum(F.when(F.col("_day") == _number(F.lit(day)), F.col("source_rows"))).alias(day) for day in days]
    return aggregation.final_rows(numbered.observe(counted, *per_day)).select(_COLUMNS)


def _number(day: Column) -> Column:
    """Converts a day to a number: each row is compared with every day, and strings are slow to compare."""
    return F.datediff(day, F.lit("1970-01-01"))


def together_by_day(rows: DataFrame) -> DataFrame:
    """
    Returns ``STAGING_COLUMNS`` of ``rows``, those of each day together in files of a good size.

    Uses SQL, since PySpark's ``hint`` cannot name the column.
    """
    by_day = f"SELECT /*+ REBALANCE({PARTITION_COLUMN}) */ * FROM {{rows}}"
    return rows.sparkSession.sql(by_day, rows=rows.select(_COLUMNS))


def write_parquet(rows: DataFrame, directory: str, table: TableFacts) -> None:
    """Writes a directory for each day beneath ``directory``, compressed as ``table`` has it."""
    codec = table.properties.get("parquet.compression", "snappy")
    rows.write.mode("append").partitionBy(PARTITION_COLUMN).option("compression", codec).parquet(directory)


def read_parquet(spark: SparkSession, directory: str) -> DataFrame:
    """Returns the rows, of ``STAGING_COLUMNS``, that ``write_parquet`` wrote beneath ``directory``."""
    return spark.read.schema(_SCHEMA).parquet(directory)
