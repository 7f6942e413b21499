"""
Two small days of raw traffic, and lookups, in every layout of files that writers of such tables produce.

``AwkwardDays`` compares what the job's own functions make of them with DuckDB's answer: every column of every row.
"""

from __future__ import annotations

import datetime
import gzip
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
from pyspark.sql import DataFrame, Observation, SparkSession

from tests.support.awkward_rows import COUNTRIES, ORGANISATIONS, UTC, awkward_rows
from tests.support.oracle import expected_rows
from tests.support.totals import grouped
from traffic_aggr.hive import sql
from traffic_aggr.hive.catalog import HiveCatalog, TableFacts
from traffic_aggr.hive.layout import TEXT_SERDE, Placement, RowFormat
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.sql import TableName
from traffic_aggr.restate import guards
from traffic_aggr.restate import totals as control
from traffic_aggr.restate.sources import open_sources
from traffic_aggr.restate.staged_rows import aggregated, read_parquet, together_by, write_parquet
from traffic_aggr.restate.tables import Tables
from traffic_aggr.restate.warehouse import files_of
from traffic_aggr.run.reconcile import reconcile_final, reconcile_staging
from traffic_aggr.run.totals import Totals
from traffic_aggr.spark.engine import aggregating
from traffic_aggr.traffic.columns import COSTS, FINAL_COLUMNS, PARTITION_COLUMN, RAW_COLUMNS, STAGING_COLUMNS
from traffic_aggr.traffic.job import TRAFFIC

DAYS = (Partition("2021-04-01"), Partition("2021-04-02"))
ANCIENT = [
    datetime.datetime(*moment, tzinfo=UTC)  # type: ignore[misc]
    for moment in ((1, 1, 1), (1582, 10, 4, 23, 59), (1582, 10, 15), (1899, 12, 31, 23), (9999, 12, 31, 23))
]
TEXT = RowFormat(
    TEXT_SERDE,
    "org.apache.hadoop.mapred.TextInputFormat",
    "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    {"field.delim": ";", "serialization.format": ";", "escape.delim": "\\"},
)
# Spark reads timestamps by the writer that a file names. Impala's files have neither of these marks.
SPARK_S_MARKS = (
    (b"org.apache.spark.version", b"org.apache.spork.version"),
    (b"parquet-mr version", b"some-other version"),
)

SCHEMA = ", ".join(f"{column.name} {column.type}" for column in RAW_COLUMNS)
NAMES = [column.name for column in RAW_COLUMNS]
RESULT = [column.name for column in STAGING_COLUMNS]


class AwkwardDays:
    """The files and tables, made once. ``wrong()`` restates the days and returns what differs from DuckDB's answer."""

    def __init__(self, spark: SparkSession, database: str, home: Path) -> None:
        self.spark, self.database, self.home = spark, database, home
        self.catalog = HiveCatalog(spark)
        rows = awkward_rows(11, 360, repeats=True)
        for number, row in enumerate(rows):
            row["partition_date"] = str(DAYS[number % 2])
            if number % 7 == 0:
                row["calldate"] = ANCIENT[number % len(ANCIENT)]
        self._write_raw([[row for index, row in enumerate(rows) if index % 5 == part] for part in range(5)])
        self._write_lookups()
        self._create_tables()
        self.expected = expected_rows(
            home / "raw", home / "org_details", home / "country_lookup", [str(day) for day in DAYS]
        )

    def wrong(self) -> list[str]:
        """Returns what the job's functions find or write differently from DuckDB; empty when all is right."""
        staged, rewritten = f"file:{self.home}/staged", f"file:{self.home}/rewritten"
        for directory in ("staged", "rewritten"):
            shutil.rmtree(self.home / directory, ignore_errors=True)
        with open_sources(self.catalog, TRAFFIC, self.tables, DAYS, partial(files_of, self.spark)) as sources:
            found = [refusal.what for refusal in guards.refuse_duplicate_keys(TRAFFIC, sources.lookups)]
            raw = control.raw_totals(TRAFFIC, sources.aggregation, DAYS)
            counts = Observation()
            with aggregating(self.spark):
                rows = aggregated(sources.aggregation, TRAFFIC, raw, counts)
                write_parquet(rows, PARTITION_COLUMN, staged, self.final)
            source_rows = counts.get
        final = self.catalog.table(self.final)
        final.drop(DAYS)
        final.add({day: Placement(self.final.location) for day in DAYS})
        final.point({day: Placement(f"{staged}/{day.directory}") for day in DAYS})
        totals = control.aggregated_totals(TRAFFIC, final.rows(), DAYS)
        for day in DAYS:
            expected = self._totals(day)
            found += map(str, reconcile_staging(TRAFFIC.totals, day, raw[day], expected))
            found += map(str, reconcile_final(TRAFFIC.totals, day, expected, totals[day]))
            if source_rows.get(day) != expected.source_rows:
                found.append(f"{day}: {source_rows.get(day)} source rows")
        parquet = "SELECT * FROM read_parquet(?, hive_partitioning = true, hive_types_autocast = false)"
        by_duckdb = duckdb.execute(parquet, [f"{self.home}/staged/*/*.parquet"]).fetchall()
        found += self._differences("Parquet by DuckDB", by_duckdb)
        found += self._differences("Parquet by Spark", final.rows().collect())
        rows = read_parquet(self.spark, staged, STAGING_COLUMNS)
        found += self._differences("text by Spark", self._rewritten(rows, rewritten))
        return found

    def _rewritten(self, rows: DataFrame, directory: str) -> list[Any]:
        shadow = TableName(self.database, "shadow")
        facts = self.catalog.create_partitioned(shadow, FINAL_COLUMNS, PARTITION_COLUMN, directory, like=self.text)
        try:
            together_by(rows.select(RESULT), PARTITION_COLUMN).write.insertInto(shadow.quoted)
            return self.catalog.table(facts).rows().collect()
        finally:
            self.spark.sql(sql.drop_table(shadow))

    def _totals(self, day: Partition) -> Totals:
        columns = [*RESULT, "source_rows"]
        rows = [dict(zip(columns, row)) for row in self.expected if row[-2] == day]
        of = {name: sum(row[name] for row in rows) for name in (*COSTS, "source_rows")}
        return grouped(
            rows=len(rows),
            cdrs=sum(row["noofcdrids"] for row in rows),
            bytes=int(sum(row["data_usage_in_kb"] for row in rows) * 1024),
            voice_secs=sum(row["voice_usage_in_secs"] for row in rows),
            sms=sum(row["sms_usage"] for row in rows),
            **of,
        )

    def _differences(self, what: str, rows: Iterable[Sequence[Any]]) -> list[str]:
        found, expected = Counter(map(tuple, rows)), Counter(row[:-1] for row in self.expected)
        wrong, missing = found - expected, expected - found
        if not wrong and not missing:
            return []
        examples = [next(iter(each), None) for each in (missing, wrong)]
        return [f"{what}: {sum(missing.values())} rows missing, {sum(wrong.values())} wrong, such as {examples}"]

    # ---- files

    def _write_raw(self, parts: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        by_spark = {"spark.sql.parquet.outputTimestampType": "INT96"}
        self._write_by_spark("spark_int96", parts[0], by_spark)
        self._write_by_spark("impala_int96", parts[1], by_spark, *SPARK_S_MARKS)
        legacy = {
            "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
            "spark.sql.parquet.writeLegacyFormat": "true",
        }
        self._write_by_spark("hive_int64", parts[2], legacy, SPARK_S_MARKS[0])
        self._write_by_duckdb("moment", parts[3], "TIMESTAMPTZ")
        self._write_by_duckdb("local", parts[4], "TIMESTAMP")

    def _place(self, written: Path, name: str, *marks: tuple[bytes, bytes]) -> None:
        for number, path in enumerate(sorted(written.glob("*/*.parquet"))):
            content = path.read_bytes()
            for mark, other in marks:
                assert mark in content
                content = content.replace(mark, other)
            target = self.home / "raw" / path.parent.name / f"{name}-{number}.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def _write_by_spark(
        self, name: str, rows: Sequence[Mapping[str, Any]], conf: Mapping[str, str], *marks: tuple[bytes, bytes]
    ) -> None:
        written = self.home / f"{name}.written"
        rebase = dict.fromkeys(
            (f"spark.sql.parquet.{kind}RebaseModeInWrite" for kind in ("int96", "datetime")), "CORRECTED"
        )
        with settings(self.spark, {**conf, **rebase}):
            frame = self.spark.createDataFrame([tuple(row.get(each) for each in NAMES) for row in rows], SCHEMA)
            frame.coalesce(1).write.partitionBy("partition_date").parquet(str(written))
        self._place(written, name, *marks)

    def _write_by_duckdb(self, name: str, rows: Sequence[Mapping[str, Any]], moment: str) -> None:
        written = self.home / f"{name}.written"
        types = {"STRING": "VARCHAR", "TIMESTAMP": moment}
        columns = [f'"{column.name.upper()}" {types.get(column.type, column.type)}' for column in RAW_COLUMNS[:-1]]
        values = [[_naive(row.get(each)) for each in NAMES] for row in rows]
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"CREATE TABLE raw ({', '.join(columns)}, partition_date VARCHAR)")
            connection.executemany(f"INSERT INTO raw VALUES ({', '.join('?' * len(NAMES))})", values)
            connection.execute(f"COPY raw TO '{written}' (FORMAT PARQUET, PARTITION_BY (partition_date))")
        self._place(written, name)

    def _write_lookups(self) -> None:
        organisations = ORGANISATIONS.splitlines(keepends=True)
        directory = self.home / "org_details"
        directory.mkdir()
        (directory / "part-0").write_text("".join(organisations[::2]), encoding="utf-8")
        (directory / "part-1.gz").write_bytes(gzip.compress("".join(organisations[1::2]).encode()))
        countries = self.spark.createDataFrame(COUNTRIES, "Mcc string, COUNTRY string, cntry_code string")
        countries.write.parquet(f"{self.home}/country_lookup")

    # ---- tables

    def _create_tables(self) -> None:
        found = {}
        for name, columns in {"raw": RAW_COLUMNS[:-1], "final": FINAL_COLUMNS, "text": FINAL_COLUMNS}.items():
            table = TableName(self.database, name)
            row_format = TEXT if name == "text" else None
            location = f"file:{self.home}/{name}"
            self._by_hive(sql.create_external_table(table, columns, PARTITION_COLUMN, location, row_format=row_format))
            self.spark.sql(sql.add_partitions(table, {day: f"{location}/{day.directory}" for day in DAYS}))
            found[name] = self._facts(table)
        fields = {"org_details": "orgno BIGINT, orgname STRING", "country_lookup": "mcc STRING, country STRING"}
        formats = {
            "org_details": "ROW FORMAT DELIMITED FIELDS TERMINATED BY ','",
            "country_lookup": "STORED AS PARQUET",
        }
        for name in fields:
            table = TableName(self.database, name)
            location = f"LOCATION 'file:{self.home}/{name}'"
            self._by_hive(f"CREATE EXTERNAL TABLE {table.quoted} ({fields[name]}) {formats[name]} {location}")
            found[name] = self._facts(table)
        self.final, self.text = found["final"], found["text"]
        self.tables = Tables(found["raw"], {name: found[name] for name in fields}, None, self.final)

    def _by_hive(self, statement: str) -> None:
        """Has Hive create a table, which then lacks the schema that Spark keeps in its own tables' properties."""
        system: Any = self.spark.sparkContext._jvm.java.lang.System  # type: ignore[union-attr]
        system.setProperty("spark.testing", "true")
        try:
            self.catalog._catalog.unwrapped().client().runSqlHive(statement)
        finally:
            system.clearProperty("spark.testing")

    def _facts(self, table: TableName) -> TableFacts:
        facts = self.catalog.facts(table)
        assert facts is not None
        return facts


@contextmanager
def settings(spark: SparkSession, conf: Mapping[str, str]) -> Iterator[None]:
    """Sets settings of the session, and restores them afterwards."""
    before = {key: spark.conf.get(key, None) for key in conf}
    try:
        for key, value in conf.items():
            spark.conf.set(key, value)
        yield
    finally:
        for key, value in before.items():
            if value is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, value)


def _naive(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime.datetime) else value
