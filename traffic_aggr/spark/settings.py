"""
Settings of Spark, and of Hive, Hadoop and Parquet inside it, that the job sets itself.

Those that results depend on win over spark.conf, spark.submit, spark-defaults.conf and hive-site.xml. A version of
Spark that does not know one of them ignores it. ``tests/spark/test_settings.py`` turns all the others of Spark SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_SPARK: Mapping[str, str] = {
    "spark.sql.catalogImplementation": "hive",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.storeAssignmentPolicy": "ANSI",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    # Columns that Parquet spells otherwise than the metastore would be NULL.
    "spark.sql.caseSensitive": "false",
    # Spark would save the columns that it finds in files in the metastore.
    "spark.sql.hive.caseSensitiveInferenceMode": "NEVER_INFER",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.retainGroupColumns": "true",
    # The opposites make Spark fail over Hive's tables.
    "spark.sql.legacy.v1IdentifierNoCatalog": "false",
    "spark.sql.debug": "false",
    # CHAR(5) is five characters, VARCHAR(5) at most five.
    "spark.sql.readSideCharPadding": "true",
    "spark.sql.legacy.charVarcharAsString": "false",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    # Hive's reader shifts timestamps by the host's time zone.
    "spark.sql.hive.convertMetastoreParquet": "true",
    # Dates and timestamps before 1582 as Impala reads them, rather than an error.
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    # A file that is damaged, or gone, is an error and not fewer rows.
    "spark.files.ignoreCorruptFiles": "false",
    "spark.files.ignoreMissingFiles": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
}

_HADOOP: Mapping[str, str] = {
    "hive.exec.dynamic.partition": "true",
    "hive.exec.dynamic.partition.mode": "nonstrict",
    # partitions.max_per_run is the job's own limit.
    "hive.exec.max.dynamic.partitions": "1000000",
    "hive.exec.max.dynamic.partitions.pernode": "1000000",
    # Hive's reader takes sub-directories too, as Hive on Tez and Impala do.
    "mapreduce.input.fileinputformat.input.dir.recursive": "true",
    # Longer lines of text are skipped.
    "mapreduce.input.linerecordreader.line.maxlength": "2147483647",
    # Not every reader knows the encodings of version 2.
    "parquet.writer.version": "PARQUET_1_0",
    "dfs.client.read.shortcircuit.skip.checksum": "false",
}


def _spellings(key: str) -> Iterator[str]:
    """The names in Spark's configuration that set Hadoop's ``key``."""
    yield f"spark.hadoop.{key}"
    if key.startswith("hive."):
        yield f"spark.{key}"
    yield key


CORRECTNESS: Mapping[str, str] = {
    **_SPARK,
    **{spelling: value for key, value in _HADOOP.items() for spelling in _spellings(key)},
}
"""What the results depend on."""

REFUSED = ("textinputformat.record.delimiter", "mapreduce.input.pathFilter.class")
"""
Hadoop settings that results depend on and that have no neutral value. Taking them out would not last: Hadoop reads its
files again whenever a class brings a file of its own.
"""

JAVA_OPTIONS = "-Duser.language=en -Duser.timezone=UTC -Dfile.encoding=UTF-8"
"""Options of the executors' JVM, whose locale decides how letters are lowered, and whose zone Hive's readers use."""

DEFAULTS: Mapping[str, str] = {
    # A metastore's stack overflows at a filter that names a thousand days. Where more than these are listed, it is
    # asked for all between the first and the last.
    "spark.sql.hive.metastorePartitionPruningInSetThreshold": "50",
    # The small map that Spark puts before its map of groups only costs where there are as many groups as here.
    "spark.sql.codegen.aggregate.map.twolevel.enabled": "false",
    # Hive makes a directory for jars that it is given, which it is not here, and leaves it: one, not one a session.
    "spark.hadoop.hive.downloaded.resources.dir": "${java.io.tmpdir}/hive_resources_${user.name}",
}

# Local mode needs no network: neither a resolvable host name nor ports that other hosts could reach.
LOCAL_DEFAULTS: Mapping[str, str] = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}
