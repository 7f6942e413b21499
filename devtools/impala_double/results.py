"""
Result sets in HiveServer2's columnar form (protocol V6). Decimals travel as strings, exactly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from impala._thrift_gen.TCLIService import ttypes as hs2

from devtools.impala_double.queries import Result, Value

_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


def schema(result: Result) -> Any:
    """Returns the columns of ``result`` as a TTableSchema."""
    columns = [
        hs2.TColumnDesc(columnName=name, position=position, typeDesc=hs2.TTypeDesc(types=[_type(kind)]))
        for position, (name, kind) in enumerate(result.columns)
    ]
    return hs2.TTableSchema(columns=columns)


def _type(kind: str) -> Any:
    decimal = _DECIMAL.fullmatch(kind)
    if decimal is None:
        entry = hs2.TPrimitiveTypeEntry(type=getattr(hs2.TTypeId, f"{kind}_TYPE"))
    else:
        precision, scale = (hs2.TTypeQualifierValue(i32Value=int(digits)) for digits in decimal.groups())
        qualifiers = hs2.TTypeQualifiers(qualifiers={"precision": precision, "scale": scale})
        entry = hs2.TPrimitiveTypeEntry(type=hs2.TTypeId.DECIMAL_TYPE, typeQualifiers=qualifiers)
    return hs2.TTypeEntry(primitiveEntry=entry)


def row_set(result: Result, rows: Sequence[Sequence[Value]]) -> Any:
    """Returns ``rows`` of ``result`` as a TRowSet."""
    columns = [_column(kind, [row[position] for row in rows]) for position, (_, kind) in enumerate(result.columns)]
    return hs2.TRowSet(startRowOffset=0, rows=[], columns=columns)


def _column(kind: str, values: Sequence[Value]) -> Any:
    nulls = bytearray((len(values) + 7) // 8)
    for position, value in enumerate(values):
        if value is None:
            nulls[position // 8] |= 1 << (position % 8)
    if kind == "BIGINT":
        return hs2.TColumn(i64Val=hs2.TI64Column(values=_numbers(values), nulls=bytes(nulls)))
    if kind == "TINYINT":
        return hs2.TColumn(byteVal=hs2.TByteColumn(values=_numbers(values), nulls=bytes(nulls)))
    texts = [
        b"" if value is None else f"{value:f}".encode() if _DECIMAL.fullmatch(kind) else str(value).encode()
        for value in values
    ]
    return hs2.TColumn(stringVal=hs2.TStringColumn(values=texts, nulls=bytes(nulls)))


def _numbers(values: Sequence[Value]) -> list[int]:
    return [0 if value is None else int(value) for value in values]
