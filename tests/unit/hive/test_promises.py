"""The rules of promises.py, one by one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from traffic_aggr.hive.catalog import TableFacts
from traffic_aggr.hive.layout import PARQUET_SERDE, TEXT_SERDE, RowFormat
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.promises import kind_problem, partition_problems, refusal, table_problems
from traffic_aggr.hive.sql import TableName
from traffic_aggr.traffic.columns import COUNTRY_LOOKUP_COLUMNS, ORG_DETAILS_COLUMNS, RAW_COLUMNS, STAGING_COLUMNS

HIVE = "org.apache.hadoop.hive.ql.io."
PARQUET = RowFormat(PARQUET_SERDE, f"{HIVE}parquet.MapredParquetInputFormat", "out")
DAY = Partition("2021-04-01")
READ = (*RAW_COLUMNS, *ORG_DETAILS_COLUMNS, *COUNTRY_LOOKUP_COLUMNS)


def text(**serde_properties: str) -> RowFormat:
    named = {key.replace("_", "."): value for key, value in serde_properties.items()}
    return RowFormat(TEXT_SERDE, "org.apache.hadoop.mapred.TextInputFormat", "out", named)


def table(row_format: RowFormat = PARQUET, properties: Mapping[str, str] = {}, **facts: Any) -> TableFacts:
    columns = tuple((column.name, column.type.lower()) for column in STAGING_COLUMNS)
    found: dict[str, Any] = {
        "name": TableName("mnaas", "t"),
        "kind": "EXTERNAL",
        "provider": "hive",
        "location": "file:/t",
        "columns": columns,
        "partition_columns": ("partition_date",),
        "row_format": row_format,
        "properties": properties,
    }
    return TableFacts(**{**found, **facts})


def whats(facts: TableFacts, *, written: bool = True) -> str:
    kind = kind_problem(facts, written=written)
    return " ".join(
        problem.what
        for problem in (
            [kind] if kind else table_problems(facts, STAGING_COLUMNS if written else READ, written=written)
        )
    )


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize(
    "facts",
    [
        table(),
        table(provider="parquet", row_format=RowFormat(PARQUET_SERDE, "", "")),
        table(text(field_delim=";", serialization_format=";")),
        table(text()),
        table(text(field_delim="-2")),
        table(text(field_delim="9")),
        table(text(field_delim="|", escape_delim="\\"), {"serialization.null.format": ""}),
        table(text(field_delim="|", line_delim="\n", serialization_encoding="utf-8")),
        table(properties={"skip.header.line.count": "0", "parquet.compression": "GZIP", "transactional": "false"}),
        table(partition_columns=(), tracks_partitions=False),
    ],
    ids=str,
)
def test_a_plain_table_promises_nothing_that_the_job_does_not_keep(facts: TableFacts, written: bool) -> None:
    assert whats(facts, written=written) == ""


KINDS = [
    (table(kind="VIEW"), "it is a view"),
    (table(kind="MATERIALIZED VIEW"), "it is a materialized view"),
    (table(properties={"transactional": "TRUE", "transactional_properties": "insert_only"}), "it is an ACID table"),
    (table(properties={"storage_handler": "org.apache.hadoop.hive.kudu.KuduStorageHandler"}), "but KuduStorageHandler"),
    (table(properties={"storage_handler": "org.apache.hadoop.hive.hbase.HBaseStorageHandler"}), "but HBaseStorageH"),
    (table(properties={"table_type": "ICEBERG"}), "but ICEBERG"),
    (table(properties={"table_type": "PAIMON"}), "but PAIMON"),
    (table(provider="delta"), "but delta"),
    (table(provider="hudi"), "but hudi"),
    (table(provider="jdbc"), "but jdbc"),
    (table(unsupported=("skewed columns",)), "but skewed columns"),
    (
        table(RowFormat(PARQUET_SERDE, "org.apache.hudi.hadoop.HoodieParquetInputFormat", "out")),
        "HoodieParquetInputForm",
    ),
    (table(RowFormat(PARQUET_SERDE, f"{HIVE}SymlinkTextInputFormat", "out")), "SymlinkTextInputFormat"),
    (table(RowFormat("a.b.MultiDelimitSerDe", "org.apache.hadoop.mapred.TextInputFormat", "")), "MultiDelimitSerDe, T"),
]


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize(("facts", "what"), KINDS, ids=[what for _, what in KINDS])
def test_a_table_of_another_kind_is_neither_written_nor_read(facts: TableFacts, what: str, written: bool) -> None:
    found = whats(facts, written=written)

    assert what in found
    assert "org.apache" not in found


@pytest.mark.parametrize("serde", ["OpenCSVSerde", "RegexSerDe"])
def test_some_formats_are_read_but_not_written(serde: str) -> None:
    facts = table(RowFormat(f"org.apache.hadoop.hive.serde2.{serde}", "org.apache.hadoop.mapred.TextInputFormat", ""))

    assert serde in whats(facts, written=True)
    assert whats(facts, written=False) == ""


BOTH = [
    (table(partition_columns=("partition_date",), tracks_partitions=False), "metastore does not have its partitions"),
    (table(properties={"skip.header.line.count": "1"}), "skip.header.line.count=1"),
    (table(text(skip_footer_line_count="2")), "skip.footer.line.count=2"),
    (table(text(line_delim="|")), "line.delim"),
    (table(text(field_delim=";"), {"textinputformat.record.delimiter": "|"}), "textinputformat.record.delimiter"),
    (table(text(field_delim=";"), {"field.delim": ","}), "differ in field.delim"),
    (table(text(field_delim=";"), {"escape.delim": "\\"}), "differ in escape.delim"),
    (table(replace(PARQUET, serde_properties={"ignoreCorruptFiles": "true"})), "ignoreCorruptFiles"),
]


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize(("facts", "what"), BOTH, ids=[what for _, what in BOTH])
def test_what_spark_reads_or_writes_otherwise_is_a_problem_of_every_table(
    facts: TableFacts, what: str, written: bool
) -> None:
    assert what in whats(facts, written=written)


WRITTEN = [
    (table(bucket_columns=("mcc", "mnc")), "bucketed by mcc, mnc"),
    (table(properties={"PROTECT_MODE": "NO_DROP,OFFLINE"}), r"protected (NO_DROP,OFFLINE)"),
    (table(properties={"parquet.encryption.column.keys": "k:msisdn"}), "encrypted"),
    (table(properties={"parquet.compression": "LZO"}), "parquet.compression=LZO"),
    (table(columns=(("calldate", "varchar(9)"),)), "calldate is varchar(9)"),
    (table(text(serialization_encoding="ISO-8859-1")), "ISO-8859-1"),
    (table(text(), {"serialization.encoding": "GBK"}), "GBK"),
    (table(text(serialization_format=";")), "serialization.format without field.delim"),
    (table(text(field_delim="||")), "'||' is not one character"),
    (table(text(field_delim="")), "'' is not one character"),
    (table(text(field_delim="45")), "'-' is part of numbers"),
    (table(text(field_delim=".")), "'.' is part of numbers"),
    (table(text(field_delim="é")), "byte of other characters"),
    (table(text(field_delim="§")), "byte of other characters"),
    (table(text(field_delim="漢")), "byte of other characters"),
    (table(text(serialization_null_format="NULL")), "TBLPROPERTIES alone"),
    (table(text(serialization_null_format="a"), {"serialization.null.format": "0"}), "'0' could be a number"),
    (table(text(), {"serialization.null.format": "-1.0"}), "'-1.0' could be a number"),
]


@pytest.mark.parametrize(("facts", "what"), WRITTEN, ids=[what for _, what in WRITTEN])
def test_what_the_job_would_write_otherwise_is_a_problem_of_written_tables_alone(facts: TableFacts, what: str) -> None:
    assert what in whats(facts)
    assert whats(facts, written=False) == ""


def test_buckets_of_spark_are_a_problem_of_tables_that_are_read_too() -> None:
    buckets = {"bucket_columns": ("cdrid",), "row_format": RowFormat(PARQUET_SERDE, "", "")}

    assert "bucketed by cdrid" in whats(table(provider="parquet", **buckets), written=False)
    assert whats(table(bucket_columns=("cdrid",)), written=False) == ""


def test_defaults_are_a_problem_of_tables_that_are_read_alone() -> None:
    facts = table(defaulted_columns=("bytes",))

    assert "lacks bytes" in whats(facts, written=False)
    assert whats(facts) == ""


@pytest.mark.parametrize(
    ("facts", "own", "what"),
    [
        (table(), text(), "partition 2021-04-01: it is stored as LazySimpleSerDe"),
        (table(text()), PARQUET, None),
        (table(text()), text(field_delim=","), None),
        (table(text()), text(skip_header_line_count="1"), "partition 2021-04-01: readers skip lines"),
        (table(text()), text(line_delim="|"), "partition 2021-04-01: its lines"),
        (table(provider="parquet"), RowFormat("", "", ""), None),
    ],
)
def test_a_listed_partition_may_have_a_format_of_its_own_that_spark_reads(
    facts: TableFacts, own: RowFormat, what: str
) -> None:
    found = [problem.what for problem in partition_problems(facts, {DAY: own})]

    assert found == [] if what is None else found[0].startswith(what)


def test_the_refusal_names_the_table_every_problem_and_each_remedy_once() -> None:
    facts = table(text(field_delim="||"), {"skip.header.line.count": "1", "PROTECT_MODE": "NO_DROP"})

    error = refusal(facts, table_problems(facts, STAGING_COLUMNS, written=True), written=True)

    assert error.exit_code == 3
    assert re.fullmatch(
        r"mnaas\.t cannot be restated: readers skip .*, and it is protected \(NO_DROP\), and its field\.delim .*"
        r"\. Unset skip\.header\.line\.count.*\. Disable NO_DROP.*\. Set field\.delim .*",
        str(error),
    )
