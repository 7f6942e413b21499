"""
Tidying up: the deletion of what nothing needs any more, and what lies beside the final table and should not.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Sequence
from datetime import timedelta

from pyspark.sql import SparkSession

from traffic_aggr import steps
from traffic_aggr.cleanup import InUse, Leftovers, find_leftovers
from traffic_aggr.files import FileInfo, Files, LocalFiles, temporaries
from traffic_aggr.layout import RUN_ROOT, normal, run_directory
from traffic_aggr.orphans import Orphan, TableDirectory, find_orphans
from traffic_aggr.partitions import Partition
from traffic_aggr.runrecord import RunRecord, is_run_id
from traffic_aggr.state import COPY_NAME
from traffic_aggr.units import counted
from traffic_aggr.workplace import Warehouse, Workplace

log = logging.getLogger(__name__)

_WRITING_TAKES = timedelta(hours=1)


def cleanup(place: Workplace, run_id: str, *, dry_run: bool) -> list[str]:
    """
    Deletes what runs have kept or left and nothing needs any more, the run's directory with it when it is empty.

    Returns what was, or with ``dry_run`` would be, deleted: directories, files, and tables of dead runs.
    """
    record = place.books.new_record("cleanup", place.tables, run_id)
    done: list[str] = []
    with place.recorded(record) as (stop, lock), place.session() as spark:
        place.name_session(record, lock, spark)
        warehouse = place.open(spark)
        with place.table_lock(warehouse, record, lock) as still_locked:
            if not dry_run:
                place.settle(warehouse, still_locked)
            records = list(place.books.store.newest_first())
            done += _forget_shadows(place, warehouse, records, dry_run)
            done += _delete_temporaries(place, warehouse, records, dry_run)
            for leftovers in _leftovers(place, warehouse, records):
                stop.check()
                done += leftovers.directories if dry_run else _delete(place, warehouse, leftovers, still_locked)
            if not dry_run:
                _delete_empty_runs(warehouse, records)
    return done


def _forget_shadows(place: Workplace, warehouse: Warehouse, records: Sequence[RunRecord], dry_run: bool) -> list[str]:
    """Tables through which runs rewrote rows, and which they could not drop when they failed."""
    found = []
    for record in records:
        if record.shadow is not None and record.tables.get("final") == place.tables["final"]:
            found.append(f"table {record.shadow}")
            if not dry_run:
                steps.forget_shadow(warehouse.spark, record)
                place.books.save(record)
    return found


def _delete_temporaries(
    place: Workplace, warehouse: Warehouse, records: Sequence[RunRecord], dry_run: bool
) -> list[str]:
    """Files that were to replace state of ours when their writer died; a writer needs one for an instant only."""
    state, table = place.books.store, warehouse.files
    replaced = [os.path.realpath(place.config.state.status_file)]
    if place.config.metrics.textfile is not None:
        replaced.append(str(place.config.metrics.textfile))
    left: list[tuple[Callable[[str], None], FileInfo]] = [(state.delete, info) for info in state.temporaries()]
    local = LocalFiles()
    left += [(local.delete_tree, info) for path in replaced for info in temporaries(local, *os.path.split(path))]
    for record in records:
        run = run_directory(record.final_root or warehouse.final_root, record.run_id)
        left += [(table.delete_tree, info) for info in temporaries(table, run, COPY_NAME)]
    limit = (place.books.now() - _WRITING_TAKES).timestamp() * 1000
    dead = [(delete, info.path) for delete, info in left if info.modified < limit]
    for delete, path in dead:
        if not dry_run:
            delete(path)
    return [path for _, path in dead]


def _leftovers(place: Workplace, warehouse: Warehouse, records: Sequence[RunRecord]) -> list[Leftovers]:
    keep_days, now = place.config.publish.keep_days, place.books.now()
    exists = _Listed(warehouse.files).__contains__
    return find_leftovers(records, place.tables["final"], _in_use(warehouse), keep_days, now, exists)


class _Listed:
    """Which directories are there; each parent is listed once, since a month of runs names thousands."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._names: dict[str, set[str]] = {}

    def __contains__(self, directory: str) -> bool:
        parent, _, name = directory.rpartition("/")
        if parent not in self._names:
            try:
                self._names[parent] = {_name(info.path) for info in self._files.list(parent)}
            except (FileNotFoundError, NotADirectoryError):
                self._names[parent] = set()
        return name in self._names[parent]


def _in_use(warehouse: Warehouse) -> InUse:
    data: list[str] = []
    roots: list[str] = []
    days: list[Partition] = []
    for facts in (warehouse.tables.staging, warehouse.tables.final):
        if facts is not None:
            locations = warehouse.catalog.table(facts).all_locations() if facts.partition_columns else {}
            data += locations.values()
            (roots if facts.partition_columns else data).append(facts.location)
            days = list(locations)  # of the final table, which comes last
    return InUse(data, roots, days)


def _delete(
    place: Workplace, warehouse: Warehouse, leftovers: Leftovers, still_locked: Callable[[], None]
) -> list[str]:
    """
    Deletes the leftovers of one run; those that it has deleted. The record says that the run can no longer be taken
    back before anything goes, and that its cleaning has ended once all is gone: a later cleanup ends one that died.
    """
    record, deleted = leftovers.record, []
    if record.cleaned is None:
        record.cleaned = _now(place)
        for day in record.days.values():
            if day.before is not None:  # its parameters may hold kilobytes of Impala's statistics
                day.before = dataclasses.replace(day.before, parameters=None)
        place.books.save(record)
    in_use = _in_use(warehouse)
    for directory in leftovers.directories:
        still_locked()
        if in_use.forbids(directory):
            log.warning("%s is in use again: it stays", directory)
            continue
        warehouse.files.delete_tree(directory)
        deleted.append(directory)
    if len(deleted) == len(leftovers.directories):
        record.cleaning_ended = _now(place)
        place.books.save(record)
    log.info("run %s: deleted %s", record.run_id, counted(len(deleted), "directory", "directories"))
    return deleted


def _now(place: Workplace) -> str:
    return place.books.now().isoformat(timespec="seconds")


def _delete_empty_runs(warehouse: Warehouse, records: Sequence[RunRecord]) -> None:
    """Run directories whose data is gone, be it deleted as their own or as what a later run replaced."""
    files, root = warehouse.files, f"{warehouse.final_root}/{RUN_ROOT}"
    over = {each.run_id for each in records if each.cleaned}
    in_use = _in_use(warehouse)
    for info in files.list(root) if files.is_directory(root) else []:
        if _name(info.path) in over and not in_use.forbids(info.path) and not _holds_data(files, info.path):
            files.delete_tree(info.path)


def _holds_data(files: Files, directory: str) -> bool:
    """Whether there is a file that a reader would see: what a writer that died has not committed is none."""
    paths = (info.path[len(directory) :].lstrip("/").split("/") for info in files.walk_files(directory))
    return any(not any(name.startswith((".", "_")) for name in names) and names != [COPY_NAME] for names in paths)


def orphans(place: Workplace, spark: SparkSession) -> list[Orphan]:
    """What lies beside the final table's partitions and hides rows, or would double them. Changes nothing."""
    warehouse = place.open(spark)
    final, files = warehouse.tables.final, warehouse.files
    if final is None or not files.is_directory(final.location):
        return []
    locations = warehouse.catalog.table(final).all_locations()
    used = set(map(normal, locations.values()))
    unused = [info.path for info in files.list(final.location) if info.is_directory and normal(info.path) not in used]
    runs = f"{final.location}/{RUN_ROOT}"
    found = TableDirectory(
        table=str(final.name),
        root=final.location,
        names=[_name(path) for path in unused if path != runs and files.usage(path).files],
        runs=[_name(info.path) for info in files.list(runs) if is_run_id(_name(info.path))] if runs in unused else [],
        locations=locations,
        missing=[partition for partition, location in locations.items() if not files.is_directory(location)],
    )
    return list(find_orphans(found, list(place.books.store.newest_first())))


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]
