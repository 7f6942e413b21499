"""
Settings of Spark that fit the number of bytes that a run reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

SHUFFLE_PARTITIONS = "spark.sql.shuffle.partitions"

_COMPILES_FROM = 16 * 1024**2
"""Bytes of raw. With fewer, compiling the queries takes longer than it saves: a tenth of a small run."""
_INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
_BYTES_PER_TASK = 128 * 1024**2
"""Bytes of raw whose groups a task merges without spilling in 1 GiB of memory."""
_TASKS_PER_CORE = 2


@contextmanager
def sized_for(spark: SparkSession, size: int) -> Iterator[None]:
    """
    Fits Spark's settings to the queries inside, which read ``size`` bytes. Settings of the configuration win.

    Spark interprets queries over few bytes, and shuffles rows into ``shuffle_partitions``.
    """
    fitting = {SHUFFLE_PARTITIONS: str(shuffle_partitions(spark.sparkContext.defaultParallelism, size))}
    if size < _COMPILES_FROM:
        fitting |= _INTERPRETED
    changed = {key: value for key, value in fitting.items() if spark.conf.get(key, None) is None}
    for key, value in changed.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        with suppress(Py4JError, OSError):  # a lost JVM may be what ended the run
            for key in changed:
                spark.conf.unset(key)


def shuffle_partitions(cores: int, size: int) -> int:
    """Returns the number of shuffle partitions for queries that read ``size`` bytes. Spark's default is 200 for all."""
    return max(cores * _TASKS_PER_CORE, math.ceil(size / _BYTES_PER_TASK))
