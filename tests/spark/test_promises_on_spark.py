"""Each promise of a table (docs/operations.md, "What a table may promise") is kept, or refused in time."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import pytest

from tests.support.warehouse import LISTED, RAW, UNLISTED, Job, snapshot
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


HEADER = "SET TBLPROPERTIES ('skip.header.line.count'='1')"
COMMAS = "ROW FORMAT DELIMITED FIELDS TERMINATED BY ','"
NO_MARKER = "SET TBLPROPERTIES ('serialization.null.format'='')"

REFUSED = [
    pytest.param(
        written(FINAL, SPARKS_BUCKETS), f"{FINAL} cannot be restated: it is bucketed by mcc", id="sparks-buckets"
    ),
    pytest.param(
        written(FINAL, HIVES_BUCKETS), f"{FINAL} cannot be restated: it is bucketed by mcc", id="hives-buckets"
    ),
    pytest.param(written(STAGING, SPARKS_BUCKETS), f"{STAGING} cannot .*it is bucketed by mcc", id="staging-buckets"),
    pytest.param(
        raw(SPARKS_BUCKETS.replace("SORTED BY (mnc) ", "")),
        f"{RAW} cannot be read exactly: .*bucketed",
        id="raw-buckets",
    ),
    pytest.param(
        written(FINAL, f"{BY_DAY} {PARQUET}", customername="VARCHAR(6)"),
        r"customername of more than 6 characters in \d+ rows, such as ' ?(Org|Raw)",
        id="varchar",
    ),
    pytest.param(
        written(FINAL, f"{BY_DAY} {TEXT}", customername="VARCHAR(6)"), "customername of more", id="text-varchar"
    ),
    pytest.param(
        written(STAGING, f"{BY_DAY} {PARQUET}", country="VARCHAR(8)"),
        "country of more than 8 .*India T",
        id="staging-varchar",
    ),
    pytest.param(
        written(FINAL, f"{BY_DAY} {PARQUET}", calldate="VARCHAR(7)"), "calldate is varchar.7.", id="short-days"
    ),
    pytest.param(written(FINAL, f"{BY_DAY} {PARQUET}", mcc="CHAR(3)"), r"mcc is char\(3\), not STRING", id="char"),
    pytest.param(written(FINAL, f"{BY_DAY} {PARQUET}", noofcdrids="INT"), "noofcdrids is int, not BIGINT", id="int"),
    pytest.param(
        written(FINAL, f"{BY_DAY} {PARQUET}", data_usage_in_kb="DECIMAL(28,4)"), "data_usage_in_kb is dec", id="decimal"
    ),
    pytest.param(altered(FINAL, "text", HEADER), f"{FINAL} .*skip.header.line.count=1", id="header"),
    pytest.param(altered(FINAL, "parquet", HEADER), f"{FINAL} .*skip.header.line.count=1", id="header-of-parquet"),
    pytest.param(altered(FINAL, "text", HEADER.replace("header", "footer")), "skip.footer.line.count=1", id="footer"),
    pytest.param(altered(STAGING, "text", HEADER), f"{STAGING} .*skip.header.line.count=1", id="staging-header"),
    pytest.param(altered(RAW, "parquet", HEADER), f"{RAW} cannot be read exactly.*skip.header", id="raw-header"),
    pytest.param(altered("org_details", "parquet", HEADER), "org_details cannot .*skip.header", id="lookup-header"),
    pytest.param(
        by_metastore(FINAL, lambda found: found.putToParameters("skip.header.line.count", "1"), LISTED[1]),
        f"{FINAL} .*partition {LISTED[1]}: .*skip.header.line.count=1",
        id="header-of-a-partition",
    ),
    pytest.param(
        by_metastore(RAW, lambda found: found.putToParameters("skip.header.line.count", "2"), LISTED[0]),
        f"{RAW} cannot be read exactly: partition {LISTED[0]}: .*skip.header.line.count=2",
        id="header-of-a-raw-partition",
    ),
    pytest.param(
        altered(FINAL, "text", "SET SERDEPROPERTIES ('serialization.encoding'='ISO-8859-1')"),
        "serialization.encoding ISO-8859-1",
        id="encoding",
    ),
    pytest.param(
        altered(FINAL, "text", "SET SERDEPROPERTIES ('line.delim'='|')"),
        r"lines do not end .*\(line.delim\)",
        id="lines",
    ),
    pytest.param(
        organisations(f"{COMMAS} TBLPROPERTIES ('textinputformat.record.delimiter'='|')"),
        "org_details cannot be read exactly: its lines do not end with a line feed",
        id="lookup-lines",
    ),
    pytest.param(
        altered(FINAL, "text", "SET TBLPROPERTIES ('field.delim'=',')"), "differ in field.delim", id="delimiter-twice"
    ),
    pytest.param(
        altered(FINAL, "text", "SET SERDEPROPERTIES ('field.delim'='||')"),
        r"field.delim '\|\|' is not one",
        id="delimiters",
    ),
    pytest.param(altered(FINAL, "text", "SET SERDEPROPERTIES ('field.delim'='-')"), "part of numbers", id="minus"),
    pytest.param(
        altered(FINAL, "text", "SET SERDEPROPERTIES ('field.delim'='é')"), "byte of other char", id="non-ascii"
    ),
    pytest.param(altered(FINAL, "text", NO_MARKER), "NULL marker of a text table: .*customernumber", id="empty-marker"),
    pytest.param(
        altered(FINAL, "text", "SET SERDEPROPERTIES ('serialization.null.format'='~')"),
        "Impala reads serialization.null.format in TBLPROPERTIES alone",
        id="marker-of-the-serde",
    ),
    pytest.param(
        altered(FINAL, "text", NO_MARKER.replace("''", "'0'")), "marker '0' could be a number", id="number-marker"
    ),
    pytest.param(
        untracked(written(FINAL, "USING parquet PARTITIONED BY (partition_date)")),
        f"{FINAL} cannot be restated: the metastore does not have its partitions.*MSCK REPAIR TABLE",
        id="untracked",
    ),
    pytest.param(untracked(untracked_raw), f"{RAW} .*the metastore does not have its partitions", id="untracked-raw"),
    pytest.param(final_partition_of_text, f"partition {LISTED[0]}: it is stored as LazySimple", id="partition-of-text"),
    pytest.param(
        altered(RAW, "parquet", "SET SERDEPROPERTIES ('pathGlobFilter'='nothing')"),
        "pathGlobFilter",
        id="reading-options",
    ),
    pytest.param(view(RAW), f"{RAW} cannot be read exactly: it is a view", id="raw-view"),
    pytest.param(view("country_lookup"), "country_lookup cannot be read exactly: it is a view", id="lookup-view"),
    pytest.param(
        by_metastore(FINAL, lambda table: table.setTableType("MATERIALIZED_VIEW")), "it is a materialized view", id="mv"
    ),
    pytest.param(
        altered(FINAL, "parquet", "SET TBLPROPERTIES ('table_type'='ICEBERG')"),
        "plain Hive table but ICEBERG",
        id="iceberg",
    ),
    pytest.param(
        by_metastore(
            FINAL, lambda table: table.getSd().setInputFormat("org.apache.hudi.hadoop.HoodieParquetInputFormat")
        ),
        r"does not write its format \(ParquetHiveSerDe, HoodieParquetInputFormat\)",
        id="hudi",
    ),
    pytest.param(
        by_metastore(
            "country_lookup",
            lambda table: table.getSd().getSerdeInfo().setSerializationLib("org.apache.hive.hcatalog.data.JsonSerDe"),
        ),
        r"country_lookup .*does not read its format \(JsonSerDe",
        id="json-lookup",
    ),
    pytest.param(
        written(
            FINAL,
            f"{BY_DAY} {LAZY} WITH SERDEPROPERTIES ('input.regex'='(.*)')".replace(
                "lazy.LazySimpleSerDe", "RegexSerDe"
            ),
        ),
        r"does not write its format \(RegexSerDe",
        id="regex",
    ),
    pytest.param(written(FINAL, "USING csv PARTITIONED BY (partition_date)"), "Hive table but csv", id="csv-of-spark"),
    pytest.param(
        altered(FINAL, "parquet", "SET TBLPROPERTIES ('PROTECT_MODE'='NO_DROP')"), "is protected", id="protected"
    ),
    pytest.param(
        altered(FINAL, "parquet", "SET TBLPROPERTIES ('parquet.compression'='brotli')"),
        "compression=brotli",
        id="codec",
    ),
    pytest.param(
        written(FINAL, "PARTITIONED BY (partition_date DATE) STORED AS PARQUET"), "partition_date is date", id="date"
    ),
    pytest.param(
        written(FINAL, SPARKS_BUCKETS.partition(" CLUSTERED")[0].replace("(partition_date)", "(vin)")),
        "is partitioned by vin|belongs",
        id="other-partition-column",
    ),
]


@pytest.mark.parametrize(("prepare", "message"), REFUSED)
def test_what_the_job_would_not_keep_is_refused_before_anything_is_touched(
    job: Job, prepare: Prepare, message: str
) -> None:
    prepare(job)
    before = None if "materialized" in message else snapshot(job)  # which Spark cannot even list

    result = job("run")

    last = result.err.strip().splitlines()[-1]
    assert result.code in (2, 3), last
    assert re.search(message, last), last
    assert not re.search(r"org\.apache|Exception", last)
    assert before is None or snapshot(job) == before
    assert job.record()["changes"] == []


def rows(job: Job) -> list[tuple[object, ...]]:
    return sorted((tuple(row) for row in job.final_rows().collect()), key=repr)


KEPT = [
    pytest.param(
        together(
            written(FINAL, f"{BY_DAY} {PARQUET}", customername="VARCHAR(7)", mcc="VARCHAR(3)"),
            raw(f"{BY_DAY} {PARQUET}", companyname="CHAR(8)", country="CHAR(9)", mcc="VARCHAR(5)"),
            organisations(COMMAS + " TBLPROPERTIES ('serialization.encoding'='ISO-8859-1')"),
        ),
        id="varchar-raw-char-encoded-lookup",
    ),
    pytest.param(
        together(
            written(FINAL, f"{BY_DAY} {TEXT}", customername="VARCHAR(7)", calldate="VARCHAR(10)"),
            written(STAGING, f"{BY_DAY} {LAZY} WITH SERDEPROPERTIES ('field.delim'='-2')"),
        ),
        id="text-varchar-thorn",
    ),
    pytest.param(
        altered(FINAL, "text", NO_MARKER.replace("''", "'~'"), "SET TBLPROPERTIES ('immutable'='true')"),
        id="null-marker-immutable",
    ),
    pytest.param(written(FINAL, "USING parquet PARTITIONED BY (partition_date)"), id="of-spark"),
]


@pytest.mark.parametrize("prepare", KEPT)
def test_what_the_job_keeps_is_restated_exactly(job: Job, prepare: Prepare) -> None:
    prepare(job)

    result = job("run")

    assert result.code == 0, result.err
    assert rows(job) == job.sources.expected()


@pytest.mark.parametrize("format_", ["ORC", "AVRO", "RCFILE", "SEQUENCEFILE"])
def test_a_final_table_of_another_format_of_hive_is_restated_exactly(job: Job, format_: str) -> None:
    job.spark.sql(
        f"CREATE TABLE {job.final.quoted} ({fields(FINAL_COLUMNS, {})}) {BY_DAY} STORED AS {format_} "
        f"LOCATION 'file:{job.home}/a ware house/final'"
    )

    result = job("run")

    assert result.code == 0, result.err
    assert rows(job) == job.sources.expected()


def test_the_files_of_a_parquet_table_have_the_compression_that_it_names(job: Job) -> None:
    directory = job.create_final(properties={"parquet.compression": "ZSTD"})

    result = job("run")

    assert result.code == 0, result.err
    files = f"{directory}/partition_date={LISTED[0]}/*.parquet"
    assert duckdb.sql(f"SELECT DISTINCT compression FROM parquet_metadata('{files}')").fetchall() == [("ZSTD",)]


def test_a_lookup_is_cut_to_its_varchar_as_hive_cuts_it(job: Job) -> None:
    source("country_lookup", "mcc VARCHAR(4), country VARCHAR(5)", PARQUET, "country_lookup")(job)

    result = job("run")

    assert result.code == 0, result.err
    expected = [tuple("India" if value == "India Two" else value for value in row) for row in job.sources.expected()]
    assert rows(job) == sorted(expected, key=repr)


@pytest.mark.parametrize("mode", ["drop_and_load", "swap"])
def test_a_day_with_a_delimiter_of_its_own_becomes_as_the_table_and_rollback_brings_its_own_back(
    job: Job, mode: str
) -> None:
    directory = job.create_final("text")
    job.settings["publish"] = {"mode": mode}
    for path in (directory / f"partition_date={LISTED[0]}").glob("part*"):
        path.write_text(path.read_text().replace(";", "|"))
    for crc in (directory / f"partition_date={LISTED[0]}").glob(".*.crc"):
        crc.unlink()
    job.spark.sql(
        f"ALTER TABLE {job.final.quoted} PARTITION (partition_date='{LISTED[0]}') "
        "SET SERDEPROPERTIES ('field.delim'='|', 'serialization.format'='|')"
    )
    before = job.content(LISTED)
    assert "Org One" in str(before)

    result = job("run")

    assert result.code == 0, result.err
    assert rows(job) == job.sources.expected()
    assert job("rollback", job.record()["run_id"]).code == 0
    assert job.content(LISTED) == before


def test_a_table_that_came_to_promise_more_keeps_no_run_from_being_taken_back(job: Job) -> None:
    job.create_final("text")
    before = job.content(LISTED)
    result = job("run")
    assert result.code == 0, result.err
    job.spark.sql(f"ALTER TABLE {job.final.quoted} {HEADER}")

    assert job("rollback", job.record()["run_id"]).code == 0

    assert job.content(LISTED) == before


def test_check_names_what_a_run_would_refuse(job: Job) -> None:
    altered("org_details", "parquet", HEADER)(job)

    result = job("check")

    assert result.code == 3
    assert re.search("FAIL .*org_details cannot be read exactly: .*skip.header.line.count=1", result.out)
