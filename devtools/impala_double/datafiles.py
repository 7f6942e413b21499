"""
Reads rows of data files as Impala does: Parquet columns by position or by name, text by the serde's rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import duckdb

from devtools.impala_double.catalog import PARQUET, TableInfo

LAZY_SIMPLE_DELIMITER = "\x01"
LAZY_SIMPLE_NULL = "\\N"
_SEPARATOR = "\x1f"
ROWS = "data"
"""The DuckDB table that ``create`` makes: the partition columns, as text, and the requested columns."""

_TEXT = re.compile(r"string|varchar.*|char.*|blob", re.IGNORECASE)
_INTEGER = re.compile(r"tinyint|smallint|int|integer|bigint", re.IGNORECASE)


class IncompatibleSchema(Exception):
    """Impala does not read a Parquet column's type as the table's. The message has Impala's wording."""


def create(connection: duckdb.DuckDBPyConnection, info: TableInfo, columns: Sequence[str]) -> None:
    """Creates the empty table ``ROWS`` for ``columns``, whose names are in lower case."""
    types = _types(info)
    fields = [
        *(f'"{name}" VARCHAR' for name in info.partition_columns),
        *(f'"{name}" {_duckdb_type(types[name])}' for name in columns),
        "_row BOOLEAN",  # a table needs a column even when none is requested
    ]
    connection.execute(f"CREATE TEMP TABLE {ROWS} ({', '.join(fields)})")


def insert(
    connection: duckdb.DuckDBPyConnection,
    info: TableInfo,
    partition: Sequence[str],
    path: str,
    columns: Sequence[str],
    *,
    by_name: bool,
) -> None:
    """
    Adds the rows of one file of the ``partition``, given by the values of its partition columns.

    Raises ``duckdb.Error``, OSError, UnicodeError or IncompatibleSchema for a file that cannot be read.
    """
    if info.format == PARQUET:
        _insert_parquet(connection, info, partition, path, columns, by_name=by_name)
    else:
        _insert_text(connection, info, partition, path, columns)


def _types(info: TableInfo) -> dict[str, str]:
    return {name.lower(): kind for name, kind in info.columns}


def _duckdb_type(kind: str) -> str:
    return "VARCHAR" if _TEXT.fullmatch(kind) else kind


def _insert_parquet(
    connection: duckdb.DuckDBPyConnection,
    info: TableInfo,
    partition: Sequence[str],
    path: str,
    columns: Sequence[str],
    *,
    by_name: bool,
) -> None:
    source = "read_parquet(?, hive_partitioning = false, binary_as_string = true)"
    found = connection.execute(f"SELECT * FROM {source} LIMIT 0", [path]).description or []
    header = [(str(field[0]), str(field[1])) for field in found]
    types, order = _types(info), [name.lower() for name, _ in info.columns]
    values = []
    for name in columns:
        if by_name:
            field = next((each for each in header if each[0].lower() == name), None)
        else:
            position = order.index(name)
            field = header[position] if position < len(header) else None
        if field is not None and not _is_read_as(field[1], types[name]):
            raise IncompatibleSchema(
                f"File '{path}' has an incompatible Parquet schema for column '{name}'. "
                f"Column type: {types[name].upper()}, Parquet schema: optional {field[1].lower()} {field[0]}"
            )
        values.append("NULL" if field is None else f'"{field[0]}"')
    selected = ", ".join([*("?" for _ in partition), *values, "true"])
    connection.execute(f"INSERT INTO {ROWS} SELECT {selected} FROM {source}", [*partition, path])


def _is_read_as(found: str, wanted: str) -> bool:
    """Whether Impala reads the Parquet type ``found`` as the table's type ``wanted``."""
    if _TEXT.fullmatch(wanted):
        return bool(_TEXT.fullmatch(found))
    if _INTEGER.fullmatch(wanted):
        return bool(_INTEGER.fullmatch(found)) and (found != "BIGINT" or wanted.lower() == "bigint")
    decimal = re.fullmatch(r"decimal\((\d+),\s*(\d+)\)", wanted.lower())
    if decimal is None:
        return True
    stored = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", found)
    return stored is not None and stored[2] == decimal[2] and int(stored[1]) <= int(decimal[1])


def _insert_text(
    connection: duckdb.DuckDBPyConnection,
    info: TableInfo,
    partition: Sequence[str],
    path: str,
    columns: Sequence[str],
) -> None:
    delimiter = info.serde.get("field.delim", info.serde.get("serialization.format", LAZY_SIMPLE_DELIMITER))
    null = info.serde.get("serialization.null.format", LAZY_SIMPLE_NULL)
    escape = info.serde.get("escape.delim", "")
    types, order = _types(info), [name.lower() for name, _ in info.columns]
    positions = [order.index(name) for name in columns]
    with open(path, encoding="utf-8", newline="\n") as lines:
        rows = [
            _SEPARATOR.join(fields[position] if position < len(fields) else null for position in positions)
            for fields in (_split(line.rstrip("\n"), delimiter, escape) for line in lines)
        ]
    casts = [
        f"TRY_CAST(nullif(fields[{number}], $null) AS {_duckdb_type(types[name])})"
        for number, name in enumerate(columns, 1)
    ]
    values = {f"value_{number}": value for number, value in enumerate(partition)}
    selected = ", ".join([*(f"${name}" for name in values), *casts, "true"])
    # One string for all rows: DuckDB would convert a list of lists value by value.
    fields = "SELECT string_split(unnest(string_split($rows, chr(10))), $separator) AS fields"
    parameters = {"rows": "\n".join(rows), "separator": _SEPARATOR, **({"null": null} if casts else {})}
    if rows:
        connection.execute(f"INSERT INTO {ROWS} SELECT {selected} FROM ({fields})", {**values, **parameters})


def _split(line: str, delimiter: str, escape: str) -> list[str]:
    return list(_escaped_fields(line, delimiter, escape)) if escape else line.split(delimiter)


def _escaped_fields(line: str, delimiter: str, escape: str) -> Iterator[str]:
    field = ""
    characters = iter(line)
    for character in characters:
        if character == escape:
            field += next(characters, "")
        elif character == delimiter:
            yield field
            field = ""
        else:
            field += character
    yield field
