"""
Rows as the steps write them: counted, together by partition, and as Parquet with a directory for each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Optional

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from traffic_aggr.hive import sql
from traffic_aggr.hive.catalog import TableFacts
from traffic_aggr.hive.partitions import Partition, PartitionColumn
from traffic_aggr.hive.schema import Column
from traffic_aggr.run.definition import Aggregation, JobDefinition
from traffic_aggr.run.totals import Totals

_RAW_ROWS_PER_FILE = 10_000_000
"""
Gives files of 80 MB where seven raw rows become one, and of 600 MB where each stays a row of its own.

Impala reads files of such sizes best.
"""


def aggregated(
    aggregation: Aggregation,
    job: JobDefinition,
    raw: Mapping[Partition, Totals],
    counts: Observation,
    *,
    delimiters: Optional[str] = None,
) -> DataFrame:
    """
    Returns staging's rows of the partitions whose totals of raw are given.

    While Spark reads them, ``counts`` sums the number of raw rows by partition. Each character of ``delimiters`` in
    their text is a space.
    """
    return aggregation.rows(
        raw,
        partial(counted_by_partition, column=job.partition, partitions=list(raw), counts=counts),
        files=max((math.ceil(totals.rows / _RAW_ROWS_PER_FILE) for totals in raw.values()), default=1) or 1,
        delimiters=delimiters,
    ).select(job.staging_names)


def counted_by_partition(
    rows: DataFrame, column: PartitionColumn, partitions: Sequence[Partition], counts: Observation
) -> DataFrame:
    """
    Returns ``rows``, which have ``source_rows``. While Spark reads them, ``counts`` sums it by partition.

    Call it after the last shuffle, where a task that runs twice counts once.
    """
    numbered = rows.withColumn("_partition", _number(F.col(column.name), column))
    number = F.col("_partition")
    sums = [
        F.sum(F.when(number == _number(F.lit(each), column), F.col("source_rows"))).alias(each) for each in partitions
    ]
    return numbered.observe(counts, *sums).drop("_partition")


def _number(partition: SparkColumn, column: PartitionColumn) -> SparkColumn:
    """Converts a partition to a number: each row is compared with every one, and strings are slow to compare."""
    first_day = partition if column.unit == "day" else F.concat(partition, F.lit("-01"))
    return F.datediff(first_day, F.lit("1970-01-01"))


def together_by(rows: DataFrame, column: str) -> DataFrame:
    """
    Brings the rows of each partition together, in files of a good size.

    Uses SQL, since PySpark's ``hint`` cannot name the column.
    """
    return rows.sparkSession.sql(f"SELECT /*+ REBALANCE({sql.identifier(column)}) */ * FROM {{rows}}", rows=rows)


def write_parquet(rows: DataFrame, column: str, directory: str, table: TableFacts) -> None:
    """Writes a directory for each value of ``column`` beneath ``directory``, compressed as ``table`` has it."""
    codec = table.properties.get("parquet.compression", "snappy")
    rows.write.mode("append").partitionBy(column).option("compression", codec).parquet(directory)


def read_parquet(spark: SparkSession, directory: str, columns: Sequence[Column]) -> DataFrame:
    """Returns the rows, of ``columns``, that ``write_parquet`` wrote beneath ``directory``."""
    return spark.read.schema(", ".join(f"{column.name} {column.type}" for column in columns)).parquet(directory)
