"""The query that a good engineer would write: join, group with count(DISTINCT), two INSERT OVERWRITEs; no checks."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.statements import DATABASE, spark_aggregation
from bench.warehouse import session

home, data, *days = sys.argv[1:]
spark = session(Path(home), Path(data))
spark.sql(
    f"CREATE TABLE IF NOT EXISTS {DATABASE}.staging LIKE {DATABASE}.final STORED AS PARQUET LOCATION '{home}/staging'"
)
spark.sql(f"INSERT OVERWRITE TABLE {DATABASE}.staging PARTITION (partition_date) {spark_aggregation(DATABASE, days)}")
spark.sql(
    f"INSERT OVERWRITE TABLE {DATABASE}.final PARTITION (partition_date) SELECT * FROM {DATABASE}.staging "
    f"WHERE partition_date IN ({', '.join(map(repr, days))})"
)
spark.stop()
