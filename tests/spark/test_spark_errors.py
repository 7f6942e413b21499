"""What an operator is told of an error of Spark: the file it is about, and the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyspark.sql import SparkSession

from traffic_aggr.spark.errors import spark_says
from traffic_aggr.spark.session import explain_java_error


def said_of(spark: SparkSession, path: Path) -> str:
    """What is said when the rows of a Parquet file are read."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of which class depends on Spark's version
        spark.read.parquet(str(path)).collect()
    said = spark_says(caught.value)
    assert said is not None
    assert str(explain_java_error(caught.value)) == f"{said}. The log has the details"
    assert "Exception" not in said
    assert "\n" not in said
    return said


def test_a_damaged_page_is_said_with_its_file(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "partition_date=2021-04-01" / "part-0.parquet"
    path.parent.mkdir()
    duckdb.execute(f"COPY (SELECT range AS bytes FROM range(10000)) TO '{path}' (FORMAT PARQUET)")
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)

    assert f"file:{path}" in said_of(spark, path).replace("file:///", "file:/")


def test_the_reason_is_said_beyond_its_first_line(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "part-0.parquet"
    duckdb.execute(f"COPY (SELECT DATE '1500-01-01' AS calldate) TO '{path}' (FORMAT PARQUET)")
    mode = "spark.sql.parquet.datetimeRebaseModeInRead"
    before = spark.conf.get(mode)
    spark.conf.set(mode, "EXCEPTION")
    try:
        said = said_of(spark, path)
    finally:
        spark.conf.set(mode, str(before))

    assert "READ_ANCIENT_DATETIME" in said
    assert "before 1582-10-15" in said


def test_what_is_no_error_of_spark_is_not_explained() -> None:
    assert spark_says(ValueError("x")) is None


def test_an_error_of_velox_is_said_by_its_reason(spark: SparkSession) -> None:
    jvm: Any = spark.sparkContext._jvm
    error: Any = Exception()
    error._origin = jvm.org.apache.spark.SparkException(
        "Job aborted due to stage failure: Task 0 in stage 9.0 failed\n\tat org.x.Y(Z.java:1)\n"
        "Caused by: org.apache.gluten.exception.GlutenException: Exception: VeloxRuntimeError\n"
        "Error Source: RUNTIME\nError Code: INVALID_STATE\n"
        "Reason: Operator::addInput failed for [operator: PartialAggregation, plan node ID: 13]: Error during calling "
        "Java code from native code: org.apache.gluten.memory.memtarget.ThrowOnOomMemoryTarget$OutOfMemoryException: "
        "Not enough spark off-heap execution memory. Acquired: 8.0 MiB, granted: 0.0 B.\nRetriable: False\n"
    )
    assert spark_says(error) == "Not enough spark off-heap execution memory. Acquired: 8.0 MiB, granted: 0.0 B"


def test_a_stopped_spark_is_said_without_where_it_was_started(spark: SparkSession) -> None:
    jvm: Any = spark.sparkContext._jvm
    error: Any = Exception()
    error._origin = jvm.java.lang.IllegalStateException(
        "Cannot call methods on a stopped SparkContext.\nThis stopped SparkContext was created at:\n\norg.x(Y.java:1)"
    )
    said = str(explain_java_error(error))
    assert said.startswith("Spark has stopped in the middle")
    assert "Y.java" not in said
