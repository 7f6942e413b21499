"""
No setting changes a number. Every setting of Spark SQL is turned, and those of Hive, Hadoop and Parquet that touch
reading and writing, and the result on awkward days is compared with DuckDB's.

A run for each would take an hour, so settings are turned many at a time. A group that fails is halved until the
setting is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Optional

import duckdb
import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from tests.support.awkward_days import AwkwardDays, settings
from tests.support.settings import known_settings, said_of_nonsense
from traffic_aggr.spark.settings import CORRECTNESS

GROUPS = 8
Flip = tuple[str, str]

OTHER_VALUES: Mapping[str, Sequence[str]] = {
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": ["100"],
    "spark.sql.adaptive.autoBroadcastJoinThreshold": ["-1", "1g"],
    "spark.sql.autoBroadcastJoinThreshold": ["-1", "1g"],
    "spark.sql.codegen.hugeMethodLimit": ["1"],
    "spark.sql.codegen.maxFields": ["1"],
    "spark.sql.codegen.methodSplitThreshold": ["1"],
    "spark.sql.files.maxPartitionBytes": ["15000"],
    "spark.sql.files.maxRecordsPerFile": ["30"],
    "spark.sql.files.minPartitionNum": ["1", "9"],
    "spark.sql.hive.metastorePartitionPruningInSetThreshold": ["1", "1000"],
    "spark.sql.inMemoryColumnarStorage.batchSize": ["3"],
    "spark.sql.maxConcurrentOutputFileWriters": ["2"],
    "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": ["1"],
    "spark.sql.optimizer.inSetConversionThreshold": ["0"],
    "spark.sql.optimizer.inSetSwitchThreshold": ["0"],
    "spark.sql.parquet.columnarReaderBatchSize": ["3"],
    "spark.sql.shuffle.partitions": ["1", "7"],
    "spark.sql.sources.default": ["text"],
    "spark.sql.sources.parallelPartitionDiscovery.threshold": ["0"],
    "spark.sql.sources.useV1SourceList": ["csv"],
    "spark.sql.windowExec.buffer.in.memory.threshold": ["1"],
    "spark.sql.windowExec.buffer.spill.threshold": ["1"],
}
"""Values of settings that are neither on or off nor one of a few, chosen to make Spark go another way."""

HADOOP: Mapping[str, Sequence[str]] = {
    "hive.default.fileformat": ["ORC"],
    "hive.exec.compress.output": ["true"],
    "hive.exec.drop.ignorenonexistent": ["false"],
    "hive.groupby.skewindata": ["true"],
    "hive.input.format": ["org.apache.hadoop.hive.ql.io.HiveInputFormat"],
    "hive.insert.into.multilevel.dirs": ["true"],
    "hive.lazysimple.extended_boolean_literal": ["true"],
    "hive.mapred.supports.subdirectories": ["true"],
    "hive.output.file.extension": [".txt"],
    "hive.parquet.timestamp.skip.conversion": ["false", "true"],
    "hive.serialization.extend.nesting.levels": ["true"],
    "hive.stats.autogather": ["false"],
    "hive.support.quoted.identifiers": ["none"],
    "hive.typecheck.on.insert": ["false"],
    "io.compression.codecs": ["org.apache.hadoop.io.compress.BZip2Codec"],
    "io.file.buffer.size": ["16"],
    "io.skip.checksum.errors": ["true"],
    "mapreduce.fileoutputcommitter.algorithm.version": ["1", "2"],
    "mapreduce.fileoutputcommitter.cleanup.skipped": ["true"],
    "mapreduce.fileoutputcommitter.marksuccessfuljobs": ["false"],
    "mapreduce.fileoutputcommitter.task.cleanup.enabled": ["true"],
    "mapreduce.input.fileinputformat.input.dir.nonrecursive.ignore.subdirs": ["true"],
    "mapreduce.input.fileinputformat.input.dir.recursive": ["true"],
    "mapreduce.input.fileinputformat.list-status.num-threads": ["4"],
    "mapreduce.input.fileinputformat.split.maxsize": ["50"],
    "mapreduce.input.fileinputformat.split.minsize": ["50", "1000000000"],
    "mapreduce.output.fileoutputformat.compress": ["true"],
    "mapreduce.output.textoutputformat.separator": [";"],
    "parquet.block.size": ["4096"],
    "parquet.bloom.filter.enabled": ["true"],
    "parquet.column.index.access": ["true"],
    "parquet.compression": ["UNCOMPRESSED", "GZIP"],
    "parquet.dictionary.page.size": ["10"],
    "parquet.enable.dictionary": ["false"],
    "parquet.enable.summary-metadata": ["true"],
    "parquet.filter.bloom.enabled": ["false"],
    "parquet.filter.columnindex.enabled": ["false"],
    "parquet.filter.dictionary.enabled": ["false"],
    "parquet.filter.record-level.enabled": ["false"],
    "parquet.filter.stats.enabled": ["false"],
    "parquet.hadoop.vectored.io.enabled": ["true", "false"],
    "parquet.page.row.count.limit": ["3"],
    "parquet.page.size": ["100"],
    "parquet.page.verify-checksum.enabled": ["true"],
    "parquet.page.write-checksum.enabled": ["false"],
    "parquet.split.files": ["false"],
    "parquet.strict.typing": ["false", "true"],
    "parquet.task.side.metadata": ["false"],
    "parquet.validation": ["true"],
}
"""Settings of Hive, Hadoop and Parquet that touch reading and writing."""


@pytest.fixture(scope="module")
def days(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwkwardDays]:
    spark.sql("CREATE DATABASE awkward")
    yield AwkwardDays(spark, "awkward", tmp_path_factory.mktemp("awkward"))
    spark.sql("DROP DATABASE awkward CASCADE")


def other_values(spark: SparkSession, key: str, default: str) -> Sequence[str]:
    """The opposite of a boolean, each other value of an enumeration; else what is listed above, or none."""
    if key in OTHER_VALUES:
        return OTHER_VALUES[key]
    said, now = said_of_nonsense(spark, key), spark.conf.get(key, None) or default
    one_of = re.search(r"should be one of '?(.+?)(?:'\.|, but was)", said)
    boolean = re.search("should be (a/an ')?boolean", said)
    values = one_of[1].split(", ") if one_of else ["true", "false"] if boolean else []
    return [value for value in values if value.lower() != now.lower()]


def what_goes_wrong(days: AwkwardDays, flips: Sequence[Flip]) -> Optional[str]:
    """The first error or difference with some settings turned; None where there is none."""
    try:
        with settings(days.spark, dict(flips)):
            return next(iter(days.wrong()), None)
    except (PySparkException, Py4JJavaError, duckdb.Error, TypeError) as exc:
        return f"{type(exc).__name__}: {exc}"[:500]


def culprits(days: AwkwardDays, flips: Sequence[Flip]) -> list[str]:
    """The settings that change a result or fail, each with what it does; empty where none does."""
    wrong = what_goes_wrong(days, flips)
    if wrong is None:
        return []
    if len(flips) == 1:
        return [f"{flips[0][0]}={flips[0][1]}: {wrong}"]
    half = len(flips) // 2
    return culprits(days, flips[:half]) + culprits(days, flips[half:]) or [f"together {flips}: {wrong}"]


@pytest.fixture(scope="module")
def flips(spark: SparkSession) -> list[Flip]:
    """Every other value of every setting of Spark SQL that the job does not pin."""
    found = {key: default for key, default in known_settings(spark).items() if key not in CORRECTNESS}
    return [(key, value) for key, default in found.items() for value in other_values(spark, key, default)]


# A group takes every GROUPS-th setting: one that switches a feature off is rarely in a group with the feature's others.
@pytest.mark.parametrize("group", range(GROUPS))
def test_no_setting_of_spark_sql_changes_a_number(days: AwkwardDays, flips: Sequence[Flip], group: int) -> None:
    assert not culprits(days, flips[group::GROUPS])


@pytest.mark.parametrize("group", range(2))
def test_no_setting_of_hive_hadoop_or_parquet_changes_a_number(days: AwkwardDays, group: int) -> None:
    assert not culprits(days, [(key, value) for key, values in HADOOP.items() for value in values][group::2])
