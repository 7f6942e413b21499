"""
The settings of Spark, Hive, Hadoop and Parquet that the job sets itself.

Settings that results depend on win over spark.conf, spark.submit, spark-defaults.conf and hive-site.xml. A Spark
version ignores those that it does not know. ``tests/spark/test_settings.py`` shows that no other setting of Spark SQL
changes results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from traffic_aggr.hive.sql import FILTER_PARTITIONS

GLUTEN = "spark.gluten.enabled"

_SPARK: Mapping[str, str] = {
    # Velox only aggregates; what proves the aggregation runs in the JVM (engine.py).
    GLUTEN: "false",
    "spark.sql.catalogImplementation": "hive",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.storeAssignmentPolicy": "ANSI",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    # Otherwise columns whose case differs between Parquet and the metastore would be NULL.
    "spark.sql.caseSensitive": "false",
    # Otherwise Spark would save the columns that it finds in files to the metastore.
    "spark.sql.hive.caseSensitiveInferenceMode": "NEVER_INFER",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.retainGroupColumns": "true",
    # Spark fails on Hive's tables with the opposite values.
    "spark.sql.legacy.v1IdentifierNoCatalog": "false",
    "spark.sql.debug": "false",
    # Spark 4.3's new analyzer, which is not complete, fails on the aggregation.
    "spark.sql.analyzer.singlePassResolver.enabled": "false",
    "spark.sql.analyzer.singlePassResolver.enabledTentatively": "false",
    # CHAR(5) reads as exactly five characters, VARCHAR(5) as at most five.
    "spark.sql.readSideCharPadding": "true",
    "spark.sql.legacy.charVarcharAsString": "false",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    # Hive's reader would shift timestamps by the host's time zone.
    "spark.sql.hive.convertMetastoreParquet": "true",
    # Reads dates and timestamps before 1582 as Impala does, rather than failing.
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    # A damaged or missing file must be an error, not fewer rows.
    "spark.files.ignoreCorruptFiles": "false",
    "spark.files.ignoreMissingFiles": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
}

_HADOOP: Mapping[str, str] = {
    "hive.exec.dynamic.partition": "true",
    "hive.exec.dynamic.partition.mode": "nonstrict",
    # The job has its own limit, partitions.max_per_run.
    "hive.exec.max.dynamic.partitions": "1000000",
    "hive.exec.max.dynamic.partitions.pernode": "1000000",
    # Hive's reader must read subdirectories, as Hive on Tez and Impala do.
    "mapreduce.input.fileinputformat.input.dir.recursive": "true",
    # Spark 4 begins the names of files with it: with one like _x readers would not see them.
    "mapreduce.output.basename": "part",
    # The text reader silently skips longer lines.
    "mapreduce.input.linerecordreader.line.maxlength": "2147483647",
    # Not every reader supports the encodings of version 2.
    "parquet.writer.version": "PARQUET_1_0",
    "dfs.client.read.shortcircuit.skip.checksum": "false",
}


def _spellings(key: str) -> Iterator[str]:
    """Yields the names in Spark's configuration that set Hadoop's ``key``."""
    yield f"spark.hadoop.{key}"
    if key.startswith("hive."):
        yield f"spark.{key}"
    yield key


CORRECTNESS: Mapping[str, str] = {
    **_SPARK,
    **{spelling: value for key, value in _HADOOP.items() for spelling in _spellings(key)},
}
"""The settings that results depend on."""

REFUSED = ("textinputformat.record.delimiter", "mapreduce.input.pathFilter.class")
"""
Hadoop settings that change results and have no neutral value, so the job refuses to start with them.

Unsetting them would not last: Hadoop rereads its files whenever a class adds a configuration file of its own.
"""

JAVA_OPTIONS = "-Duser.language=en -Duser.timezone=UTC -Dfile.encoding=UTF-8"
"""Options of the executors' JVMs: lower-casing depends on their locale, Hive's readers on their time zone."""

DEFAULTS: Mapping[str, str] = {
    # With more days, Spark's filter names only the first and the last.
    "spark.sql.hive.metastorePartitionPruningInSetThreshold": str(FILTER_PARTITIONS),
    # Spark lists the directories of more than 32 partitions in a job, by default with a task for each.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "32",
    # The two-level aggregate map only adds cost at this group count.
    "spark.sql.codegen.aggregate.map.twolevel.enabled": "false",
    # Hive creates a directory for added jars and leaves it behind. The job adds none, so all sessions share one.
    "spark.hadoop.hive.downloaded.resources.dir": "${java.io.tmpdir}/hive_resources_${user.name}",
}

# Local mode needs no network: neither a resolvable host name nor ports that other hosts could reach.
LOCAL_DEFAULTS: Mapping[str, str] = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    # Derby, the embedded metastore's database, takes seconds to compile a query that names ten thousand partitions.
    "spark.hadoop.hive.metastore.direct.sql.batch.size": "1000",
}
