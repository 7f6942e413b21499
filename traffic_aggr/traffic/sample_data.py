"""
Creates sample tables to try the job on: raw traffic, lookups, a partition list, and an old final table with errors.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from traffic_aggr.config.config import TablesConfig
from traffic_aggr.errors import InputError
from traffic_aggr.files.local import Files
from traffic_aggr.hive import sql
from traffic_aggr.hive.catalog import HiveCatalog
from traffic_aggr.hive.layout import TEXT_SERDE, RowFormat, normal
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.schema import Column
from traffic_aggr.hive.sql import TableName
from traffic_aggr.run.sample import SampleData, SampleRequest
from traffic_aggr.spark.sizing import sized_for
from traffic_aggr.traffic import columns
from traffic_aggr.traffic.aggregation import aggregate, lookup_countries, lookup_names, repeated_cdrids
from traffic_aggr.traffic.columns import PARTITION_COLUMN
from traffic_aggr.traffic.sample_rows import BIGGEST_CUSTOMER, cdrs, countries, organisations

FIRST_DAY = "2021-04-01"
PARTITION_LIST = "partitions.txt"

_NULL = "\\N"
_ROWS_BESIDE_THE_LIST = 10_000
# The generated method for so many columns exceeds the size that the JVM compiles, and runs five times slower.
_WHOLE_STAGE = "spark.sql.codegen.wholeStage"
# The sample columns are deep expressions; the constraints that Spark infers from them for a join outgrow the heap.
_CONSTRAINTS = "spark.sql.constraintPropagation.enabled"
_TEXT = RowFormat(
    TEXT_SERDE,
    "org.apache.hadoop.mapred.TextInputFormat",
    "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    {"field.delim": ";", "serialization.format": ";"},
)


def generate(spark: SparkSession, config: TablesConfig, files: Files, out: str, asked: SampleRequest) -> SampleData:
    """
    Writes sample data under ``out`` and registers it as the external tables that ``config`` names.

    ``out`` is a location on the file system of ``files``. It gets ``raw``, ``org_details`` (comma-delimited text),
    ``country_lookup``, ``partitions.txt`` and ``final``. Final has a day before the list and one after it, which a run
    must leave alone. Of the listed days some lack groups, some count a customer's usage twice, and the last one of
    several is missing.

    Raises InputError when ``out`` is not an empty directory, or when one of these tables exists with files elsewhere.
    """
    days, rows_per_day = asked.days, asked.rows_per_day
    day_zero = Partition(FIRST_DAY).days[0] - datetime.timedelta(days=1)
    listed = [Partition((day_zero + datetime.timedelta(days=number)).isoformat()) for number in range(1, days + 1)]
    _refuse_used_directory(files, out)
    names = _free_names(HiveCatalog(spark), config, out)
    files.make_directories(out)
    for name in names.values():
        spark.sql(sql.drop_table(name))
    spark.sql(f"CREATE DATABASE IF NOT EXISTS {sql.identifier(config.database)}")

    def rows(first: int, count: int, a_day: int) -> DataFrame:
        return cdrs(spark, day_zero=day_zero, first=first, days=count, rows_per_day=a_day, seed=asked.seed)

    partition_list = _write_list(files, f"{out}/{PARTITION_LIST}", listed)
    _make_lookups(spark, names, files, out)
    raw = _make_raw(spark, names["raw"], rows(1, days, rows_per_day), out, listed)
    few = min(rows_per_day, _ROWS_BESIDE_THE_LIST)
    neighbours = rows(0, 1, few).unionByName(rows(days + 1, 1, few))
    customers = lookup_names(spark.table(names["org_details"].quoted))
    places = lookup_countries(spark.table(names["country_lookup"].quoted))
    raw = raw.unionByName(neighbours)
    right = aggregate(raw, customers, places, repeated=repeated_cdrids(raw))
    with sized_for(spark, files.usage(f"{out}/raw").bytes), _without(spark, _CONSTRAINTS):
        _make_final(spark, names["final"], _damaged(right, listed), out, asked.final_format)
    size = files.usage(out).bytes
    return SampleData(rows=days * rows_per_day, days=days, bytes=size, partition_list=partition_list)


def _refuse_used_directory(files: Files, out: str) -> None:
    if files.exists(out) and (not files.is_directory(out) or files.list(out)):
        raise InputError(f"{out} is not an empty directory", hint="Give --out a new directory")


def _free_names(catalog: HiveCatalog, config: TablesConfig, out: str) -> dict[str, TableName]:
    """
    Returns the tables to create, by configuration key.

    Raises InputError when one exists with files outside ``out``, so that it is not left from earlier sample data.
    """
    keys = ("raw", "org_details", "country_lookup", "final")
    names = {key: TableName(config.database, getattr(config, key)) for key in keys}
    for name in names.values():
        facts = catalog.facts(name)
        if facts is None:
            continue
        partitions = catalog.table(facts).all_locations() if facts.partition_columns else {}
        for location in (facts.location, *partitions.values()):
            if not f"{location}/".startswith(f"{normal(out)}/"):
                raise InputError(
                    f"the table {name} exists, with its data in {location or 'another table'}; it was left as it is",
                    hint="Set tables.database to a new database: sample data replaces no table",
                )
    return names


def _write_list(files: Files, path: str, listed: Sequence[Partition]) -> str:
    """
    Writes the list as upstream jobs do, with a comment, a log line and a repeated day. Returns its path.
    """
    lines = [
        "# days to restate",
        "21/05/01 02:00:01 WARN util.NativeCodeLoader: Unable to load native-hadoop library",
        *listed,
        listed[0],
    ]
    files.create_exclusive(path, "".join(f"{line}\n" for line in lines).encode())
    return path.removeprefix("file:")


def _make_lookups(spark: SparkSession, names: dict[str, TableName], files: Files, out: str) -> None:
    directory = f"{out}/org_details"
    files.make_directories(directory)
    lines = (",".join(_NULL if value is None else str(value) for value in row) for row in organisations())
    files.create_exclusive(f"{directory}/org_details.csv", "".join(f"{line}\n" for line in lines).encode())
    spark.sql(
        f"CREATE EXTERNAL TABLE {names['org_details'].quoted} (orgno BIGINT, orgname STRING, org_abbr STRING) "
        f"ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION {sql.literal(directory)}"
    )
    directory = f"{out}/country_lookup"
    columns = "mcc STRING, country STRING, cntry_code STRING"
    spark.createDataFrame(countries(), columns).coalesce(1).write.parquet(directory)
    spark.sql(
        f"CREATE EXTERNAL TABLE {names['country_lookup'].quoted} ({columns}) "
        f"STORED AS PARQUET LOCATION {sql.literal(directory)}"
    )


def _make_raw(
    spark: SparkSession, name: TableName, rows: DataFrame, out: str, listed: Sequence[Partition]
) -> DataFrame:
    location = f"{out}/raw"
    with _without(spark, _WHOLE_STAGE):
        rows.write.partitionBy(PARTITION_COLUMN).parquet(location)
    fields = [Column(column, type_) for column, type_ in rows.dtypes if column != PARTITION_COLUMN]
    spark.sql(sql.create_external_table(name, fields, PARTITION_COLUMN, location))
    for some in sql.batches(listed):
        spark.sql(sql.add_partitions(name, {day: f"{location}/{day.directory}" for day in some}))
    return spark.table(name.quoted)


@contextmanager
def _without(spark: SparkSession, feature: str) -> Iterator[None]:
    before = spark.conf.get(feature, None)
    spark.conf.set(feature, "false")
    try:
        yield
    finally:
        if before is None:
            spark.conf.unset(feature)
        else:
            spark.conf.set(feature, before)


def _make_final(spark: SparkSession, name: TableName, rows: DataFrame, out: str, final_format: str) -> None:
    text = final_format == "text"
    statement = sql.create_external_table(
        name,
        columns.FINAL_COLUMNS,
        PARTITION_COLUMN,
        f"{out}/final",
        row_format=_TEXT if text else None,
        properties={"external.table.purge": "true"} if text else None,
    )
    spark.sql(statement)
    names = [column.name for column in columns.STAGING_COLUMNS]
    rows.select(names).repartition(PARTITION_COLUMN).write.insertInto(name.quoted)


def _damaged(right: DataFrame, listed: Sequence[Partition]) -> DataFrame:
    """
    Returns the rows as the old job might have left them.

    Every fourth day lacks 7 % of its groups, every fifth counts a customer twice, and the last of several is missing.
    """
    day = F.col(PARTITION_COLUMN)
    loses = day.isin(*listed[::4]) & (F.pmod(F.xxhash64(*columns.GRAIN), F.lit(100)) < 7)
    doubles = day.isin(*listed[1::5]) & (F.col("customernumber") == BIGGEST_CUSTOMER)
    present = right.where(~day.isin(listed[-1])) if len(listed) > 1 else right
    usage = {name: F.when(doubles, F.col(name) * 2).otherwise(F.col(name)) for name in columns.MEASURES}
    types = {column.name: column.type for column in columns.FINAL_COLUMNS}
    return present.where(~loses).withColumns({name: value.cast(types[name]) for name, value in usage.items()})
