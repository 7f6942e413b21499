"""
The statements that the coordinator understands; anything else is a syntax error.

    REFRESH ...      INVALIDATE METADATA ...      SHOW PARTITIONS ...      (metadata.py)
    SHOW TABLES [IN db]      SELECT 1      SELECT version()
    SELECT partition_date | COUNT(*) | SUM(column), ... FROM db.t
        [WHERE partition_date = 'v' | IN ('v', ...)] [GROUP BY partition_date] [ORDER BY partition_date]
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional, Union

import duckdb

from devtools.impala_double import metadata
from devtools.impala_double.cache import AnalysisError, CachedPartition, CachedTable, CoordinatorCache, QueryError
from devtools.impala_double.catalog import TableInfo
from devtools.impala_double.datafiles import Total, count_and_sum

Value = Union[str, int, Total]


@dataclass(frozen=True)
class Result:
    """A result set: ``columns`` are (name, SQL type), ``rows`` hold a value for each."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Value, ...], ...]


_NAME = r"`?(\w+)`?"
_TABLE = rf"(?:{_NAME}\.)?{_NAME}"
_STRING = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_FLAGS = re.IGNORECASE | re.DOTALL

_SHOW_TABLES = re.compile(rf"SHOW\s+TABLES(?:\s+IN\s+{_NAME})?", _FLAGS)
_SELECT_VERSION = re.compile(r"SELECT\s+VERSION\s*\(\s*\)", _FLAGS)
_SELECT_ONE = re.compile(r"SELECT\s+1", _FLAGS)
_SELECT = re.compile(
    rf"SELECT\s+(?P<projections>.+?)\s+FROM\s+{_TABLE}"
    rf"(?:\s+WHERE\s+{_NAME}\s*(?:=\s*(?P<equal>{_STRING})|IN\s*\((?P<among>\s*{_STRING}(?:\s*,\s*{_STRING})*\s*)\)))?"
    rf"(?:\s+GROUP\s+BY\s+{_NAME})?(?:\s+ORDER\s+BY\s+{_NAME})?",
    _FLAGS,
)
_PROJECTION = re.compile(
    rf"(?:(?P<count>COUNT\s*\(\s*(?:\*|1)\s*\))|SUM\s*\(\s*{_NAME}\s*\)|{_NAME})(?:\s+(?:AS\s+)?{_NAME})?", _FLAGS
)


def build_version(version: str) -> str:
    """How a coordinator of that ``version`` says so."""
    return f"impalad version {version}-RELEASE RELEASE (build 0000000)"


def execute(cache: CoordinatorCache, statement: str, version: str, options: Mapping[str, str]) -> Optional[Result]:
    """
    Carry out ``statement`` with its query ``options`` as ``version`` would; a query answers with its result.

    Raises AnalysisError for one that is refused, QueryError for one that fails while it runs.
    """
    text = statement.strip().rstrip(";").strip()
    if metadata.is_one(text):
        numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
        result = metadata.execute(cache, text, numbers, options)
        return Result(*result) if result else None
    if match := _SHOW_TABLES.fullmatch(text):
        names = cache.names((match[1] or "default").lower())
        return Result((("name", "STRING"),), tuple((name,) for name in names))
    if _SELECT_VERSION.fullmatch(text):
        return Result((("version()", "STRING"),), ((build_version(version),),))
    if _SELECT_ONE.fullmatch(text):
        return Result((("1", "TINYINT"),), ((1,),))
    if match := _SELECT.fullmatch(text):
        return _select(cache, match)
    raise AnalysisError(f"ParseException: Syntax error in line 1:\n{text}\n^\nEncountered: IDENTIFIER")


def _table(database: Optional[str], name: str) -> tuple[str, str]:
    return (database or "default").lower(), name.lower()


def _unquoted(literal: str) -> str:
    return re.sub(r"\\(.)", r"\1", literal[1:-1])


@dataclass(frozen=True)
class _Projection:
    """``kind`` is ``count``, ``sum`` or ``day``; ``column`` is the column summed."""

    kind: str
    column: str
    name: str
    type: str


def _select(cache: CoordinatorCache, match: re.Match[str]) -> Result:
    database, name = _table(match[2], match[3])
    filtered, grouped, ordered = match[4], match[7], match[8]
    table = cache.table(database, name)
    for column in filter(None, (filtered, grouped, ordered)):
        if (column.lower(),) != table.info.partition_columns:
            raise AnalysisError(f"AnalysisException: Could not resolve column/field reference: '{column}'")
    projections = [_projection(table.info, text) for text in match["projections"].split(",")]
    if not grouped and any(projection.kind == "day" for projection in projections):
        raise AnalysisError(
            "AnalysisException: select list expression not produced by aggregation output (missing from GROUP BY "
            f"clause?): {match['projections']}"
        )
    wanted = match["equal"] or match["among"]
    values = set(table.partitions)
    if wanted is not None:
        values &= {_unquoted(literal) for literal in re.findall(_STRING, wanted)}
    groups = [[value] for value in sorted(values)] if grouped else [sorted(values)]
    rows = [row for row in (_aggregate(table, group, projections, bool(grouped)) for group in groups) if row]
    columns = tuple((projection.name, projection.type) for projection in projections)
    return Result(columns, tuple(rows))


def _projection(info: TableInfo, text: str) -> _Projection:
    match = _PROJECTION.fullmatch(text.strip())
    if match is None:
        raise AnalysisError(f"ParseException: Syntax error in line 1:\n{text.strip()}\n^\nEncountered: IDENTIFIER")
    summed, plain, alias = match[2], match[3], match[4]
    if match["count"]:
        return _Projection("count", "", alias or "count(*)", "BIGINT")
    types = {name.lower(): kind for name, kind in info.columns}
    if summed and summed.lower() in types:
        return _Projection("sum", summed.lower(), alias or f"sum({summed})", _type_of_sum(types[summed.lower()]))
    if plain and (plain.lower(),) == info.partition_columns:
        return _Projection("day", "", alias or plain, "STRING")
    raise AnalysisError(f"AnalysisException: Could not resolve column/field reference: '{summed or plain}'")


def _type_of_sum(column: str) -> str:
    decimal = re.fullmatch(r"decimal\(\d+,\s*(\d+)\)", column.lower())
    if decimal:
        return f"DECIMAL(38,{decimal[1]})"
    if column.lower() in ("tinyint", "smallint", "int", "bigint"):
        return "BIGINT"
    raise AnalysisError(f"AnalysisException: SUM requires a numeric parameter: {column}")


def _aggregate(
    table: CachedTable, values: Sequence[str], projections: Sequence[_Projection], grouped: bool
) -> Optional[tuple[Value, ...]]:
    """One row of the result; None for a group without rows."""
    summed = [projection.column for projection in projections if projection.kind == "sum"]
    rows, totals = _read(table.info, [table.partitions[value] for value in values], summed)
    if grouped and not rows:
        return None
    sums = iter(totals)
    row: list[Value] = []
    for projection in projections:
        if projection.kind == "count":
            row.append(rows)
        elif projection.kind == "sum":
            row.append(next(sums))
        else:
            row.append(values[0])
    return tuple(row)


def _read(info: TableInfo, partitions: Sequence[CachedPartition], summed: Sequence[str]) -> tuple[int, list[Total]]:
    files = [path for partition in partitions for path in partition.checked_files()]
    try:
        return count_and_sum(info, files, summed)
    except (OSError, duckdb.Error) as exc:
        raise QueryError(f"Disk I/O error on 127.0.0.1:27000: {exc}") from exc
