"""
The data that all contenders share, made once and kept: raw traffic, lookups, and the correct final rows.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import duckdb

from bench.statements import duckdb_aggregation, duckdb_rows
from devtools.hadoop_jars import cache_directory
from traffic_aggr.config.config import SparkConfig
from traffic_aggr.spark.session import start_session, stop_session
from traffic_aggr.traffic.columns import MEASURES, PARTITION
from traffic_aggr.traffic.sample_rows import cdrs, countries, organisations

FIRST_DAY = datetime.date(2021, 4, 1)
SEED = 7


@dataclass(frozen=True)
class Data:
    """
    The data in ``home``: ``days`` days of ``rows // days`` rows each, in ``files_per_day`` files.

    It consists of ``raw`` (Parquet by ``partition_date``, 43 columns), ``org_details`` (text), ``country_lookup``
    (Parquet), and ``final``, the correct rows (Parquet).
    """

    home: Path
    rows: int
    days: int
    files_per_day: int

    @cached_property
    def dates(self) -> list[str]:
        return [(FIRST_DAY + datetime.timedelta(days=number)).isoformat() for number in range(self.days)]

    @property
    def raw(self) -> Path:
        return self.home / "raw"

    @property
    def final(self) -> Path:
        return self.home / "final"

    def bytes_of_raw(self) -> int:
        return parquet_bytes(self.raw)


def parquet_bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*.parquet"))


def made(rows: int, days: int, files_per_day: int) -> Data:
    """Returns the data, from the cache if it is there."""
    home = cache_directory().with_name("bench") / f"{rows}-rows-{days}-days-{files_per_day}-files-{SEED}"
    data = Data(home, rows, days, files_per_day)
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        _make_raw(data)
        _make_final(data)
        (home / "complete").touch()
    return data


def copied(data: Data, times: int) -> Data:
    """Returns the days of ``data`` as often as ``times`` says, one after the other, as links to the same files."""
    more = Data(
        data.home.with_name(f"{data.home.name}-{times}-times"), data.rows * times, data.days * times, data.files_per_day
    )
    shutil.rmtree(more.home, ignore_errors=True)
    for name in ("org_details", "country_lookup"):
        shutil.copytree(data.home / name, more.home / name, copy_function=os.link)
    for table in ("raw", "final"):
        for day, known in zip(more.dates, data.dates * times):
            shutil.copytree(
                data.home / table / f"{PARTITION.name}={known}",
                more.home / table / f"{PARTITION.name}={day}",
                copy_function=os.link,
            )
    return more


def _make_raw(data: Data) -> None:
    config = SparkConfig(
        master="local[*]",
        conf={"spark.driver.memory": "4g", "spark.sql.codegen.wholeStage": "false", "spark.ui.enabled": "false"},
    )
    spark = start_session(config, "bench data", log_dir=data.home)
    try:
        day_zero = FIRST_DAY
        found = cdrs(spark, day_zero=day_zero, first=0, days=data.days, rows_per_day=data.rows // data.days, seed=SEED)
        partitions = data.days * data.files_per_day
        found.repartitionByRange(partitions, "partition_date", "cellid").write.partitionBy("partition_date").parquet(
            str(data.raw)
        )
        (data.home / "org_details").mkdir()
        lines = (",".join("\\N" if value is None else str(value) for value in row) for row in organisations())
        (data.home / "org_details" / "rows.csv").write_text("".join(f"{line}\n" for line in lines))
        spark.createDataFrame(countries(), "mcc string, country string, cntry_code string").coalesce(1).write.parquet(
            str(data.home / "country_lookup")
        )
    finally:
        stop_session(spark)


def _make_final(data: Data) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = false; SET enable_progress_bar = false")
        how = "(FORMAT parquet, PARTITION_BY (partition_date), APPEND)"
        for day in data.dates:  # all at once would take ten times the memory
            connection.execute(f"COPY ({duckdb_aggregation(data.home, day)}) TO '{data.final}' {how}")


def totals(final: Path) -> str:
    """Returns exact totals per day of final rows in Parquet, as text that is equal when they are."""
    sums = ", ".join(f"sum({name})" for name in MEASURES)
    with duckdb.connect() as connection:
        files = duckdb_rows(f"{final}/*/*.parquet")
        rows = connection.execute(
            f"SELECT partition_date, count(*), {sums} FROM {files} GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    return json.dumps([[str(value) for value in row] for row in rows])
