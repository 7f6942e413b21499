"""The limit on one node for SQL as it is: the hand-written query and both writes, as ZSTD, in Sail; no checks."""

from __future__ import annotations

import sys

from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession

from bench.statements import DATABASE, spark_aggregation

home, data, *days = sys.argv[1:]
server = SparkConnectServer()
server.start()
_, port = server.listening_address
spark = SparkSession.builder.remote(f"sc://localhost:{port}").getOrCreate()
spark.conf.set("spark.sql.session.timeZone", "UTC")
spark.sql(f"CREATE DATABASE {DATABASE}")
for name in ("raw", "country_lookup"):
    spark.sql(f"CREATE TABLE {DATABASE}.{name} USING parquet LOCATION '{data}/{name}'")
spark.sql(  # Sail reads \N in a table of CSV files as text
    f"CREATE TABLE {DATABASE}.lines (orgno STRING, orgname STRING, org_abbr STRING) USING csv "
    f"OPTIONS (header 'false') LOCATION '{data}/org_details'"
)
spark.sql(
    f"CREATE VIEW {DATABASE}.org_details AS SELECT try_cast(orgno AS BIGINT) AS orgno, orgname FROM {DATABASE}.lines"
)
rows = spark.sql(spark_aggregation(DATABASE, days))
rows.write.mode("overwrite").partitionBy("partition_date").parquet(f"{home}/staging")
staged = spark.read.parquet(f"{home}/staging")
staged.write.mode("overwrite").partitionBy("partition_date").parquet(f"{home}/final")
spark.stop()
server.stop()
