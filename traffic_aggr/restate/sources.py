"""
What a run reads: raw and the lookups, from exactly the files that Hive and Impala read there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from py4j.protocol import Py4JError
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from traffic_aggr.files.local import FileInfo, Files
from traffic_aggr.hive.catalog import Directory, HiveCatalog, TableFacts
from traffic_aggr.hive.footers import refuse_unreadable
from traffic_aggr.hive.partitions import PARTITION_COLUMN, Partition
from traffic_aggr.hive.scan import open_scan, refuse_unread
from traffic_aggr.hive.schema import Column, declared_length
from traffic_aggr.restate.tables import Tables
from traffic_aggr.restate.warehouse import Warehouse
from traffic_aggr.run.definition import Aggregation, JobDefinition
from traffic_aggr.run.record import Input


@dataclass(frozen=True)
class Sources:
    """
    What a run reads: the job's ``aggregation`` of the listed partitions of raw, and its ``lookups`` by role.

    ``inputs`` sums up the files of each listed partition of raw. ``notes`` name columns that some of the tables' files
    lack.
    """

    aggregation: Aggregation
    lookups: Mapping[str, DataFrame]
    inputs: Mapping[Partition, Input]
    notes: Sequence[str]


@contextmanager
def open_sources(
    catalog: HiveCatalog,
    job: JobDefinition,
    tables: Tables,
    partitions: Sequence[Partition],
    files_of: Callable[[str], Files],
) -> Iterator[Sources]:
    """
    Yields the source tables as they are now. ``files_of`` returns the file system of a location.

    Raises GuardError when Spark would read other files than Hive and Impala do, or when Parquet footers show that it
    cannot read a file.
    """
    needed = [(tables.raw, job.raw), *((tables.lookups[lookup.role], lookup.columns) for lookup in job.lookups)]
    scans, frames, notes = [], [], []
    for facts, columns in needed:
        files = files_of(facts.location)
        scan = open_scan(catalog, facts, files, partitions)
        refuse_unread(scan, files)
        notes += refuse_unreadable(scan, columns)
        scans.append(scan)
        frames.append(_as_declared(scan.rows, scan.facts.columns, columns))
    raw, *lookups = frames
    aggregation, by_role = None, dict(zip((lookup.role for lookup in job.lookups), lookups))
    try:
        aggregation = job.open(of_partitions(raw, partitions, job.raw), by_role)
        yield Sources(
            aggregation=aggregation,
            lookups=by_role,
            inputs=_inputs(scans[0].directories, scans[0].found) if _is_by_day(tables.raw) else {},
            notes=notes,
        )
    finally:
        with suppress(Py4JError, OSError):  # a lost JVM may be what ended the run
            if aggregation is not None:
                aggregation.close()


def of_partitions(rows: DataFrame, partitions: Sequence[str], columns: Sequence[Column]) -> DataFrame:
    """The rows of ``partitions``, with only ``columns``."""
    # Comparing strings lets the metastore prune the partitions.
    wanted = F.col(PARTITION_COLUMN).isin([str(partition) for partition in partitions])
    return rows.where(wanted).select(*(column.name for column in columns))


def _as_declared(rows: DataFrame, found: Iterable[tuple[str, str]], needed: Sequence[Column]) -> DataFrame:
    """
    Returns the ``rows`` of raw or a lookup as Hive reads them.

    ``found`` are the table's (name, type) pairs. Text that the job needs is cut to the length of its CHAR or VARCHAR,
    and a CHAR loses the blanks with which Spark pads it.
    """
    texts = {column.name for column in needed if column.type == "STRING" and column.name != PARTITION_COLUMN}
    cut = {}
    for name, type_ in found:
        length = declared_length(type_)
        if length is not None and name.lower() in texts:
            text = F.substring(name, 1, length)
            cut[name] = text if type_.startswith("varchar") else F.rtrim(text)
    return rows.withColumns(cut) if cut else rows


def raw_inputs(warehouse: Warehouse, partitions: Sequence[Partition]) -> dict[Partition, Input]:
    """
    Sums up the files of each listed day of raw. A day without a directory has no entry.

    Empty unless raw is partitioned by ``partition_date`` alone.
    """
    raw = warehouse.tables.raw
    if not _is_by_day(raw):
        return {}
    table, files = warehouse.catalog.table(raw), warehouse.files_of(raw.location)
    directories = [each for each in table.directories() if each.spec[PARTITION_COLUMN] in partitions]
    return _inputs(directories, files.visible_files([each.location for each in directories]))


def _is_by_day(facts: TableFacts) -> bool:
    return facts.partition_columns == (PARTITION_COLUMN,)


def _inputs(directories: Sequence[Directory], found: Mapping[str, Sequence[FileInfo]]) -> dict[Partition, Input]:
    return {
        Partition(each.spec[PARTITION_COLUMN]): Input(
            each.location,
            len(infos),
            sum(info.size for info in infos),
            max((info.modified for info in infos), default=0),
        )
        for each in directories
        if (infos := found.get(each.location)) is not None
    }
