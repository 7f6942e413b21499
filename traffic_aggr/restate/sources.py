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
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.scan import open_scan, refuse_unread
from traffic_aggr.hive.schema import Column, declared_length
from traffic_aggr.restate.tables import Tables
from traffic_aggr.restate.warehouse import Warehouse
from traffic_aggr.run.definition import Aggregation, JobDefinition
from traffic_aggr.run.record import Input
from traffic_aggr.spark.sizing import sized_for


@dataclass(frozen=True)
class Sources:
    """
    What a run reads: the job's ``aggregation`` of the listed partitions of raw, and its ``lookups`` by role.

    ``read`` are the partitions of raw that lie in the listed ones. ``inputs`` sums up their files for each listed
    partition; ``directories`` are theirs. ``notes`` name columns that some of the tables' files lack.
    """

    aggregation: Aggregation
    lookups: Mapping[str, DataFrame]
    read: Sequence[Partition]
    inputs: Mapping[Partition, Input]
    directories: Mapping[str, Partition]
    notes: Sequence[str]


@contextmanager
def open_sources(
    catalog: HiveCatalog,
    job: JobDefinition,
    tables: Tables,
    read: Sequence[Partition],
    files_of: Callable[[str], Files],
) -> Iterator[Sources]:
    """
    Yields the source tables as they are now: of raw, the partitions that ``raw_partitions`` found.

    ``files_of`` returns the file system of a location.

    Raises GuardError when Spark would read other files than Hive and Impala do, or when Parquet footers show that it
    cannot read a file.
    """
    column = job.source.name
    needed = [(tables.raw, job.raw), *((tables.lookups[lookup.role], lookup.columns) for lookup in job.lookups)]
    scans, frames, notes = [], [], []
    for facts, columns in needed:
        files = files_of(facts.location)
        scan = open_scan(catalog, facts, files, column if facts is tables.raw else None, read)
        refuse_unread(scan, files)
        notes += refuse_unreadable(scan, columns)
        scans.append(scan)
        frames.append(_as_declared(scan.rows, scan.facts.columns, columns, column))
    raw, *lookups = frames
    by_role = dict(zip((lookup.role for lookup in job.lookups), lookups))
    directories = _directories(job, tables.raw, scans[0].directories)
    # Before Spark plans anything: a plan of one kind cannot be part of one of the other.
    with sized_for(catalog.spark, sum(info.size for _, info in scans[0].files())):
        aggregation = job.open(of_partitions(raw, job, read), by_role)
        try:
            yield Sources(
                aggregation=aggregation,
                lookups=by_role,
                read=read,
                inputs=_inputs(directories, scans[0].found),
                directories=directories,
                notes=notes,
            )
        finally:
            with suppress(Py4JError, OSError):  # a lost JVM may be what ended the run
                aggregation.close()


def raw_partitions(
    catalog: HiveCatalog, job: JobDefinition, raw: TableFacts, partitions: Sequence[Partition]
) -> Sequence[Partition]:
    """Returns raw's partitions for the listed ``partitions``: the same, or those of raw that lie in listed months."""
    if job.source == job.partition:
        return partitions
    found = catalog.table(raw).all_partitions()
    return [each for each in found if len(each) == job.source.length and job.partition.around(each) in partitions]


def of_partitions(rows: DataFrame, job: JobDefinition, partitions: Sequence[str]) -> DataFrame:
    """The rows of raw's ``partitions``, with only the job's columns of raw, and final's partition column."""
    # Comparing strings lets the metastore prune the partitions.
    wanted = F.col(job.source.name).isin([str(partition) for partition in partitions])
    columns = [F.col(column.name) for column in job.raw]
    if job.source != job.partition:
        columns.append(F.substring(job.source.name, 1, job.partition.length).alias(job.partition.name))
    return rows.where(wanted).select(*columns)


def _as_declared(
    rows: DataFrame, found: Iterable[tuple[str, str]], needed: Sequence[Column], partition_column: str
) -> DataFrame:
    """
    Returns the ``rows`` of raw or a lookup as Hive reads them.

    ``found`` are the table's (name, type) pairs. Text that the job needs, other than the partition column, is cut to
    the length of its CHAR or VARCHAR, and a CHAR loses the blanks with which Spark pads it.
    """
    texts = {column.name for column in needed if column.type == "STRING" and column.name != partition_column}
    cut = {}
    for name, type_ in found:
        length = declared_length(type_)
        if length is not None and name.lower() in texts:
            text = F.substring(name, 1, length)
            cut[name] = text if type_.startswith("varchar") else F.rtrim(text)
    return rows.withColumns(cut) if cut else rows


def raw_inputs(warehouse: Warehouse, job: JobDefinition, partitions: Sequence[Partition]) -> dict[Partition, Input]:
    """
    Sums up the files of raw for each listed partition. One without a directory has no entry.

    Empty unless raw is partitioned by the job's column alone.
    """
    raw = warehouse.tables.raw
    if raw.partition_columns != (job.source.name,):
        return {}
    read = raw_partitions(warehouse.catalog, job, raw, partitions)
    table, files = warehouse.catalog.table(raw), warehouse.files_of(raw.location)
    directories = table.directories(job.source.name, read)
    return _inputs(_directories(job, raw, directories), files.visible_files([each.location for each in directories]))


def _directories(job: JobDefinition, raw: TableFacts, directories: Sequence[Directory]) -> dict[str, Partition]:
    """Returns the listed partition of each directory. Empty unless raw is partitioned by the job's column alone."""
    if raw.partition_columns != (job.source.name,):
        return {}
    return {each.location: job.partition.around(each.spec[job.source.name]) for each in directories}


def _inputs(directories: Mapping[str, Partition], found: Mapping[str, Sequence[FileInfo]]) -> dict[Partition, Input]:
    inputs: dict[Partition, Input] = {}
    for location, partition in directories.items():
        infos = found.get(location)
        if infos is None:
            continue
        read = Input(
            location, len(infos), sum(info.size for info in infos), max((info.modified for info in infos), default=0)
        )
        inputs[partition] = inputs[partition].plus(read) if partition in inputs else read
    return inputs
