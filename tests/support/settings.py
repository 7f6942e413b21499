"""The settings that a version of Spark SQL knows, and what it says to values of them."""

from __future__ import annotations

from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from tests.support.awkward_days import settings

NONSENSE = "no such value"


def known_settings(spark: SparkSession) -> dict[str, str]:
    """The settings of Spark SQL in this version, undocumented ones too, and their defaults."""
    jvm: Any = spark.sparkContext._jvm
    jvm.org.apache.spark.sql.hive.HiveUtils.CONVERT_METASTORE_PARQUET()  # makes Hive's known
    companion = jvm.java.lang.Class.forName("org.apache.spark.sql.internal.SQLConf$")
    entries = companion.getField("MODULE$").get(None).getConfigEntries()
    return {
        entry.key(): entry.defaultValueString() for entry in sorted(entries.toArray(), key=lambda entry: entry.key())
    }


def said_of_nonsense(spark: SparkSession, key: str) -> str:
    """What Spark says to a value that no setting has; empty where it takes it."""
    try:
        with settings(spark, {key: NONSENSE}):
            return ""
    except (PySparkException, Py4JJavaError) as exc:
        return str(exc)
