"""The tables and files that a command works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import SparkSession

from traffic_aggr.files.hadoop import HadoopFiles
from traffic_aggr.files.local import Files, files_for
from traffic_aggr.hive.catalog import HiveCatalog
from traffic_aggr.restate.tables import Tables


@dataclass(frozen=True)
class Warehouse:
    """The tables and files that a command works on, once Spark runs. ``final_root`` is the final table's directory."""

    spark: SparkSession
    catalog: HiveCatalog
    files: Files
    tables: Tables
    final_root: str

    def files_of(self, location: str) -> Files:
        """Returns the file system of ``location``, which may differ from the final table's."""
        return files_of(self.spark, location)


@dataclass(frozen=True)
class LockedWarehouse(Warehouse):
    """A warehouse whose final table this process may change. ``assert_locked`` raises LockHeldError when it may not."""

    assert_locked: Callable[[], None]


def files_of(spark: SparkSession, root: str) -> Files:
    """Returns the file system that ``root`` is on."""
    context = spark.sparkContext
    return files_for(root, lambda: HadoopFiles(context._jvm, context._jsc.hadoopConfiguration()))
