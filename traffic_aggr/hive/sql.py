"""
SQL text for Spark and Impala. Identifiers and values are quoted only here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Optional, TypeVar

from traffic_aggr.hive.layout import RowFormat
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.schema import Column

STATEMENT_PARTITIONS = 100
"""Maximum number of partitions in one statement: batches are fast, but a huge statement is slow."""

FILTER_PARTITIONS = 50
"""Maximum number of partitions that a filter names: a thousand overflow the metastore's stack."""

REFRESH_PARTITIONS_LIMIT = 100
"""With more moved partitions, one INVALIDATE METADATA replaces their REFRESHes (contract: "Impala")."""

SEVERAL_PARTITIONS_SINCE = (5, 0)
"""The first version of Impala that takes several PARTITION clauses in one REFRESH."""

T = TypeVar("T")

_REFRESH_PARTITION = re.compile(r"REFRESH (\S+) PARTITION \(.*\)")


@dataclass(frozen=True)
class TableName:
    """A table in a database; ``str()`` is the unquoted ``db.table`` of logs and Impala statements."""

    database: str
    name: str

    @classmethod
    def parse(cls, text: str) -> TableName:
        """Parses ``db.table`` as ``str()`` writes it."""
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
    """Splits ``items`` into batches of at most ``size``, in order."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def partition_spec(partition: Partition) -> str:
    """The clause that names a partition."""
    return f"PARTITION ({partition.column}={literal(partition)})"


def drop_partitions(table: TableName, partitions: Iterable[Partition]) -> str:
    """Drops those ``partitions`` that exist. The caller must know that their files stay."""
    return f"ALTER TABLE {table.quoted} DROP IF EXISTS " + ", ".join(map(partition_spec, partitions))


def add_partitions(table: TableName, locations: Mapping[Partition, str]) -> str:
    """Adds those partitions that do not exist, each with its data at the given location."""
    specs = " ".join(f"{partition_spec(partition)} LOCATION {literal(where)}" for partition, where in locations.items())
    return f"ALTER TABLE {table.quoted} ADD IF NOT EXISTS {specs}"


def set_table_location(table: TableName, location: str) -> str:
    """Points an unpartitioned table at another directory."""
    return f"ALTER TABLE {table.quoted} SET LOCATION {literal(location)}"


def _properties(properties: Mapping[str, str]) -> str:
    return ", ".join(f"{literal(key)}={literal(value)}" for key, value in sorted(properties.items()))


def create_external_table(
    table: TableName,
    columns: Sequence[Column],
    partition_column: str,
    location: str,
    *,
    row_format: Optional[RowFormat] = None,
    properties: Optional[Mapping[str, str]] = None,
) -> str:
    """
    Creates an external table partitioned by the text of ``partition_column``.

    It is Parquet, or in another table's ``row_format``.
    """
    fields = ", ".join(f"{identifier(column.name)} {column.type}" for column in columns)
    statement = f"CREATE EXTERNAL TABLE IF NOT EXISTS {table.quoted} ({fields})"
    statement += f" PARTITIONED BY ({identifier(partition_column)} STRING)"
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
    """Drops a table. The caller must know that it is external without purge, so its files stay."""
    return f"DROP TABLE IF EXISTS {table.quoted}"


def refresh(table: TableName) -> str:
    """Impala: loads the table's added and dropped partitions and changed files."""
    return f"REFRESH {table}"


def refresh_moved(table: TableName, moved: Sequence[Partition]) -> list[str]:
    """Impala: reloads partitions whose location changed, which a table-level REFRESH may miss."""
    if len(moved) > REFRESH_PARTITIONS_LIMIT:
        return [invalidate(table)]
    return [f"REFRESH {table} {partition_spec(partition)}" for partition in moved]


def refreshes_together(statements: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    """
    Impala since ``SEVERAL_PARTITIONS_SINCE``: merges consecutive REFRESHes of one table's partitions.

    Returns each resulting statement with the statements that it replaces.
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
    """Impala: discards and reloads all metadata of the table."""
    return f"INVALIDATE METADATA {table}"


def exact_sum(column: str, scale: int = 0) -> str:
    """Impala: the sum of a number with ``scale`` decimals. It is of DECIMAL, because BIGINT sums wrap."""
    return f"SUM(CAST({column} AS DECIMAL(38,{scale})))"


def totals_by_partition(table: TableName, column: str, partitions: Iterable[str], expressions: Iterable[str]) -> str:
    """Impala: the partition, its number of rows, and each of ``expressions`` over its rows, for each partition."""
    wanted = ", ".join(map(literal, partitions))
    return (
        f"SELECT {column}, COUNT(*), {', '.join(expressions)} FROM {table} "
        f"WHERE {column} IN ({wanted}) GROUP BY {column}"
    )
