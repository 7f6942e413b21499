"""What a table promises and the job keeps (docs/operations.md, "What a table may promise")."""

from __future__ import annotations

import duckdb
import pytest

from tests.support.promised_tables import (
    BY_DAY,
    COMMAS,
    FINAL,
    HEADER,
    LAZY,
    NO_MARKER,
    PARQUET,
    STAGING,
    TEXT,
    Prepare,
    altered,
    fields,
    organisations,
    raw,
    source,
    together,
    written,
)
from tests.support.warehouse import LISTED, Job
from traffic_aggr.traffic.columns import FINAL_COLUMNS

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
    assert job.rows() == job.sources.expected()


@pytest.mark.parametrize("format_", ["ORC", "AVRO", "RCFILE", "SEQUENCEFILE"])
def test_a_final_table_of_another_format_of_hive_is_restated_exactly(job: Job, format_: str) -> None:
    job.spark.sql(
        f"CREATE TABLE {job.final.quoted} ({fields(FINAL_COLUMNS, {})}) {BY_DAY} STORED AS {format_} "
        f"LOCATION 'file:{job.home}/a ware house/final'"
    )

    result = job("run")

    assert result.code == 0, result.err
    assert job.rows() == job.sources.expected()


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
    assert job.rows() == sorted(expected, key=repr)


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
    assert job.rows() == job.sources.expected()
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
