"""
The statements that the coordinator understands; anything else is a syntax error.

    REFRESH ...      INVALIDATE METADATA ...      SHOW PARTITIONS ...      (metadata.py)
    SHOW TABLES [IN db]      SELECT 1      SELECT version()
    SELECT partition_date | COUNT(*) | SUM(expression), ... FROM db.t                    (queries.py)
        [WHERE partition_date = 'v' | IN ('v', ...)] [GROUP BY partition_date] [ORDER BY partition_date]
    EXPLAIN SELECT ...
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Optional

from devtools.impala_double import metadata
from devtools.impala_double.cache import AnalysisError, CoordinatorCache
from devtools.impala_double.queries import Result, select, unquoted

_NAME = r"`?(\w+)`?"
_TABLE = rf"(?:{_NAME}\.)?{_NAME}"
_STRING = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_FLAGS = re.IGNORECASE | re.DOTALL

_SHOW_TABLES = re.compile(rf"SHOW\s+TABLES(?:\s+IN\s+{_NAME})?", _FLAGS)
_SELECT_VERSION = re.compile(r"SELECT\s+VERSION\s*\(\s*\)", _FLAGS)
_SELECT_ONE = re.compile(r"SELECT\s+1", _FLAGS)
_SELECT = re.compile(
    rf"(?P<explained>EXPLAIN\s+)?SELECT\s+(?P<projections>.+?)\s+FROM\s+{_TABLE}"
    rf"(?:\s+WHERE\s+{_NAME}\s*(?:=\s*(?P<equal>{_STRING})|IN\s*\((?P<among>\s*{_STRING}(?:\s*,\s*{_STRING})*\s*)\)))?"
    rf"(?:\s+GROUP\s+BY\s+{_NAME})?(?:\s+ORDER\s+BY\s+{_NAME})?",
    _FLAGS,
)


def build_version(version: str) -> str:
    """Returns the version string of a coordinator of ``version``."""
    return f"impalad version {version}-RELEASE RELEASE (build 0000000)"


def execute(cache: CoordinatorCache, statement: str, version: str, options: Mapping[str, str]) -> Optional[Result]:
    """
    Executes ``statement`` with its query ``options`` as ``version`` would. Returns a query's result.

    Raises AnalysisError for a statement that is refused, QueryError for one that fails while it runs.
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
        return _select(cache, match, options)
    raise AnalysisError(f"ParseException: Syntax error in line 1:\n{text}\n^\nEncountered: IDENTIFIER")


def _table(database: Optional[str], name: str) -> tuple[str, str]:
    return (database or "default").lower(), name.lower()


def _select(cache: CoordinatorCache, match: re.Match[str], options: Mapping[str, str]) -> Result:
    database, name = _table(match[3], match[4])
    filtered, grouped, ordered = match[5], match[8], match[9]
    table = cache.table(database, name)
    for column in filter(None, (filtered, grouped, ordered)):
        if (column.lower(),) != table.info.partition_columns:
            raise AnalysisError(f"AnalysisException: Could not resolve column/field reference: '{column}'")
    among = match["equal"] or match["among"]
    wanted = None if among is None else [unquoted(literal) for literal in re.findall(_STRING, among)]
    explained = match["explained"] is not None
    answer = select(table, match["projections"], [] if explained else wanted, grouped=bool(grouped), options=options)
    return Result((("Explain String", "STRING"),), (("PLAN-ROOT SINK",),)) if explained else answer
