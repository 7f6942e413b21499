"""
Small queries whose results the driver needs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from pyspark.sql import DataFrame, Row


def collected(*frames: DataFrame) -> list[list[Row]]:
    """Collects small results in parallel, since each leaves processors idle while Spark plans it and as it ends."""
    with ThreadPoolExecutor(len(frames)) as pool:
        return list(pool.map(DataFrame.collect, frames))
