"""
Finds directories of a table that hide rows from readers, or that would make rows count twice.

Compares the table's directory with the locations in the metastore and with the run records.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from traffic_aggr.errors import PartitionListError
from traffic_aggr.hive.layout import RUN_ROOT, UNCOMMITTED, Directories, plain_path
from traffic_aggr.hive.partitions import Partition, PartitionColumn
from traffic_aggr.run.record import Publication, RunRecord


@dataclass(frozen=True)
class Orphan:
    """A directory (``where``) that is out of place: ``what`` this means for readers, and what ``mends`` it."""

    where: str
    what: str
    mends: str

    def __str__(self) -> str:
        return f"{self.where} {self.what}. {self.mends}"


@dataclass(frozen=True)
class TableDirectory:
    """
    The directory ``root`` of ``table``, partitioned by ``column``, and the locations of its partitions.

    ``names`` are the directories in it that hold data but that no partition points to. ``runs`` are the runs with a
    directory under ``.traffic_aggr``. ``locations`` come from the metastore; ``missing`` are the partitions whose
    location does not exist.
    """

    table: str
    column: PartitionColumn
    root: str
    names: Sequence[str]
    runs: Sequence[str]
    locations: Mapping[Partition, str]
    missing: Collection[Partition]


def find_orphans(found: TableDirectory, records: Sequence[RunRecord]) -> Iterator[Orphan]:
    """Yields the orphans of a table, each with its remedy. ``records`` are all records of this state directory."""
    for name in found.names:
        directory, partition = f"{found.root}/{name}", _partition(name, found.column)
        if name.startswith(UNCOMMITTED):
            what = "holds rows that a writer has not committed: nobody sees them"
            yield Orphan(
                directory,
                what,
                f"If that writer is dead, restate what it was writing, then: {_delete(directory)}",
            )
        elif partition is not None:
            yield _unused_day(found, directory, partition, records)
    for partition in sorted(found.missing):
        what = f"is where {found.table} has {partition}, and is not there: it reads as empty"
        yield Orphan(found.locations[partition], what, _restate(partition))
    yield from _shared(found)
    yield from _runs_without_record(found, {record.run_id for record in records})


def _unused_day(found: TableDirectory, directory: str, partition: Partition, records: Sequence[RunRecord]) -> Orphan:
    if partition not in found.locations:
        what = f"holds rows of {partition}, for which {found.table} has no partition: nobody sees them"
        add = f"ALTER TABLE {found.table} ADD PARTITION ({partition.column}='{partition}')"
        return Orphan(directory, what, f"To show them: {add}. {_restate(partition)}")
    again = "another tool's drop and INSERT would count them again"
    if any(_keeps(record, directory) for record in records if record.tables.get("final") == found.table):
        what = f"holds old rows of {partition}, kept for a rollback: {again}"
        return Orphan(directory, what, "When nobody needs them any more: traffic-aggr cleanup")
    what = (
        f"holds rows of {partition}, whose partition is in {found.locations[partition]}: nobody sees them, and {again}"
    )
    return Orphan(directory, what, f"If nobody needs them: {_delete(directory)}")


def _keeps(record: RunRecord, directory: str) -> bool:
    """Whether a run moved a partition away from ``directory`` and `cleanup` has yet to delete it."""
    if record.publication in (Publication.UNTOUCHED, Publication.RESTORED) or record.cleaned is not None:
        return False
    return directory in Directories(day.before.location for day in record.days.values() if day.before)


def _shared(found: TableDirectory) -> Iterator[Orphan]:
    places: dict[str, list[Partition]] = {}
    for partition, location in sorted(found.locations.items()):
        places.setdefault(plain_path(location), []).append(partition)
    for partitions in places.values():
        if len(partitions) > 1:
            what = f"is where {found.table} has {', '.join(partitions)}: its rows count for each of them"
            mends = f"Point all but one elsewhere: ALTER TABLE {found.table} PARTITION (...) SET LOCATION '...'"
            yield Orphan(found.locations[partitions[0]], what, mends)


def _runs_without_record(found: TableDirectory, known: Collection[str]) -> Iterator[Orphan]:
    used = Directories(found.locations.values())
    for run_id in found.runs:
        directory = f"{found.root}/{RUN_ROOT}/{run_id}"
        if run_id not in known and not used.are_in(directory):
            what = f"is of run {run_id}, which is not in this state directory: no cleanup from here deletes it"
            mends = (
                "It may hold the only copy of its partitions. Run cleanup where that run was started; if its state is "
                "lost, run traffic-aggr recover, and once that has succeeded and check still names it: "
                f"{_delete(directory)}"
            )
            yield Orphan(directory, what, mends)


def _partition(name: str, partitioned_by: PartitionColumn) -> Optional[Partition]:
    column, _, value = name.partition("=")
    try:
        return partitioned_by.partition(value) if column == partitioned_by.name else None
    except PartitionListError:
        return None


def _restate(partition: Partition) -> str:
    option = "--dates" if len(partition) > len("yyyy-MM") else "--month"
    return f"To restate it from raw: traffic-aggr run {option} {partition}"


def _delete(directory: str) -> str:
    if directory.startswith("file:"):
        return f"rm -r '{directory[len('file:') :]}'"
    return f"hdfs dfs -rm -r '{directory}'"
