"""The limit on one node: the query and the two writes in DuckDB, into files; no tables, no proof."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

from bench.statements import duckdb_aggregation

home, data, *_ = sys.argv[1:]
how = "(FORMAT parquet, COMPRESSION snappy, PARTITION_BY (partition_date), OVERWRITE)"
with duckdb.connect() as connection:
    connection.execute("SET threads = 2; SET preserve_insertion_order = false")
    connection.execute(f"COPY ({duckdb_aggregation(Path(data))}) TO '{home}/staging' {how}")
    staging = f"read_parquet('{home}/staging/*/*.parquet', hive_partitioning = true, hive_types_autocast = false)"
    connection.execute(f"COPY (SELECT * FROM {staging}) TO '{home}/final' {how}")
