"""
Queries whose results the driver needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Callable, Optional, TypeVar

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as F

First = TypeVar("First")
Second = TypeVar("Second")

_THREADS = ThreadPoolExecutor(thread_name_prefix="query")
"""They are kept, since each has a connection to the JVM, and there a thread with a metastore client of its own."""


def collected(*frames: DataFrame) -> list[list[Row]]:
    """Collects small results in parallel, since each leaves processors idle while Spark plans it and as it ends."""
    return _in_parallel(*(frame.collect for frame in frames))


def both(first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
    """Calls both in parallel, since Spark plans a query in one thread. Raises the first's error if both fail."""
    found, other = _in_parallel(first, second)
    return found, other


def _in_parallel(first: Callable[[], Any], *others: Callable[[], Any]) -> list[Any]:
    pending = [_THREADS.submit(each) for each in others]
    try:
        found = first()
    finally:
        wait(pending)
    return [found, *(each.result() for each in pending)]


def on_executor(spark: SparkSession, java_class: str, method: str, argument: str) -> Optional[str]:
    """Calls a static method of Java with a text on an executor. Returns its result as text; None for Java's null."""
    call = F.call_function("java_method", F.lit(java_class), F.lit(method), F.lit(argument))
    ((found,),) = spark.range(0, 1, 1, 1).select(call).collect()
    return None if found in (None, "null") else str(found)


def summed_by(rows: DataFrame, dimensions: Mapping[str, Column], amounts: Mapping[str, Column]) -> DataFrame:
    """
    Sums ``amounts`` by each of ``dimensions`` separately, in one scan.

    Returns ``dimension, value, partition`` and the names of ``amounts``. A dimension is a column of structs with the
    text fields ``value`` and ``partition``; the latter is NULL where values are summed over all partitions. Rows in
    which the whole struct is NULL do not count.
    """
    entries = [
        F.when(
            column.isNotNull(),
            F.struct(
                F.lit(name).alias("dimension"), column["value"].alias("value"), column["partition"].alias("partition")
            ),
        )
        for name, column in dimensions.items()
    ]
    columns = [amount.alias(name) for name, amount in amounts.items()]
    # In one select, Spark would compute the amounts after it has exploded the rows, so for each dimension again.
    measured = rows.select(*columns, F.array(*entries).alias("_entries"))
    exploded = measured.select(*amounts, F.explode("_entries").alias("_by")).where("_by IS NOT NULL")
    return exploded.groupBy("_by.dimension", "_by.value", "_by.partition").agg(
        *(F.sum(name).alias(name) for name in amounts)
    )
