"""
Deletes what nothing needs any more, and finds orphans beside the final table's partitions.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Optional

from pyspark.sql import SparkSession

from traffic_aggr.clock import timestamp
from traffic_aggr.files.local import FileInfo, Files, LocalFiles, temporaries
from traffic_aggr.hive.layout import RUN_ROOT, Directories, run_directory
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.restate import steps
from traffic_aggr.restate.context import JobContext
from traffic_aggr.restate.warehouse import LockedWarehouse, Warehouse
from traffic_aggr.run.leftovers import InUse, Leftovers, find_leftovers, kept_until
from traffic_aggr.run.orphans import Orphan, TableDirectory, find_orphans
from traffic_aggr.run.record import RunRecord, is_run_id
from traffic_aggr.run.store import COPY_NAME
from traffic_aggr.units import counted

log = logging.getLogger(__name__)

_WRITING_TAKES = timedelta(hours=1)


@dataclass(frozen=True)
class Removal:
    """
    What cleanup deletes of one run: directories, with the ``bytes`` of their files, and the number of its partitions.

    ``run_id`` is None for temporary files and shadow tables, which ``names`` then has in place of directories.
    """

    run_id: Optional[str]
    names: Sequence[str]
    partitions: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Kept:
    """A run whose old data stays for a rollback, and until when."""

    run_id: str
    partitions: int
    until: datetime


def cleanup(context: JobContext, run_id: str, *, dry_run: bool) -> tuple[list[Removal], list[Kept]]:
    """
    Deletes what runs kept or left behind and nothing needs any more, then empty run directories.

    Returns what it deleted, or would delete with ``dry_run``, and what it keeps, each newest run first. Empty run
    directories are not listed.
    """
    record = context.journal.new_record("cleanup", context.tables, run_id)
    done: list[Removal] = []
    with context.recorded(record) as (stop, lock), context.session() as spark:
        context.name_session(record, lock, spark)
        with context.table_lock(context.open(spark), record, lock) as warehouse:
            if not dry_run:
                context.settle(warehouse)
            records = list(context.journal.store.newest_first())
            others = _forget_shadows(context, warehouse, records, dry_run=dry_run)
            others += _delete_temporaries(context, warehouse, records, dry_run=dry_run)
            done += [Removal(None, others)] if others else []
            for leftovers in _leftovers(context, warehouse, records):
                stop.check()
                removal = _removal(warehouse, leftovers)
                if not dry_run:
                    removal = replace(removal, names=_delete(context, warehouse, leftovers))
                done += [removal] if removal.names else []
            if not dry_run:
                _delete_empty_runs(warehouse, records)
            return done, list(_kept(context, records))


def _removal(warehouse: Warehouse, leftovers: Leftovers) -> Removal:
    usages = [warehouse.files.usage(directory) for directory in leftovers.directories]
    record = leftovers.record
    return Removal(record.run_id, leftovers.directories, len(record.days), sum(usage.bytes for usage in usages))


def _kept(context: JobContext, records: Sequence[RunRecord]) -> Iterator[Kept]:
    for record in records:
        until = kept_until(record, context.config.publish.keep_days)
        ours = record.tables.get("final") == context.tables["final"]
        if ours and record.rolled_back_by is None and until is not None and until >= context.journal.now():
            yield Kept(record.run_id, len(record.days), until)


def _forget_shadows(
    context: JobContext, warehouse: Warehouse, records: Sequence[RunRecord], *, dry_run: bool
) -> list[str]:
    """Drops the shadow tables that failed runs could not drop. Returns their names."""
    found = []
    for record in records:
        if record.shadow is not None and record.tables.get("final") == context.tables["final"]:
            found.append(f"table {record.shadow}")
            if not dry_run:
                steps.forget_shadow(warehouse.spark, record)
                context.journal.save(record)
    return found


def _delete_temporaries(
    context: JobContext, warehouse: Warehouse, records: Sequence[RunRecord], *, dry_run: bool
) -> list[str]:
    """
    Deletes the temporary files of interrupted writers. Returns their paths.

    A writer needs its temporary file only for an instant, so one older than ``_WRITING_TAKES`` is abandoned.
    """
    state, table = context.journal.store, warehouse.files
    replaced = [os.path.realpath(context.config.state.status_file)]
    if context.config.metrics.textfile is not None:
        replaced.append(str(context.config.metrics.textfile))
    left: list[tuple[Callable[[str], None], FileInfo]] = [(state.delete, info) for info in state.temporaries()]
    local = LocalFiles()
    left += [(local.delete_tree, info) for path in replaced for info in temporaries(local, *os.path.split(path))]
    for record in records:
        run = run_directory(record.final_root or warehouse.final_root, record.run_id)
        left += [(table.delete_tree, info) for info in temporaries(table, run, COPY_NAME)]
    limit = (context.journal.now() - _WRITING_TAKES).timestamp() * 1000
    dead = [(delete, info.path) for delete, info in left if info.modified < limit]
    for delete, path in dead:
        if not dry_run:
            delete(path)
    return [path for _, path in dead]


def _leftovers(context: JobContext, warehouse: Warehouse, records: Sequence[RunRecord]) -> list[Leftovers]:
    keep_days, now = context.config.publish.keep_days, context.journal.now()
    exists = _Listed(warehouse.files).__contains__
    return find_leftovers(records, context.tables["final"], _in_use(warehouse), keep_days, now, exists)


class _Listed:
    """The directories that exist. Lists each parent only once, since a month of runs names thousands of directories."""

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
            days = list(locations)  # the final table comes last, so its days remain
    return InUse(Directories(data), Directories(roots), days)


def _delete(context: JobContext, warehouse: LockedWarehouse, leftovers: Leftovers) -> list[str]:
    """
    Deletes the leftovers of one run and returns the directories deleted.

    Sets ``cleaned`` in the record before the first deletion, since the run can no longer be rolled back from then on.
    Sets ``cleaning_ended`` after the last one, so that a later cleanup finishes an interrupted one.
    """
    record, deleted = leftovers.record, []
    if record.cleaned is None:
        record.begin_cleaning(timestamp(context.journal.now(), "seconds"))
        context.journal.save(record)
    in_use = _in_use(warehouse)
    for directory in leftovers.directories:
        warehouse.assert_locked()
        if in_use.forbids(directory):
            log.warning("%s is in use again: it stays", directory)
            continue
        warehouse.files.delete_tree(directory)
        deleted.append(directory)
    if len(deleted) == len(leftovers.directories):
        record.end_cleaning(timestamp(context.journal.now(), "seconds"))
        context.journal.save(record)
    log.info("run %s: deleted %s", record.run_id, counted(len(deleted), "directory", "directories"))
    return deleted


def _delete_empty_runs(warehouse: Warehouse, records: Sequence[RunRecord]) -> None:
    """
    Deletes the directories of cleaned runs that hold no data any more.

    Their data was deleted either as their own leftovers or as the old data of a later run.
    """
    files, root = warehouse.files, f"{warehouse.final_root}/{RUN_ROOT}"
    over = {each.run_id for each in records if each.cleaned}
    in_use = _in_use(warehouse)
    for info in files.list(root) if files.is_directory(root) else []:
        if _name(info.path) in over and not in_use.forbids(info.path) and not _holds_data(files, info.path):
            files.delete_tree(info.path)


def _holds_data(files: Files, directory: str) -> bool:
    """Whether a reader would see a file in ``directory``. Uncommitted files and the record's copy do not count."""
    paths = (info.path[len(directory) :].lstrip("/").split("/") for info in files.walk_files(directory))
    return any(not any(name.startswith((".", "_")) for name in names) and names != [COPY_NAME] for names in paths)


def orphans(context: JobContext, spark: SparkSession) -> list[Orphan]:
    """Returns what lies beside the final table's partitions and hides rows or would double them. Changes nothing."""
    warehouse = context.open(spark)
    final, files = warehouse.tables.final, warehouse.files
    if final is None or not files.is_directory(final.location):
        return []
    locations = warehouse.catalog.table(final).all_locations()
    used = Directories(locations.values())
    unused = [info.path for info in files.list(final.location) if info.is_directory and info.path not in used]
    runs = f"{final.location}/{RUN_ROOT}"
    found = TableDirectory(
        table=str(final.name),
        column=context.job.partition,
        root=final.location,
        names=[_name(path) for path in unused if path != runs and files.usage(path).files],
        runs=[_name(info.path) for info in files.list(runs) if is_run_id(_name(info.path))] if runs in unused else [],
        locations=locations,
        missing=[partition for partition, location in locations.items() if not files.is_directory(location)],
    )
    return list(find_orphans(found, list(context.journal.store.newest_first())))


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]
