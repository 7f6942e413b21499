"""
What a run reads: raw and the lookups, from exactly the files that Hive and Impala read there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from py4j.protocol import Py4JError
from pyspark.sql import DataFrame

from traffic_aggr.files.local import FileInfo, Files
from traffic_aggr.hive.catalog import Directory, HiveCatalog, TableFacts
from traffic_aggr.hive.footers import refuse_unreadable
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.scan import open_scan, refuse_unread
from traffic_aggr.restate.tables import Tables
from traffic_aggr.restate.warehouse import Warehouse
from traffic_aggr.run.record import Input
from traffic_aggr.traffic import aggregation
from traffic_aggr.traffic import columns as contract


@dataclass(frozen=True)
class Sources:
    """
    What the aggregation reads: the raw rows of the listed days and the two lookups.

    ``repeated`` is what ``aggregation.repeated_cdrids`` finds in ``raw``; Spark persists it. ``inputs`` sums up the
    files of each listed day of raw. ``notes`` name columns that some of the tables' files lack.
    """

    raw: DataFrame
    repeated: DataFrame
    organisations: DataFrame
    countries: DataFrame
    inputs: Mapping[Partition, Input]
    notes: Sequence[str]


@contextmanager
def open_sources(
    catalog: HiveCatalog, tables: Tables, partitions: Sequence[Partition], files_of: Callable[[str], Files]
) -> Iterator[Sources]:
    """
    Yields the source tables as they are now. ``files_of`` returns the file system of a location.

    Raises GuardError when Spark would read other files than Hive and Impala do, or when Parquet footers show that it
    cannot read a file.
    """
    needed = (
        (tables.raw, contract.RAW_COLUMNS),
        (tables.organisations, contract.ORG_DETAILS_COLUMNS),
        (tables.countries, contract.COUNTRY_LOOKUP_COLUMNS),
    )
    scans, notes = [], []
    for facts, columns in needed:
        files = files_of(facts.location)
        scan = open_scan(catalog, facts, files, partitions)
        refuse_unread(scan, files)
        notes += refuse_unreadable(scan, columns)
        scans.append(scan)
    raw, organisations, countries = (aggregation.as_declared(scan.rows, scan.facts.columns) for scan in scans)
    raw = aggregation.select_days(raw, partitions)
    sources = Sources(
        raw=raw,
        repeated=aggregation.repeated_cdrids(raw).persist(),
        organisations=organisations,
        countries=countries,
        inputs=_inputs(scans[0].directories, scans[0].found) if _is_by_day(tables.raw) else {},
        notes=notes,
    )
    try:
        yield sources
    finally:
        with suppress(Py4JError, OSError):  # a lost JVM may be what ended the run
            sources.repeated.unpersist()


def raw_inputs(warehouse: Warehouse, partitions: Sequence[Partition]) -> dict[Partition, Input]:
    """
    Sums up the files of each listed day of raw. A day without a directory has no entry.

    Empty unless raw is partitioned by ``partition_date`` alone.
    """
    raw = warehouse.tables.raw
    if not _is_by_day(raw):
        return {}
    table, files = warehouse.catalog.table(raw), warehouse.files_of(raw.location)
    directories = [each for each in table.directories() if each.spec[contract.PARTITION_COLUMN] in partitions]
    return _inputs(directories, files.visible_files([each.location for each in directories]))


def _is_by_day(facts: TableFacts) -> bool:
    return facts.partition_columns == (contract.PARTITION_COLUMN,)


def _inputs(directories: Sequence[Directory], found: Mapping[str, Sequence[FileInfo]]) -> dict[Partition, Input]:
    return {
        Partition(each.spec[contract.PARTITION_COLUMN]): Input(
            each.location,
            len(infos),
            sum(info.size for info in infos),
            max((info.modified for info in infos), default=0),
        )
        for each in directories
        if (infos := found.get(each.location)) is not None
    }
