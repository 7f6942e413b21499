"""
Rows and sums of data files, read the way Impala reads them: Parquet columns by position, text without unescaping.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Optional

import duckdb

from devtools.impala_double.catalog import PARQUET, TableInfo

Total = Optional[Decimal]
"""A SQL sum: None where there was nothing to add."""

LAZY_SIMPLE_DELIMITER = "\x01"
LAZY_SIMPLE_NULL = "\\N"


def count_and_sum(info: TableInfo, files: Sequence[str], columns: Sequence[str]) -> tuple[int, list[Total]]:
    """
    Rows in ``files`` and the exact sum of each of ``columns``, whose names are in lower case.

    Raises ``duckdb.Error`` or OSError for a file that cannot be read.
    """
    positions = [[name.lower() for name, _ in info.columns].index(column) for column in columns]
    rows = 0
    totals: list[Total] = [None] * len(columns)
    for path in files:
        counted, sums = _parquet(path, positions) if info.format == PARQUET else _text(path, positions, info)
        rows += counted
        totals = [_add(total, value) for total, value in zip(totals, sums)]
    return rows, totals


def _add(total: Total, value: Total) -> Total:
    if value is None:
        return total
    return value if total is None else total + value


def _parquet(path: str, positions: Sequence[int]) -> tuple[int, list[Total]]:
    with duckdb.connect() as connection:
        header = connection.execute("SELECT * FROM read_parquet(?) LIMIT 0", [path]).description or []
        sums = "".join(f', sum("{header[position][0]}")' for position in positions)
        row = connection.execute(f"SELECT count(*){sums} FROM read_parquet(?)", [path]).fetchone()
    assert row is not None, "an aggregate without groups has one row"
    return int(row[0]), [None if value is None else Decimal(str(value)) for value in row[1:]]


def _text(path: str, positions: Sequence[int], info: TableInfo) -> tuple[int, list[Total]]:
    delimiter = info.serde.get("field.delim", info.serde.get("serialization.format", LAZY_SIMPLE_DELIMITER))
    null = info.serde.get("serialization.null.format", LAZY_SIMPLE_NULL)
    escape = info.serde.get("escape.delim", "")
    rows = 0
    totals: list[Total] = [None] * len(positions)
    with open(path, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            rows += 1
            fields = _split(line.rstrip("\n"), delimiter, escape)
            values = (fields[position] if position < len(fields) else null for position in positions)
            totals = [_add(total, _number(value, null)) for total, value in zip(totals, values)]
    return rows, totals


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


def _number(text: str, null: str) -> Total:
    if text == null:
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None
