"""A table that promises what the job does not keep is refused (docs/operations.md, "What a table may promise")."""

from __future__ import annotations

import re

import pytest

from tests.support.promised_tables import (
    BY_DAY,
    COMMAS,
    FINAL,
    HEADER,
    HIVES_BUCKETS,
    LAZY,
    NO_MARKER,
    PARQUET,
    SPARKS_BUCKETS,
    STAGING,
    TEXT,
    Prepare,
    altered,
    by_metastore,
    final_partition_of_text,
    organisations,
    raw,
    untracked,
    untracked_raw,
    view,
    written,
)
from tests.support.warehouse import LISTED, RAW, Job, snapshot

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


def test_check_names_what_a_run_would_refuse(job: Job) -> None:
    altered("org_details", "parquet", HEADER)(job)

    result = job("check")

    assert result.code == 3
    assert re.search("FAIL .*org_details cannot be read exactly: .*skip.header.line.count=1", result.out)
