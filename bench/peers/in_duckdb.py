"""The limit on one node: the query and both writes in DuckDB, one day at a time; no tables, no checks."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

from bench.statements import duckdb_aggregation, duckdb_rows

home, data, *days = sys.argv[1:]
how = "(FORMAT parquet, COMPRESSION snappy, PARTITION_BY (partition_date), {})"
with duckdb.connect() as connection:
    connection.execute("SET threads = 2; SET preserve_insertion_order = false")
    for number, day in enumerate(days):
        written = how.format("APPEND" if number else "OVERWRITE")
        connection.execute(f"COPY ({duckdb_aggregation(Path(data), day)}) TO '{home}/staging' {written}")
        staged = duckdb_rows(f"{home}/staging/partition_date={day}/*.parquet")
        connection.execute(f"COPY (SELECT * FROM {staged}) TO '{home}/final' {written}")
