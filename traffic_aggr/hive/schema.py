"""
Columns of tables, and which deviations of a table from its columns the job accepts.

Tables that the job only reads may have further columns, any order, and narrower types (domain.md, "Tables"). The job
writes staging and final by position, so their names, order and types must match; only VARCHAR may replace STRING.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional, Union


@dataclass(frozen=True)
class Column:
    """
    One column: lower-case name, type as Spark and Hive DDL spell it, and a comment for the table.

    A column of days has a ``length``, the characters that a VARCHAR needs for one.
    """

    name: str
    type: str
    comment: str = ""
    length: Optional[int] = None


FoundColumns = Union[Mapping[str, str], Iterable[tuple[str, str]]]
"""The columns that a table has, in order: ``DataFrame.dtypes``, or the same as a mapping."""

_INTEGER_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}
_STRING = re.compile(r"string|(?:var)?char\((\d+)\)")
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_SPACES = re.compile(r"\s+")


def check_columns(table: str, found: FoundColumns, required: Sequence[Column]) -> list[str]:
    """
    Problems of a table that the job only reads: a missing column, or an unsuitable type.

    Order and further columns do not matter. A type is accepted if it widens to the contract's without loss (INT for
    BIGINT, VARCHAR for STRING, DECIMAL(12,2) for DECIMAL(18,6), TIMESTAMP_NTZ for TIMESTAMP). The list is empty if the
    table is usable.
    """
    types = {name.lower(): type_ for name, type_ in dict(found).items()}
    problems = []
    for column in required:
        if column.name not in types:
            problems.append(f"{table} has no column {column.name} ({column.type})")
        else:
            refusal = _refusal(types[column.name], column.type)
            if refusal:
                problems.append(f"{table}.{column.name} is {types[column.name]}, not {column.type}: {refusal}")
    return problems


def check_layout(table: str, found: FoundColumns, required: Sequence[Column]) -> list[str]:
    """
    Problems of a table that the job writes by position.

    These are missing or additional columns, names in another order, and other types. ``found`` ends with the partition
    column, as ``DataFrame.dtypes`` of a partitioned table does.
    """
    columns = [(name.lower(), type_) for name, type_ in dict(found).items()]
    names = [name for name, _ in columns]
    wanted = [column.name for column in required]
    missing = [
        f"{table} has no column {column.name} ({column.type})" for column in required if column.name not in names
    ]
    extra = [f"{table} has a column {name} that the job does not write" for name in names if name not in wanted]
    if missing or extra:
        return missing + extra
    if names != wanted:
        position = next(index for index, pair in enumerate(zip(names, wanted)) if pair[0] != pair[1])
        return [f"{table} has {names[position]} as column {position + 1}, where {wanted[position]} belongs"]
    return [
        f"{table}.{column.name} is {type_}, not {column.type}"
        for column, (_, type_) in zip(required, columns)
        if not _is_written_as(type_, column.type)
    ]


def declared_length(type_: str) -> Optional[int]:
    """The number of characters that a CHAR or VARCHAR holds; None for other types."""
    found = _STRING.fullmatch(_normalised(type_))
    return int(found[1]) if found and found[1] else None


def _is_written_as(found: str, wanted: str) -> bool:
    found, wanted = _normalised(found), _normalised(wanted)
    return found == wanted or (wanted == "string" and found.startswith("varchar("))


def _refusal(found: str, wanted: str) -> str:
    """Why values of type ``found`` cannot be read as ``wanted``; empty if they can."""
    found, wanted = _normalised(found), _normalised(wanted)
    if found == wanted or (wanted == "string" and _STRING.fullmatch(found)):
        return ""
    if wanted == "timestamp":
        return "" if found == "timestamp_ntz" else "days are taken from a moment in time"
    room, digits = _digits(wanted), _digits(found)
    if room and found in ("float", "double"):
        return "sums must be exact"
    if room and digits and digits[0] <= room[0] and digits[1] <= room[1]:
        return ""
    return "values could be lost or changed"


def _digits(type_: str) -> Optional[tuple[int, int]]:
    """Digits that a number type holds before and after the decimal point; None for other types."""
    if type_ in _INTEGER_DIGITS:
        return _INTEGER_DIGITS[type_], 0
    decimal = _DECIMAL.fullmatch(type_)
    if decimal is None:
        return None
    precision, scale = int(decimal[1]), int(decimal[2])
    return precision - scale, scale


def _normalised(type_: str) -> str:
    return _SPACES.sub("", type_.lower())
