"""
A warehouse for one contender: tables over the shared data, and a final table of its own, full of old rows.

    python -m bench.warehouse HOME DATA OTHERS    creates it in HOME

DATA is the directory of the data, OTHERS the number of partitions that raw and the final table have in addition.
"""

from __future__ import annotations

import datetime
import os
import shutil
import sys
from pathlib import Path

from pyspark.sql import SparkSession

from bench.data import FIRST_DAY, parquet_bytes
from bench.statements import DATABASE
from traffic_aggr.config.sections import SparkConfig
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.schema import Column
from traffic_aggr.hive.sql import TableName, add_partitions, batches, create_external_table
from traffic_aggr.spark.engine import VELOX, with_engine
from traffic_aggr.spark.settings import CORRECTNESS, DEFAULTS, GLUTEN, LOCAL_DEFAULTS
from traffic_aggr.spark.sizing import SHUFFLE_PARTITIONS, shuffle_partitions
from traffic_aggr.traffic.columns import FINAL_COLUMNS, PARTITION

HEAP = os.environ.get("BENCH_HEAP", "4g")
CORES = 2


def settings(home: Path) -> dict[str, str]:
    """Returns the settings that the job and its peers on Spark share."""
    return {
        **CORRECTNESS,
        **DEFAULTS,
        **LOCAL_DEFAULTS,
        "spark.master": f"local[{CORES}]",
        "spark.driver.memory": HEAP,
        "spark.sql.warehouse.dir": f"file:{home}/warehouse",
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={home}/metastore_db;create=true",
        "spark.driver.extraJavaOptions": f"-Dderby.stream.error.file={home}/derby.log",
        "spark.sql.sources.partitionOverwriteMode": "dynamic",
        "spark.ui.showConsoleProgress": "false",
    }


def settings_of_peer(home: Path, data: Path) -> dict[str, str]:
    """Returns the settings of a peer on Spark: the shared ones, and what the job itself fits to the size of raw."""
    return {**settings(home), SHUFFLE_PARTITIONS: str(shuffle_partitions(CORES, parquet_bytes(data / "raw")))}


def session(home: Path, data: Path) -> SparkSession:
    """Starts a session as a script would."""
    builder, conf = SparkSession.builder.appName("bench"), settings_of_peer(home, data)
    if os.environ.get("BENCH_ENGINE") == VELOX:
        conf = {**with_engine(SparkConfig(master=conf["spark.master"], engine=VELOX, conf=conf)), GLUTEN: "true"}
    for key, value in conf.items():
        builder = builder.config(key, value)
    return builder.enableHiveSupport().getOrCreate()


def make(home: Path, data: Path, others: int) -> None:
    """Creates the database and its tables. The contender creates staging."""
    shutil.copytree(data / "final", home / "final", copy_function=os.link)
    spark = session(home, data)
    spark.sql(f"CREATE DATABASE {DATABASE}")
    days = sorted(Partition(each.name.partition("=")[2]) for each in (home / "final").iterdir())
    raw = spark.read.parquet(f"{data}/raw").drop(PARTITION.name)
    for name, columns, location in (
        ("raw", [Column(field, type_) for field, type_ in raw.dtypes], data / "raw"),
        ("final", FINAL_COLUMNS, home / "final"),
    ):
        table = TableName(DATABASE, name)
        spark.sql(create_external_table(table, columns, PARTITION.name, f"file:{location}"))
        earlier = [Partition(str(FIRST_DAY - datetime.timedelta(days=number + 1))) for number in range(others)]
        for some in batches([*days, *earlier], 1000):
            spark.sql(add_partitions(table, {day: f"file:{location}/{PARTITION.name}={day}" for day in some}))
    spark.sql(
        f"CREATE EXTERNAL TABLE {DATABASE}.org_details (orgno BIGINT, orgname STRING, org_abbr STRING) "
        f"ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION 'file:{data}/org_details'"
    )
    spark.sql(
        f"CREATE EXTERNAL TABLE {DATABASE}.country_lookup (mcc STRING, country STRING, cntry_code STRING) "
        f"STORED AS PARQUET LOCATION 'file:{data}/country_lookup'"
    )
    spark.stop()


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
