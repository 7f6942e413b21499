"""
REFRESH, INVALIDATE METADATA and SHOW PARTITIONS: their syntax, their refusals and their effects.

    REFRESH db.t [PARTITION (column=value, ...) ...]      REFRESH FUNCTIONS db      REFRESH AUTHORIZATION
    INVALIDATE METADATA [db.t]                            SHOW PARTITIONS db.t [WHERE condition]

Several PARTITION clauses and WHERE need version 5.0. #Rows is always -1, since the table has no statistics.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Optional, Union

import duckdb

from devtools.impala_double.cache import AnalysisError, CachedPartition, CoordinatorCache
from devtools.impala_double.catalog import STRING, TableInfo

Columns = tuple[tuple[str, str], ...]
Rows = tuple[tuple[Union[str, int], ...], ...]

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
UPDATED = "REFRESH_UPDATED_HMS_PARTITIONS"
"""The query option that makes a table-level REFRESH take partitions' current locations."""

_NAME = r"`?\w+`?"
_TABLE = rf"(?P<table>{_NAME}(?:\.{_NAME})?)"
_STRING = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_ITEM = rf"{_NAME}\s*=\s*(?:{_STRING}|-?\d+|NULL)"
_SPEC = rf"PARTITION\s*\(\s*{_ITEM}(?:\s*,\s*{_ITEM})*\s*\)"
_FLAGS = re.IGNORECASE | re.DOTALL

_BEGIN = re.compile(r"(?:REFRESH|INVALIDATE|SHOW\s+PARTITIONS)\b", _FLAGS)
_REFRESH = re.compile(rf"REFRESH\s+{_TABLE}(?P<specs>(?:\s+{_SPEC})*)", _FLAGS)
_REFRESH_FUNCTIONS = re.compile(rf"REFRESH\s+FUNCTIONS\s+{_NAME}", _FLAGS)
_REFRESH_AUTHORIZATION = re.compile(r"REFRESH\s+AUTHORIZATION", _FLAGS)
_INVALIDATE = re.compile(rf"INVALIDATE\s+METADATA(?:\s+{_TABLE})?", _FLAGS)
_SHOW_PARTITIONS = re.compile(rf"SHOW\s+PARTITIONS\s+{_TABLE}(?:\s+WHERE\s+(?P<where>.+))?", _FLAGS)
_REFUSED_CONDITIONS = (
    (re.compile(r"\(\s*SELECT\b", _FLAGS), "Subqueries"),
    (re.compile(r"\bOVER\s*\(", _FLAGS), "Analytic expressions"),
)


def is_one(text: str) -> bool:
    """Whether ``text`` begins like one of these statements."""
    return _BEGIN.match(text) is not None


def execute(
    cache: CoordinatorCache, text: str, version: tuple[int, ...], options: Mapping[str, str]
) -> Optional[tuple[Columns, Rows]]:
    """Executes a statement; returns its columns and rows, if any. Raises AnalysisError when it is refused."""
    if _REFRESH_AUTHORIZATION.fullmatch(text):
        raise AnalysisError(
            "AnalysisException: Authorization is not enabled. To enable authorization restart Impala with the "
            "--server_name=<name> flag."
        )
    if _REFRESH_FUNCTIONS.fullmatch(text):
        return None
    if match := _REFRESH.fullmatch(text):
        return _refresh(cache, match, version, options)
    if match := _INVALIDATE.fullmatch(text):
        if match["table"] is None:
            cache.invalidate_all()
        else:
            cache.invalidate(*_parts(match["table"]))
        return None
    match = _SHOW_PARTITIONS.fullmatch(text)
    if match is None or (match["where"] and version < (5, 0)):
        raise _syntax_error(text)
    return _show_partitions(cache, *_parts(match["table"]), match["where"])


def _syntax_error(text: str) -> AnalysisError:
    return AnalysisError(f"ParseException: Syntax error in line 1:\n{text}\n^\nEncountered: IDENTIFIER")


def _parts(table: str) -> tuple[str, str]:
    database, _, name = table.replace("`", "").lower().rpartition(".")
    return database or "default", name


def _refresh(
    cache: CoordinatorCache, match: re.Match[str], version: tuple[int, ...], options: Mapping[str, str]
) -> None:
    database, name = _parts(match["table"])
    specs = re.findall(_SPEC, match["specs"], _FLAGS)
    if len(specs) > 1 and version < (5, 0):
        raise _syntax_error(match[0])
    cache.require(database, name)
    if not specs:
        cache.refresh(database, name, moved=options.get(UPDATED, "").lower() in ("1", "true"))
        return
    info = cache.table(database, name).info
    for value in [_partition(info, f"{database}.{name}", spec) for spec in specs]:
        cache.refresh_partition(database, name, value)


def _partition(info: TableInfo, table: str, spec: str) -> str:
    """Returns the partition's name in the catalog: its values joined by slashes."""
    items = re.findall(rf"({_NAME})\s*=\s*({_STRING}|-?\d+|NULL)", spec, _FLAGS)
    if not info.partition_columns:
        raise AnalysisError(f"AnalysisException: Table is not partitioned: {table}")
    if len(items) != len(info.partition_columns):
        raise AnalysisError(
            "AnalysisException: Items in partition spec must exactly match the partition columns in the table "
            f"definition: {table} ({len(items)} vs {len(info.partition_columns)})"
        )
    values: dict[str, str] = {}
    for quoted, literal in items:
        column = quoted.strip("`").lower()
        if column in values:
            raise AnalysisError(f"AnalysisException: Duplicate partition key name: {column}")
        _check_column(info, table, column)
        values[column] = _value(column, info.partition_types.get(column, STRING), literal)
    return "/".join(values[column] for column in info.partition_columns)


def _check_column(info: TableInfo, table: str, column: str) -> None:
    if column in info.partition_columns:
        return
    if column in (name.lower() for name, _ in info.columns):
        raise AnalysisError(f"AnalysisException: Column '{column}' is not a partition column in table: {table}")
    raise AnalysisError(f"AnalysisException: Partition column '{column}' not found in table: {table}")


def _value(column: str, kind: str, literal: str) -> str:
    if literal.upper() == "NULL":
        return NULL_PARTITION
    text = literal[0] in "'\""
    if text != (kind.lower() in (STRING, "date", "timestamp") or kind.lower().startswith(("char", "varchar"))):
        found = "STRING" if text else _integer_type(int(literal))
        raise AnalysisError(
            f"AnalysisException: Value of partition spec (column={column}) has incompatible type: '{found}'. "
            f"Expected type: '{kind.upper()}'."
        )
    return re.sub(r"\\(.)", r"\1", literal[1:-1]) if text else str(int(literal))


def _integer_type(value: int) -> str:
    sizes = (("TINYINT", 7), ("SMALLINT", 15), ("INT", 31))
    return next((name for name, bits in sizes if -(1 << bits) <= value < 1 << bits), "BIGINT")


def _show_partitions(cache: CoordinatorCache, database: str, name: str, where: Optional[str]) -> tuple[Columns, Rows]:
    cache.require(database, name)
    table = cache.table(database, name)
    info = table.info
    if not info.partition_columns:
        raise AnalysisError(f"AnalysisException: Table is not partitioned: {database}.{name}")
    named = {value: value.split("/") for value in sorted(table.partitions)}
    kept = _satisfying(info, named, where) if where else list(named)
    rows = [(*named[value], *_measures(table.partitions[value], info.format)) for value in kept]
    files = [size for value in kept for size in table.partitions[value].files.values()]
    blanks = ("",) * (len(info.partition_columns) - 1)
    total = ("Total", *blanks, -1, len(files), f"{sum(files)}B", "0B", "", "", "", "", "")
    measures = (("#Rows", "BIGINT"), ("#Files", "BIGINT"), *((each, "STRING") for each in _TEXT_MEASURES))
    return (*((column, "STRING") for column in info.partition_columns), *measures), (*rows, total)


_TEXT_MEASURES = ("Size", "Bytes Cached", "Cache Replication", "Format", "Incremental stats", "Location", "EC Policy")


def _measures(partition: CachedPartition, data_format: str) -> tuple[Union[str, int], ...]:
    files, size = len(partition.files), f"{sum(partition.files.values())}B"
    return (-1, files, size, "NOT CACHED", "NOT CACHED", data_format.upper(), "false", partition.location, "NONE")


def _satisfying(info: TableInfo, named: Mapping[str, Sequence[str]], where: str) -> list[str]:
    """Returns the partitions that satisfy the condition ``where``, which DuckDB evaluates."""
    for pattern, what in _REFUSED_CONDITIONS:
        if pattern.search(where):
            raise AnalysisError(f"AnalysisException: {what} are not allowed in SHOW PARTITIONS WHERE")
    types = [info.partition_types.get(column, "VARCHAR") for column in info.partition_columns]
    fields = ", ".join(f'"{column}" {kind}' for column, kind in zip(info.partition_columns, types))
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE partitions (_name VARCHAR, {fields})")
        for name, values in named.items():
            row = [None if value == NULL_PARTITION else value for value in values]
            connection.execute(f"INSERT INTO partitions VALUES ({', '.join('?' * (len(row) + 1))})", [name, *row])
        try:
            (kind,) = connection.execute(f"SELECT {where} FROM partitions LIMIT 0").description or [("", "")]
            if kind[1] not in ("bool", "BOOLEAN"):
                raise AnalysisError(
                    f"AnalysisException: WHERE clause '{where}' requires return type 'BOOLEAN'. Actual type is "
                    f"'{str(kind[1]).upper()}'."
                )
            found = connection.execute(f"SELECT _name FROM partitions WHERE {where} ORDER BY _name").fetchall()
        except duckdb.BinderException:
            raise AnalysisError("AnalysisException: SHOW PARTITIONS WHERE supports only partition columns") from None
        except duckdb.Error:
            raise _syntax_error(where) from None
    return [name for (name,) in found]
