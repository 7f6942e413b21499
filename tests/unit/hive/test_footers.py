"""Which columns of a Parquet file are refused, by what its footer says of them."""

from __future__ import annotations

import pytest

from traffic_aggr.hive.footers import _columns, problems_of

SCHEMA = """\
  optional int64 cdrid;
  required binary Name (STRING) = 7;
  optional fixed_len_byte_array(8) cost (DECIMAL(18,6));
  optional int96 calldate;
  optional group tags (LIST) {
    repeated group list {
      optional binary element (STRING);
    }
  }
  repeated int32 several;
"""
READ = [
    ("int32", "int"),
    ("int32 (INTEGER(32,true))", "int"),
    ("int32 (INTEGER(16,true))", "smallint"),
    ("int32 (INTEGER(16,false))", "int"),
    ("int64", "bigint"),
    ("int64 (INTEGER(64,true))", "BIGINT"),
    ("binary", "string"),
    ("binary (STRING)", "varchar(20)"),
    ("binary (ENUM)", "char(3)"),
    ("int96", "timestamp"),
    ("int64 (TIMESTAMP(MICROS,true))", "timestamp"),
    ("int64 (TIMESTAMP(MILLIS,false))", "timestamp"),
    ("int64 (TIMESTAMP(MICROS,false))", "timestamp_ntz"),
    ("int64 (DECIMAL(18,6))", "decimal(18,6)"),
    ("int64 (DECIMAL(12,6))", "decimal(18,6)"),
    ("int32 (DECIMAL(5,2))", "decimal(9,2)"),
    ("fixed_len_byte_array(6) (DECIMAL(12,6))", "decimal(18,6)"),
    ("fixed_len_byte_array(13) (DECIMAL(28,10))", "decimal(28,10)"),
    ("binary (DECIMAL(28,10))", "decimal(28,10)"),
]
WIDENED = [
    ("int32", "bigint"),
    ("int32 (INTEGER(8,true))", "bigint"),
    ("int32 (DECIMAL(9,6))", "decimal(18,6)"),
    ("int64 (DECIMAL(12,2))", "decimal(18,6)"),
    ("int64 (DECIMAL(18,6))", "decimal(28,10)"),
    ("fixed_len_byte_array(6) (DECIMAL(12,2))", "decimal(18,6)"),
]
REFUSED = [
    ("int64", "int"),
    ("int32", "smallint"),
    ("int32 (INTEGER(16,false))", "smallint"),
    ("int32 (INTEGER(32,false))", "int"),
    ("int32 (INTEGER(32,false))", "bigint"),
    ("int64 (INTEGER(64,false))", "bigint"),
    ("int32 (DECIMAL(9,2))", "int"),
    ("int64 (DECIMAL(18,2))", "bigint"),
    ("int32 (DATE)", "int"),
    ("int32 (DATE)", "timestamp"),
    ("int64 (TIMESTAMP(MICROS,true))", "bigint"),
    ("int64 (TIMESTAMP(NANOS,true))", "timestamp"),
    ("int64 (TIMESTAMP(MICROS,true))", "timestamp_ntz"),
    ("int64", "timestamp"),
    ("int96", "bigint"),
    ("int96", "timestamp_ntz"),
    ("double", "decimal(18,6)"),
    ("double", "bigint"),
    ("int32", "decimal(18,6)"),
    ("int64 (DECIMAL(18,8))", "decimal(18,6)"),
    ("fixed_len_byte_array(9) (DECIMAL(20,6))", "decimal(18,6)"),
    ("binary (DECIMAL(18,6))", "decimal(18,6)"),
    ("binary (DECIMAL(18,6))", "string"),
    ("fixed_len_byte_array(16) (UUID)", "string"),
    ("int32", "string"),
    ("boolean", "string"),
]


def problems(column: str, type_: str, *, widens: bool = False) -> list[str]:
    physical, _, logical = column.partition(" ")
    schema = f"  optional {physical} c{f' {logical}' if logical else ''};\n"
    assert len(_columns(schema)) == 1
    return list(problems_of(_columns(schema), {"c": type_}, widens=widens))


def test_columns_of_the_top_level_are_taken_with_their_types() -> None:
    found = [(name, str(column)) for name, column in _columns(SCHEMA)]

    assert found == [
        ("cdrid", "int64"),
        ("Name", "binary (STRING)"),
        ("cost", "fixed_len_byte_array(8) (DECIMAL(18,6))"),
        ("calldate", "int96"),
        ("tags", "group (LIST)"),
        ("several", "repeated int32"),
    ]


@pytest.mark.parametrize(("column", "type_"), READ)
def test_a_type_that_every_spark_reads_rightly_passes(column: str, type_: str) -> None:
    assert problems(column, type_) == problems(column, type_, widens=True) == []


@pytest.mark.parametrize(("column", "type_"), WIDENED)
def test_a_narrower_number_passes_where_spark_widens_it(column: str, type_: str) -> None:
    assert problems(column, type_, widens=True) == []
    assert problems(column, type_) == [f"column c is {column}, and {type_.upper()} in the table"]


@pytest.mark.parametrize(("column", "type_"), REFUSED)
def test_a_type_that_is_read_wrongly_or_not_at_all_is_refused(column: str, type_: str) -> None:
    told = [f"column c is {column}, and {type_.upper()} in the table"]

    assert problems(column, type_) == problems(column, type_, widens=True) == told


def test_a_column_that_repeats_is_refused_and_one_that_is_missing_is_not() -> None:
    columns = _columns("  optional int64 bytes;\n  optional int64 BYTES;\n  repeated int64 cdrid;\n")

    assert list(problems_of(columns, {"bytes": "bigint", "cdrid": "bigint", "sim": "string"}, widens=False)) == [
        "column bytes is there 2 times",
        "column cdrid is repeated int64, and BIGINT in the table",
    ]
