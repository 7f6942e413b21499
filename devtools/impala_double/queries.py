"""
SELECTs, translated into DuckDB's SQL with Impala's functions and types, over the files that the coordinator knows.

It understands aggregates over expressions of CASE, CAST, COALESCE, LOWER, TRIM, products and comparisons; anything else
is a syntax error. As in Impala, LOWER changes ASCII letters only, TRIM removes U+0020 only, and a sum of integers is a
BIGINT that wraps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Optional, Union

import duckdb

from devtools.impala_double import datafiles
from devtools.impala_double.cache import AnalysisError, CachedTable, QueryError
from devtools.impala_double.catalog import TableInfo

Value = Union[str, int, Decimal, None]

BY_NAME = "PARQUET_FALLBACK_SCHEMA_RESOLUTION"
"""The query option that makes Impala find Parquet columns by ``NAME`` instead of ``POSITION``."""


@dataclass(frozen=True)
class Result:
    """A result set: ``columns`` are (name, SQL type), and each row has a value for each of them."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Value, ...], ...]


_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<number>\d+(?:\.\d+)?)"
    r"|`(?P<quoted>\w+)`|(?P<word>[A-Za-z_]\w*)|(?P<sign><>|!=|<=|>=|[(),=<>*]))",
    re.DOTALL,
)
_ALIAS = re.compile(r"(.*?)(?:\s+AS\s+`?(\w+)`?|(?<=\))\s+`?(\w+)`?)?", re.IGNORECASE | re.DOTALL)
_KEYWORDS = frozenset(("CASE", "WHEN", "THEN", "ELSE", "END", "AND", "OR", "NOT", "IS", "IN", "NULL", "AS"))
_TYPES = frozenset(("BIGINT", "INT", "DECIMAL", "STRING"))
_FUNCTIONS = {
    "COUNT": "count",
    "SUM": "sum",
    "COALESCE": "coalesce",
    "CAST": "cast",
    "LOWER": "impala_lower",
    "TRIM": "impala_trim",
}
_MACROS = (
    "CREATE TEMP MACRO impala_lower(text) AS "
    "translate(text, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')",
    "CREATE TEMP MACRO impala_trim(text) AS trim(text, ' ')",
)
_BIGINTS = 1 << 64


def select(
    table: CachedTable,
    projections: str,
    wanted: Optional[Sequence[str]],
    *,
    grouped: bool,
    options: Mapping[str, str],
) -> Result:
    """
    Answers SELECT ``projections`` of the partitions ``wanted`` (None: all), ``grouped`` by the partition column.

    Raises AnalysisError for what Impala would refuse, QueryError for a file that cannot be read.
    """
    info = table.info
    parsed = [_projection(info, text) for text in _at_commas(projections)]
    columns = sorted({name for _, _, names in parsed for name in names} - set(info.partition_columns))
    by_name = next((value for name, value in options.items() if name.upper() == BY_NAME), "POSITION")
    values = sorted(table.partitions if wanted is None else set(table.partitions) & set(wanted))
    with duckdb.connect() as connection:
        for macro in _MACROS:
            connection.execute(macro)
        datafiles.create(connection, info, columns)
        statement = f"SELECT {', '.join(sql for _, sql, _ in parsed)} FROM {datafiles.ROWS}"
        if grouped:
            by = ", ".join(f'"{name}"' for name in info.partition_columns)
            statement += f" GROUP BY {by} ORDER BY {by}"
        _analyse(connection, statement, projections)
        for value in values:
            for path in table.partitions[value].checked_files():
                _insert(connection, info, value, path, columns, by_name=by_name.upper() in ("NAME", "1"))
        answer = connection.execute(statement)
        types = [str(field[1]) for field in answer.description or []]
        rows = answer.fetchall()
    names = [name for name, _, _ in parsed]
    return Result(
        tuple(zip(names, map(_impala_type, types))),
        tuple(tuple(_as_impala(value, kind) for value, kind in zip(row, types)) for row in rows),
    )


def _insert(
    connection: duckdb.DuckDBPyConnection, info: TableInfo, value: str, path: str, columns: list[str], *, by_name: bool
) -> None:
    try:
        partition = value.split("/") if info.partition_columns else []
        datafiles.insert(connection, info, partition, path, columns, by_name=by_name)
    except datafiles.IncompatibleSchema as exc:
        raise QueryError(str(exc)) from exc
    except (OSError, UnicodeError, duckdb.Error) as exc:
        raise QueryError(f"Disk I/O error on 127.0.0.1:27000: {exc}") from exc


def _analyse(connection: duckdb.DuckDBPyConnection, statement: str, projections: str) -> None:
    """Has DuckDB check the statement before there are rows, and raises its errors in Impala's wording."""
    try:
        connection.execute(statement)
    except duckdb.ParserException as exc:
        raise _syntax_error(projections) from exc
    except duckdb.Error as exc:
        if "GROUP BY" in str(exc):
            raise AnalysisError(
                "AnalysisException: select list expression not produced by aggregation output (missing from GROUP BY "
                f"clause?): {projections}"
            ) from exc
        if "'sum(" in str(exc):
            raise AnalysisError(f"AnalysisException: SUM requires a numeric parameter: {projections}") from exc
        raise AnalysisError(f"AnalysisException: {exc}") from exc


def _at_commas(projections: str) -> Iterator[str]:
    """Splits projections at commas outside brackets and literals."""
    depth = start = position = 0
    while position < len(projections):
        match = _token(projections, position)
        sign = match["sign"]
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            yield projections[start : match.start("sign")]
            start = match.end()
        position = match.end()
    yield projections[start:]


def _projection(info: TableInfo, text: str) -> tuple[str, str, set[str]]:
    """Returns a projection's name, its SQL for DuckDB, and the columns that it reads."""
    match = _ALIAS.fullmatch(text.strip())
    assert match is not None, "the pattern takes any text"
    expression, alias = match[1], match[2] or match[3]
    known = {*info.partition_columns, *(name.lower() for name, _ in info.columns)}
    words: list[str] = []
    used: set[str] = set()
    position = 0
    while position < len(expression):
        token = _token(expression, position)
        position = token.end()
        words.append(_translated(token, words, known, used))
    if not words:
        raise _syntax_error(text)
    return alias or expression.lower(), " ".join(words), used


def _token(text: str, position: int) -> re.Match[str]:
    match = _TOKEN.match(text, position)
    if match is None:
        raise _syntax_error(text)
    return match


def _translated(token: re.Match[str], before: Sequence[str], known: set[str], used: set[str]) -> str:
    word = (token["word"] or "").upper()
    if token["text"]:
        return "'" + unquoted(token["text"]).replace("'", "''") + "'"
    if token["sign"] == "*" and list(before[-2:]) != ["count", "("] and (not before or before[-1] in "(,"):
        raise _syntax_error(token.string)
    if token["sign"] or token["number"]:
        return token["sign"] or token["number"]
    if word in _KEYWORDS or (word in _TYPES and before and before[-1] == "AS"):
        return word
    if word in _FUNCTIONS and token.string[token.end() :].lstrip().startswith("("):
        return _FUNCTIONS[word]
    name = (token["quoted"] or token["word"]).lower()
    if name not in known:
        raise AnalysisError(f"AnalysisException: Could not resolve column/field reference: '{name}'")
    used.add(name)
    return f'"{name}"'


def unquoted(literal: str) -> str:
    """Returns the value of a string literal of Impala."""
    return re.sub(r"\\(.)", r"\1", literal[1:-1])


def _syntax_error(text: str) -> AnalysisError:
    return AnalysisError(f"ParseException: Syntax error in line 1:\n{text.strip()}\n^\nEncountered: IDENTIFIER")


def _impala_type(kind: str) -> str:
    return {"HUGEINT": "BIGINT", "INTEGER": "BIGINT", "VARCHAR": "STRING"}.get(kind, kind)


def _as_impala(value: Any, kind: str) -> Value:
    if kind == "HUGEINT" and value is not None:  # a sum of integers; Impala's wraps
        return int((value + _BIGINTS // 2) % _BIGINTS - _BIGINTS // 2)
    return value  # type: ignore[no-any-return]
