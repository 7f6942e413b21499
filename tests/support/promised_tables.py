"""Tables that promise more than those of the other tests: what makes them, for a job to meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.support.warehouse import LISTED, RAW, UNLISTED, Job
from traffic_aggr.hive.layout import TEXT_SERDE
from traffic_aggr.hive.schema import Column
from traffic_aggr.traffic.columns import FINAL_COLUMNS, RAW_COLUMNS

Prepare = Callable[[Job], object]
FINAL, STAGING = "traffic_aggr_adhoc", "traffic_aggr_adhoc_inter"
BY_DAY = "PARTITIONED BY (partition_date STRING)"
PARQUET, TEXT = "STORED AS PARQUET", "ROW FORMAT DELIMITED FIELDS TERMINATED BY ';'"
LAZY = f"ROW FORMAT SERDE '{TEXT_SERDE}'"
SPARKS_BUCKETS = "USING parquet PARTITIONED BY (partition_date) CLUSTERED BY (mcc) SORTED BY (mnc) INTO 3 BUCKETS"
HIVES_BUCKETS = f"{BY_DAY} CLUSTERED BY (mcc) SORTED BY (mnc) INTO 3 BUCKETS {PARQUET}"
HEADER = "SET TBLPROPERTIES ('skip.header.line.count'='1')"
COMMAS = "ROW FORMAT DELIMITED FIELDS TERMINATED BY ','"
NO_MARKER = "SET TBLPROPERTIES ('serialization.null.format'='')"


def fields(columns: Sequence[Column], types: dict[str, str], *, partition: bool = False) -> str:
    return ", ".join(
        f"{column.name} {types.get(column.name, column.type)}"
        for column in columns
        if partition or column.name != "partition_date"
    )


def ensure_final(job: Job, kind: str = "parquet") -> None:
    if not job.spark.catalog.tableExists(job.final.quoted):
        job.create_final(kind)


def written(table: str, how: str, **types: str) -> Prepare:
    """Final, with old data where that is possible, or staging, without, made by the words of ``how``."""

    def prepare(job: Job) -> None:
        ensure_final(job, "parquet" if "parquet" in how.lower() else "text")
        columns = fields(FINAL_COLUMNS, types) + (", partition_date STRING" if how.startswith("USING") else "")
        directory = job.home / "a ware house" / ("final" if table == FINAL else "inter")
        job.spark.sql(f"DROP TABLE IF EXISTS {job.database}.{table}")
        job.spark.sql(f"CREATE TABLE {job.database}.{table} ({columns}) {how} LOCATION 'file:{directory}'")
        if table == FINAL and not how.startswith("USING"):
            days = " ".join(f"PARTITION (partition_date='{day}')" for day in LISTED[:2])
            job.spark.sql(f"ALTER TABLE {job.final.quoted} ADD {days}")

    return prepare


def altered(table: str, kind: str, *changes: str) -> Prepare:
    """A table as the tests have it, changed by ``ALTER TABLE``; ``kind`` is the format of final."""

    def prepare(job: Job) -> None:
        job.create_final(kind)
        if table == STAGING:
            written(STAGING, f"{BY_DAY} {TEXT}")(job)
        for change in changes:
            job.spark.sql(f"ALTER TABLE {job.database}.{table} {change}")

    return prepare


def source(table: str, columns: str, how: str, files: str) -> Prepare:
    """Raw or a lookup over its files, made by the words of ``how``."""

    def prepare(job: Job) -> None:
        ensure_final(job)
        job.spark.sql(f"DROP TABLE {job.database}.{table}")
        job.spark.sql(
            f"CREATE TABLE {job.database}.{table} ({columns}) {how} LOCATION 'file:{job.sources.root}/{files}'"
        )

    return prepare


def raw(how: str, **types: str) -> Prepare:
    columns = fields(RAW_COLUMNS, types, partition=how.startswith("USING"))
    make = source(RAW, columns, how, "raw")

    def prepare(job: Job) -> None:
        make(job)
        job.spark.sql(f"MSCK REPAIR TABLE {job.database}.{RAW}")

    return prepare


def together(*prepared: Prepare) -> Prepare:
    def prepare(job: Job) -> None:
        for each in prepared:
            each(job)

    return prepare


def untracked(prepare: Prepare) -> Prepare:
    """The table is made by a Spark that keeps its partitions out of the metastore."""

    def prepared(job: Job) -> None:
        key = "spark.sql.hive.manageFilesourcePartitions"
        job.spark.conf.set(key, "false")
        try:
            prepare(job)
        finally:
            job.spark.conf.unset(key)

    return prepared


def untracked_raw(job: Job) -> None:
    columns = fields(RAW_COLUMNS, {}, partition=True)
    source(RAW, columns, "USING parquet PARTITIONED BY (partition_date)", "raw")(job)


def view(table: str) -> Prepare:
    def prepare(job: Job) -> None:
        job.create_final()
        job.spark.sql(f"ALTER TABLE {job.database}.{table} RENAME TO {job.database}.behind")
        job.spark.sql(f"CREATE VIEW {job.database}.{table} AS SELECT * FROM {job.database}.behind")

    return prepare


def by_metastore(table: str, change: Callable[[Any], object], *days: str) -> Prepare:
    """What no statement of Spark does: a change of the table, or of some partitions, as the metastore has them."""

    def prepare(job: Job) -> None:
        ensure_final(job)
        jvm: Any = job.spark.sparkContext._jvm
        client = jvm.org.apache.hadoop.hive.ql.metadata.Hive.get().getMSC()
        for day in days:
            partition = client.getPartition(job.database, table, f"partition_date={day}")
            change(partition)
            client.alter_partition(job.database, table, partition)
        if not days:
            found = client.getTable(job.database, table)
            change(found)
            client.dropTable(job.database, table, False, True)
            client.createTable(found)

    return prepare


def final_partition_of_text(job: Job) -> None:
    """As a table that became Parquet, while a day stayed text."""
    job.create_final("text")
    job.spark.sql(
        f"ALTER TABLE {job.final.quoted} PARTITION (partition_date='{LISTED[0]}') SET SERDEPROPERTIES ('a'='b')"
    )
    for day in (LISTED[1], *UNLISTED):
        job.spark.sql(f"ALTER TABLE {job.final.quoted} DROP PARTITION (partition_date='{day}')")

    def to_parquet(table: Any) -> None:
        table.getSd().setInputFormat("org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat")
        table.getSd().setOutputFormat("org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat")
        table.getSd().getSerdeInfo().setSerializationLib("org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe")

    jvm: Any = job.spark.sparkContext._jvm
    client = jvm.org.apache.hadoop.hive.ql.metadata.Hive.get().getMSC()
    table = client.getTable(job.database, FINAL)
    to_parquet(table)
    client.alter_table(job.database, FINAL, table)
    job.spark.catalog.refreshTable(job.final.quoted)


def organisations(how: str) -> Prepare:
    return source("org_details", "orgno BIGINT, orgname STRING, org_abbr STRING", how, "org_details")
