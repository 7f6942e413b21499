"""What the job does without its proof: find repeated cdrids, aggregate, write, point the partitions at the new rows."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from pyspark.sql import functions as F

from bench.statements import DATABASE
from bench.warehouse import settings_of_peer
from traffic_aggr.config.sections import SparkConfig
from traffic_aggr.hive.catalog import HiveCatalog
from traffic_aggr.hive.layout import Placement
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.sql import TableName
from traffic_aggr.restate.staged_rows import write_parquet
from traffic_aggr.spark.engine import JVM, aggregating
from traffic_aggr.spark.session import start_session, stop_session
from traffic_aggr.traffic.aggregation import aggregate, lookup_countries, lookup_names, repeated_cdrids
from traffic_aggr.traffic.columns import PARTITION_COLUMN

home, data = map(Path, sys.argv[1:3])
days = sys.argv[3:]
shutil.rmtree(home / "new", ignore_errors=True)  # of the round before
conf, engine = settings_of_peer(home, data), os.environ.get("BENCH_ENGINE", JVM)
spark = start_session(SparkConfig(master=conf["spark.master"], engine=engine, conf=conf), "unproven", log_dir=home)
try:
    with aggregating(spark):
        raw = spark.table(f"{DATABASE}.raw").where(F.col(PARTITION_COLUMN).isin(days))
        organisations = lookup_names(spark.table(f"{DATABASE}.org_details"))
        countries = lookup_countries(spark.table(f"{DATABASE}.country_lookup"))
        rows = aggregate(raw, organisations, countries, repeated=repeated_cdrids(raw)).drop("source_rows")
        catalog = HiveCatalog(spark)
        final = catalog.facts(TableName(DATABASE, "final"))
        assert final is not None
        write_parquet(rows, PARTITION_COLUMN, f"{home}/new", final)
        new = {Partition(day): Placement(f"file:{home}/new/{PARTITION_COLUMN}={day}") for day in days}
        catalog.table(final).point(new)
finally:
    stop_session(spark)
