"""
Checks Parquet footers before a row is read: whether files are whole, and their columns readable.

Spark reads few types correctly, and does not refuse all others. Measured on 3.5.9 and 4.3.0: an unsigned INT32 read as
INT comes out negative. A DECIMAL read as INT or BIGINT loses its decimal point. A DATE or TIMESTAMP read as either
becomes a count of days or microseconds. Other types fail only when their day is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Optional

from py4j.protocol import Py4JJavaError

from traffic_aggr.errors import GuardError
from traffic_aggr.hive.layout import plain_path
from traffic_aggr.hive.scan import Scan
from traffic_aggr.hive.schema import Column
from traffic_aggr.text import some_of
from traffic_aggr.units import counted

if TYPE_CHECKING:
    from py4j.java_gateway import JavaObject

    from traffic_aggr.hive.catalog import Directory, HiveCatalog

AT_ONCE = 500
"""Files in one request: their footers arrive as one text of some kilobytes per file."""

_FOOTER = re.compile(
    r"Footer\{(.*?), ParquetMetaData\{FileMetaData\{schema: message .*? \{\n(.*?)\}\n, metadata: ", re.DOTALL
)
_COLUMN = re.compile(
    r"^  (required|optional|repeated) (\S+) (.*?)(?: \(([A-Z].*)\))?(?: = \d+)?(?:;| \{)$", re.MULTILINE
)
_BITS = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}
_INTEGER = re.compile(r"INTEGER\((\d+),(true|false)\)")
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)", re.IGNORECASE)
_TEXT = re.compile(r"string|(?:var)?char\(\d+\)")
_MOMENT = re.compile(r"TIMESTAMP\((?:MILLIS|MICROS),(true|false)\)")
_LONG_DIGITS, _INT_DIGITS = 18, 9
_WIDENS_SINCE = 4
"""The first major version of Spark that reads narrower numbers than the table's."""


@dataclass(frozen=True)
class ParquetColumn:
    """A column of a file: its repetition, its physical type, and its logical type or an empty string."""

    repetition: str
    physical: str
    logical: str = ""

    def __str__(self) -> str:
        logical = f" ({self.logical})" if self.logical else ""
        return f"{'repeated ' if self.repetition == 'repeated' else ''}{self.physical}{logical}"


Columns = Sequence[tuple[str, ParquetColumn]]
"""The columns of a file in order, by name; a name may occur twice."""


def refuse_unreadable(scan: Scan, needed: Sequence[Column], *, lacking: bool = False) -> list[str]:
    """
    Raises GuardError for Parquet files that Spark cannot read, or would read wrongly.

    These are damaged files, and files that have a column of ``needed`` twice or in a type that Spark reads wrongly or
    not at all. A directory in which no file has such a column is refused too, unless columns may be ``lacking``.

    Returns notes on columns that some files of a directory lack; none if columns may be ``lacking``.
    """
    index = scan.file_index
    if index is None or not scan.facts.row_format.is_parquet:
        return []
    names = {column.name for column in needed} - set(scan.facts.partition_columns)
    types = {name.lower(): type_ for name, type_ in scan.facts.columns if name.lower() in names}
    found = {plain_path(info.path): (directory, info) for directory, info in scan.files()}
    problems: list[str] = []
    read: dict[Directory, dict[str, set[str]]] = {}
    for path, columns in _footers(scan.catalog, index):
        if plain_path(path) not in found:  # hidden, such as a summary of footers
            continue
        directory, info = found[plain_path(path)]
        if columns is None:
            problems.append(f"{directory}{path} {'cannot be read as Parquet' if info.size else 'is empty'}")
        else:
            problems += [f"{directory}{path}: {each}" for each in problems_of(columns, types, widens=_widens(scan))]
            read.setdefault(directory, {})[path] = {name.lower() for name, _ in columns}
    notes = []
    for directory, columns_by_path in read.items():
        for name in types:
            without = [path for path, there in columns_by_path.items() if name not in there]
            if len(without) == len(columns_by_path) and not lacking:
                problems.append(f"{directory}{directory.location} has no file with a column {name}")
            elif without and not lacking:
                notes.append(
                    f"{scan.facts.name}: {directory}{without[0]} has no column {name}, like {len(without)} of"
                    f" {counted(len(columns_by_path), 'file')} there; it is NULL there, as in Hive and Impala"
                )
    if problems:
        raise GuardError(
            f"{scan.facts.name} has files that cannot be read: {some_of(problems)}",
            hint="Have these files written again with the table's columns, or move them away",
            guard="unreadable_files",
        )
    return notes


def _widens(scan: Scan) -> bool:
    return int(scan.catalog.spark.version.split(".")[0]) >= _WIDENS_SINCE


def _footers(catalog: HiveCatalog, index: JavaObject) -> Iterator[tuple[str, Optional[Columns]]]:
    """
    The path and columns of each file that Spark listed; None for a file that is not readable Parquet.

    The driver reads the footers, several at a time.
    """
    jvm: Any = catalog.spark.sparkContext._jvm
    statuses = jvm.java.util.ArrayList(jvm.scala.collection.JavaConverters.seqAsJavaList(index.allFiles()))
    conf = catalog.spark._jsparkSession.sessionState().newHadoopConf()
    for start in range(0, statuses.size(), AT_ONCE):
        yield from _read(jvm, conf, statuses.subList(start, min(start + AT_ONCE, statuses.size())))


def _read(jvm: Any, conf: JavaObject, statuses: JavaObject) -> Iterator[tuple[str, Optional[Columns]]]:
    count = statuses.size()
    skip_row_groups = True
    try:
        told = jvm.org.apache.parquet.hadoop.ParquetFileReader.readAllFootersInParallel(conf, statuses, skip_row_groups)
        found = _FOOTER.findall(told.toString())
    except Py4JJavaError:
        found = []
    if len(found) == count:
        for path, schema in found:
            yield path, _columns(schema)
    elif count == 1:
        yield statuses.get(0).getPath().toString(), None
    else:  # at least one is unreadable: find it by halving
        yield from _read(jvm, conf, statuses.subList(0, count // 2))
        yield from _read(jvm, conf, statuses.subList(count // 2, count))


@lru_cache(maxsize=100)  # the files of a day nearly always share one schema
def _columns(schema: str) -> Columns:
    return [
        # Parquet lower-cases type names in the JVM's locale, and the Turkish one yields an i without a dot.
        (name, ParquetColumn(repetition, physical.replace("ı", "i"), logical))
        for repetition, physical, name, logical in _COLUMN.findall(schema)
    ]


def problems_of(columns: Columns, needed: Mapping[str, str], *, widens: bool) -> Iterator[str]:
    """
    What is wrong with a file's ``needed`` columns: lower-case names, with their types in the table.

    A missing column is not a problem here: Hive, Impala and Spark read NULL. ``widens`` says whether this Spark reads
    narrower numbers than the table's, as it does since 4.0.
    """
    found: dict[str, list[ParquetColumn]] = {}
    for name, column in columns:
        found.setdefault(name.lower(), []).append(column)
    for name, type_ in needed.items():
        these = found.get(name, [])
        if len(these) > 1:
            yield f"column {name} is there {len(these)} times"
        elif these and not _is_read_rightly(these[0], type_.lower(), widens=widens):
            yield f"column {name} is {these[0]}, and {type_.upper()} in the table"


def _is_read_rightly(column: ParquetColumn, type_: str, *, widens: bool) -> bool:
    if column.repetition == "repeated":
        return False
    if type_ in _BITS:
        return _fits_integer(column, _BITS[type_], widens=widens)
    if _TEXT.fullmatch(type_):
        return column.physical == "binary" and column.logical in ("", "STRING", "ENUM", "JSON")
    if type_ in ("timestamp", "timestamp_ntz"):
        moment = _MOMENT.fullmatch(column.logical)
        if moment:
            return column.physical == "int64" and (type_ == "timestamp" or moment[1] == "false")
        return column.physical == "int96" and type_ == "timestamp"
    decimal = _DECIMAL.fullmatch(type_)
    return decimal is not None and _fits_decimal(column, int(decimal[1]), int(decimal[2]), widens=widens)


def _fits_integer(column: ParquetColumn, room: int, *, widens: bool) -> bool:
    bits = {"int32": 32, "int64": 64}.get(column.physical)
    if bits is None or (column.logical and not _INTEGER.fullmatch(column.logical)):
        return False
    if bits == 32 and room == 64 and not widens:
        return False
    annotated = _INTEGER.fullmatch(column.logical)
    if annotated is None:
        return bits <= room
    signed = annotated[2] == "true"
    return int(annotated[1]) <= room if signed else int(annotated[1]) < min(room, 32)


def _fits_decimal(column: ParquetColumn, precision: int, scale: int, *, widens: bool) -> bool:
    found = _DECIMAL.fullmatch(column.logical)
    if found is None or (column.physical == "binary" and precision <= _LONG_DIGITS):
        return False
    digits, places = int(found[1]), int(found[2])
    if widens:
        return places <= scale and digits - places <= precision - scale
    stored = {"int32": precision <= _INT_DIGITS, "int64": _INT_DIGITS < precision <= _LONG_DIGITS}
    return digits <= precision and places == scale and stored.get(column.physical, True)
