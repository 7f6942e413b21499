"""
What a run may have to refuse of rows, or change in them: keys that repeat, values that a written table cannot hold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import reduce
from operator import or_
from typing import Optional

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T


def duplicate_keys(lookup: DataFrame, key: str) -> DataFrame:
    """
    Keys in more than one row of ``lookup``, whatever their names: trimmed key, ``rows``.

    NULL keys match nothing and are left out.
    """
    keys = lookup.select(trimmed_key(lookup, key)).dropna()
    return keys.groupBy(key).agg(F.count(F.lit(1)).alias("rows")).where("rows > 1").orderBy(key)


def trimmed_key(lookup: DataFrame, key: str) -> Column:
    """Returns the key of a lookup, without surrounding blanks where it is text."""
    column = F.col(key)
    return (F.trim(column) if isinstance(type_of(lookup, key), T.StringType) else column).alias(key)


def type_of(frame: DataFrame, column: str) -> T.DataType:
    return frame.select(column).schema[0].dataType


def values_with(
    texts: DataFrame,
    characters: str,
    null_markers: Collection[str],
    lengths: Optional[Mapping[str, int]] = None,
    *,
    in_bytes: bool = False,
) -> DataFrame:
    """
    Counts the values of ``texts`` that a delimited text table would misread or cut.

    Returns one row. It has a struct for each column of ``texts`` (all strings): ``rows``, the number of values that
    hold one of ``characters`` or equal one of ``null_markers``, and ``example``, one of those values or NULL.

    A struct ``<column>_too_long`` follows for each column of ``lengths``. It counts values of more characters than
    that, or with ``in_bytes`` of more bytes.
    """
    measure = F.octet_length if in_bytes else F.length
    return texts.agg(
        *(_found(F.col(name), _is_misread(F.col(name), characters, null_markers), name) for name in texts.columns),
        *(
            _found(F.col(name), measure(F.col(name)) > length, f"{name}_too_long")
            for name, length in (lengths or {}).items()
        ),
    )


def _is_misread(value: Column, characters: str, null_markers: Collection[str]) -> Column:
    dangers = [*(value.contains(character) for character in characters), *(value == marker for marker in null_markers)]
    return reduce(or_, dangers, F.lit(False))


def _found(value: Column, condition: Column, name: str) -> Column:
    found = F.when(condition, value)
    return F.struct(F.count(found).alias("rows"), F.max(found).alias("example")).alias(name)


def without_delimiters(text: Column, delimiters: Optional[str]) -> Column:
    """Returns ``text`` with a space in place of each character of ``delimiters``."""
    return F.translate(text, delimiters, " " * len(delimiters)) if delimiters else text
