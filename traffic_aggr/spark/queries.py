"""
Queries whose results the driver needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F


def collected(*frames: DataFrame) -> list[list[Row]]:
    """Collects small results in parallel, since each leaves processors idle while Spark plans it and as it ends."""
    with ThreadPoolExecutor(len(frames)) as pool:
        return list(pool.map(DataFrame.collect, frames))


def summed_by(rows: DataFrame, dimensions: Mapping[str, Column], amounts: Mapping[str, Column]) -> DataFrame:
    """
    Sums ``amounts`` by each of ``dimensions`` separately, in one scan.

    Returns ``dimension, value`` and the names of ``amounts``. A dimension is a column of structs with one field,
    ``value``. It does not count rows in which it is NULL.
    """
    entries = [
        F.when(column.isNotNull(), F.struct(F.lit(name).alias("dimension"), column["value"].alias("value")))
        for name, column in dimensions.items()
    ]
    columns = [amount.alias(name) for name, amount in amounts.items()]
    exploded = rows.select(*columns, F.explode(F.array(*entries)).alias("_by")).where("_by IS NOT NULL")
    return exploded.groupBy("_by.dimension", "_by.value").agg(*(F.sum(name).alias(name) for name in amounts))
