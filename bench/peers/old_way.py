"""The old job's way: drop the partitions, empty staging, one INSERT a day into it, one INSERT INTO the final table."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from bench.statements import DATABASE, spark_aggregation
from bench.warehouse import session
from traffic_aggr.traffic.columns import STAGING_COLUMNS

home, data, *days = sys.argv[1:]
spark = session(Path(home), Path(data))
specs = ", ".join(f"PARTITION (partition_date='{day}')" for day in days)
spark.sql(f"ALTER TABLE {DATABASE}.final DROP IF EXISTS {specs}")
for day in days:  # as a drop did with `external.table.purge`
    shutil.rmtree(Path(home, "final", f"partition_date={day}"), ignore_errors=True)
columns = ", ".join(f"{column.name} {column.type}" for column in STAGING_COLUMNS)
spark.sql(f"DROP TABLE IF EXISTS {DATABASE}.staging")
spark.sql(f"CREATE TABLE {DATABASE}.staging ({columns}) STORED AS PARQUET")
for day in days:
    spark.sql(f"INSERT INTO TABLE {DATABASE}.staging {spark_aggregation(DATABASE, [day])}")
spark.sql(f"INSERT INTO TABLE {DATABASE}.final PARTITION (partition_date) SELECT * FROM {DATABASE}.staging")
spark.stop()
