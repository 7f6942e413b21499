"""
Statements for Spark and Impala as text. Identifiers and values are quoted here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Optional, TypeVar

from traffic_aggr.hive.layout import RowFormat
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.traffic.columns import COSTS, PARTITION_COLUMN, Column

STATEMENT_PARTITIONS = 100
"""Partitions named in one statement: many are fast in one, a huge one is not."""

REFRESH_PARTITIONS_LIMIT = 100
"""Above this many moved partitions one INVALIDATE METADATA replaces their REFRESHes (contract: "Impala")."""

SEVERAL_PARTITIONS_SINCE = (5, 0)
"""The version of Impala that takes several PARTITION clauses in one REFRESH."""

T = TypeVar("T")

_REFRESH_PARTITION = re.compile(r"REFRESH (\S+) PARTITION \(.*\)")


@dataclass(frozen=True)
class TableName:
    """A table in a database; ``str()`` is the unquoted ``db.table`` of logs and of Impala's statements."""

    database: str
    name: str

    @classmethod
    def parse(cls, text: str) -> TableName:
        """The table that ``str()`` wrote as ``db.table``."""
        return cls(*text.split("."))

    def __str__(self) -> str:
        return f"{self.database}.{self.name}"

    @property
    def quoted(self) -> str:
        return f"{identifier(self.database)}.{identifier(self.name)}"


def identifier(name: str) -> str:
    """``name`` as a quoted identifier."""
    return "`" + name.replace("`", "``") + "`"


def literal(value: str) -> str:
    """``value`` as a string literal of Spark SQL and of Impala."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def batches(items: Sequence[T], size: int = STATEMENT_PARTITIONS) -> Iterator[Sequence[T]]:
    """``items`` in runs of at most ``size``, order kept."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _spec(partition: Partition) -> str:
    return f"PARTITION ({PARTITION_COLUMN}={literal(partition)})"


def drop_partitions(table: TableName, partitions: Iterable[Partition]) -> str:
    """Drops the metadata of those ``partitions`` that are there."""
    return f"ALTER TABLE {table.quoted} DROP IF EXISTS " + ", ".join(map(_spec, partitions))


def add_partitions(table: TableName, locations: Mapping[Partition, str]) -> str:
    """Adds each partition with its data at the location given."""
    specs = " ".join(f"{_spec(partition)} LOCATION {literal(where)}" for partition, where in locations.items())
    return f"ALTER TABLE {table.quoted} ADD IF NOT EXISTS {specs}"


def set_table_location(table: TableName, location: str) -> str:
    """Points an unpartitioned table at another directory."""
    return f"ALTER TABLE {table.quoted} SET LOCATION {literal(location)}"


def _properties(properties: Mapping[str, str]) -> str:
    return ", ".join(f"{literal(key)}={literal(value)}" for key, value in sorted(properties.items()))


def create_external_table(
    table: TableName,
    columns: Sequence[Column],
    location: str,
    *,
    row_format: Optional[RowFormat] = None,
    properties: Optional[Mapping[str, str]] = None,
) -> str:
    """
    An external table partitioned by day: Parquet, or in the ``row_format`` of another table.
    """
    fields = ", ".join(f"{identifier(column.name)} {column.type}" for column in columns)
    statement = f"CREATE EXTERNAL TABLE IF NOT EXISTS {table.quoted} ({fields})"
    statement += f" PARTITIONED BY ({identifier(PARTITION_COLUMN)} STRING)"
    if row_format is None:
        statement += " STORED AS PARQUET"
    else:
        statement += f" ROW FORMAT SERDE {literal(row_format.serde)}"
        if row_format.serde_properties:
            statement += f" WITH SERDEPROPERTIES ({_properties(row_format.serde_properties)})"
        statement += f" STORED AS INPUTFORMAT {literal(row_format.input_format)}"
        statement += f" OUTPUTFORMAT {literal(row_format.output_format)}"
    statement += f" LOCATION {literal(location)}"
    if properties:
        statement += f" TBLPROPERTIES ({_properties(properties)})"
    return statement


def drop_table(table: TableName) -> str:
    """Forgets a table; the caller knows that it is external without purge, so that its files stay."""
    return f"DROP TABLE IF EXISTS {table.quoted}"


def refresh(table: TableName) -> str:
    """Impala: load the table's added and dropped partitions and changed files."""
    return f"REFRESH {table}"


def refresh_moved(table: TableName, moved: Sequence[Partition]) -> list[str]:
    """
    Impala: reload the partitions whose location changed, which a table-level REFRESH may not notice.
    """
    if len(moved) > REFRESH_PARTITIONS_LIMIT:
        return [invalidate(table)]
    return [f"REFRESH {table} {_spec(partition)}" for partition in moved]


def refreshes_together(statements: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    """
    Impala since ``SEVERAL_PARTITIONS_SINCE``: a batch in fewer statements, REFRESHes of one table's partitions that
    follow one another made one. Each comes with the statements that it stands for.
    """
    together: list[tuple[str, Sequence[str]]] = []
    for table, run in groupby(statements, _refreshed_by_partition):
        if table is None:
            together += [(statement, [statement]) for statement in run]
            continue
        for batch in batches(list(run)):
            specs = [statement.removeprefix(f"REFRESH {table} ") for statement in batch]
            together.append((f"REFRESH {table} {' '.join(specs)}", batch))
    return together


def _refreshed_by_partition(statement: str) -> Optional[str]:
    match = _REFRESH_PARTITION.fullmatch(statement)
    return match[1] if match else None


def invalidate(table: TableName) -> str:
    """Impala: forget and reload everything about the table."""
    return f"INVALIDATE METADATA {table}"


def raw_totals(table: TableName, partitions: Iterable[Partition]) -> str:
    """
    Impala: ``partition_date, rows, bytes, voice_secs, sms, whole_sale_cost_1..5`` of each day of raw.

    Sums are taken as DECIMAL, since those of BIGINT wrap. LOWER is of ASCII and TRIM of U+0020 alone, as in
    ``transforms.is_data``.
    """

    def of(calltype: str, value: str) -> str:
        return f"CASE WHEN LOWER(TRIM(calltype)) = {literal(calltype)} THEN {value} END"

    usage = [
        f"SUM({of('data', _decimal('bytes', 0))})",
        f"SUM({of('voice', _decimal('retailduration', 0))})",
        f"COUNT({of('sms', '1')})",
    ]
    return _totals_by_day(table, partitions, [*usage, *(f"SUM({_decimal(name, 6)})" for name in COSTS)])


def final_totals(table: TableName, partitions: Iterable[Partition]) -> str:
    """
    Impala: ``partition_date, rows, cdrs, bytes, voice_secs, sms, whole_sale_cost_1..5`` of each day of final.

    A row's DECIMAL(28,10) times 1024 is exact; the product of their sum, a DECIMAL(38,10), would be rounded.
    """
    sums = [
        f"SUM({_decimal('noofcdrids', 0)})",
        "SUM(data_usage_in_kb * 1024)",
        f"SUM({_decimal('voice_usage_in_secs', 0)})",
        f"SUM({_decimal('sms_usage', 0)})",
    ]
    return _totals_by_day(table, partitions, [*sums, *(f"SUM({name})" for name in COSTS)])


def _decimal(column: str, scale: int) -> str:
    return f"CAST({column} AS DECIMAL(38,{scale}))"


def _totals_by_day(table: TableName, partitions: Iterable[Partition], totals: Sequence[str]) -> str:
    days = ", ".join(map(literal, partitions))
    return (
        f"SELECT {PARTITION_COLUMN}, COUNT(*), {', '.join(totals)} FROM {table} "
        f"WHERE {PARTITION_COLUMN} IN ({days}) GROUP BY {PARTITION_COLUMN}"
    )
