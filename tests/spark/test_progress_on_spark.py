"""Real counts of a real aggregation, as the job's progress has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable, Optional

import pytest
from pyspark.sql import DataFrame, SparkSession

from tests.support.warehouse import Job
from traffic_aggr.spark import progress
from traffic_aggr.spark.progress import ExpectedRows, Sample, Sampler

DAY = "2021-04-01"
PARTS, ROWS = 8, 4_000
LIMIT_S = 60


def aggregation(spark: SparkSession, database: str) -> DataFrame:
    """Of a raw table of ``PARTS`` files, a task each, joined to a lookup."""
    raw = spark.range(0, ROWS, 1, PARTS).selectExpr("id", "id % 7 AS k", f"'{DAY}' AS partition_date")
    raw.write.partitionBy("partition_date").saveAsTable(f"{database}.raw")
    spark.range(7).selectExpr("id AS k", "'x' AS name").write.saveAsTable(f"{database}.lookup")
    slow = "java_method('java.lang.Thread', 'sleep', CAST(1 AS BIGINT)) IS NULL"
    read = spark.table(f"{database}.raw").where(slow)
    return read.join(spark.table(f"{database}.lookup"), "k").groupBy("name").count()


def watched(spark: SparkSession, sampler: Sampler, work: DataFrame) -> list[Sample]:
    """Samples from another thread while ``work`` is at work, and one after."""
    samples: list[Sample] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.1):
            samples.append(sampler.sample())

    looker = threading.Thread(target=look)
    looker.start()
    try:
        work.collect()
    finally:
        ended.set()
        looker.join(LIMIT_S)
    spark.sparkContext._jsc.sc().listenerBus().waitUntilEmpty()
    return [*samples, sampler.sample()]


def test_rows_and_tasks_are_counted_while_spark_reads(spark: SparkSession, database: str) -> None:
    spark.conf.set("spark.sql.files.maxPartitionBytes", "64k")
    try:
        work = aggregation(spark, database)
        samples = watched(spark, Sampler(spark, f"{database}.raw"), work)
    finally:
        spark.conf.unset("spark.sql.files.maxPartitionBytes")

    rows = [each.rows for each in samples]
    assert rows == sorted(rows)
    assert [each for each in samples if 0 < each.rows < ROWS and each.is_reading], "nothing was seen in between"
    assert [each for each in samples if 0 < each.tasks_done < each.tasks], "no tasks were seen in between"
    # The lookup's rows are none of raw's.
    assert samples[-1] == Sample(ROWS, is_reading=False, tasks_done=0, tasks=0)


def test_what_was_read_before_is_not_counted(spark: SparkSession, database: str) -> None:
    spark.range(10).write.saveAsTable(f"{database}.raw")
    spark.table(f"{database}.raw").collect()
    spark.sparkContext._jsc.sc().listenerBus().waitUntilEmpty()
    sampler = Sampler(spark)
    assert sampler.sample().rows == 0
    spark.table(f"{database}.raw").collect()
    spark.sparkContext._jsc.sc().listenerBus().waitUntilEmpty()
    assert sampler.sample().rows == 10


@pytest.mark.parametrize(("kind", "times_loaded"), [("parquet", 1), ("text", 3)])
def test_a_run_reads_as_many_rows_as_it_says_beforehand(
    job: Job, monkeypatch: pytest.MonkeyPatch, kind: str, times_loaded: int
) -> None:
    read: dict[str, tuple[int, int]] = {}

    @contextmanager
    def counted(
        spark: SparkSession, label: str, reading: Optional[ExpectedRows] = None, doing: Callable[[], str] = lambda: ""
    ) -> Iterator[None]:
        sampler = Sampler(spark, reading.table if reading else "")
        yield
        spark.sparkContext._jsc.sc().listenerBus().waitUntilEmpty()
        if reading is not None:
            step = label.rpartition(" ")[2]
            read[step] = (sampler.sample().rows, reading.total)

    monkeypatch.setattr(progress, "shown", counted)
    job.create_final(kind)

    assert job("run").code == 0

    staged = sum(totals["staging"]["rows"] for totals in job.record()["totals"].values())
    # Some cdrids repeat; which, Spark has kept.
    assert read["stage"] == (450, 450)
    assert read["load"] == (times_loaded * staged, times_loaded * staged)
