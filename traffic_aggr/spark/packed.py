"""
Several columns of text as one, and back.

Velox stores each text of a grouping key in its own place, so it reads memory many times to compare one key. One long
text halves the time. Spark's own engine stores a key in one piece, and packing only slows it down.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from traffic_aggr.spark.engine import VELOX, engine_of

PACKED = "_packed"
_SEPARATOR, _ESCAPE = "\u0001", "\u0002"
_ESCAPED = {_ESCAPE: f"{_ESCAPE}0", _SEPARATOR: f"{_ESCAPE}1"}
_NULL = f"{_ESCAPE}2"


def packed(rows: DataFrame, names: Sequence[str]) -> DataFrame:
    """
    Returns ``rows`` with their text columns ``names`` in one, ``PACKED``, if the session's engine is Velox.

    It is equal in two rows only where all of these columns are, NULL included. With another engine, returns ``rows``.
    """
    if engine_of(rows.sparkSession) != VELOX:
        return rows
    values = (F.coalesce(_escaped(F.col(name)), F.lit(_NULL)) for name in names)
    return rows.withColumn(PACKED, F.concat_ws(_SEPARATOR, *values)).drop(*names)


def unpacked(rows: DataFrame, names: Sequence[str]) -> DataFrame:
    """Returns ``rows`` with the columns ``names`` again, which ``packed`` put into one."""
    if PACKED not in rows.columns:
        return rows
    parts = {name: _part(number) for number, name in enumerate(names)}
    texts = {name: F.when(part != _NULL, _unescaped(part)) for name, part in parts.items()}
    return rows.withColumns(texts).drop(PACKED)


def _part(number: int) -> Column:
    """Not split(), which in the JVM changes bytes that are not UTF-8."""
    return F.substring_index(F.substring_index(PACKED, _SEPARATOR, number + 1), _SEPARATOR, -1)


def _escaped(text: Column) -> Column:
    for character, escaped in _ESCAPED.items():
        text = F.replace(text, F.lit(character), F.lit(escaped))
    return text


def _unescaped(text: Column) -> Column:
    for character, escaped in reversed(_ESCAPED.items()):
        text = F.replace(text, F.lit(escaped), F.lit(character))
    return text
