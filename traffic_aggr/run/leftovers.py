"""
Finds data that may be deleted: kept aside or left behind by runs, and no longer needed.

Only directories that a run record names, and that no partition and no table uses, are ever candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Optional

from traffic_aggr.clock import parse_timestamp
from traffic_aggr.hive.layout import RUN_ROOT, Directories, normal
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.run.record import Outcome, Publication, RunRecord


@dataclass(frozen=True)
class Leftovers:
    """The directories of one run that can be deleted."""

    record: RunRecord
    directories: tuple[str, ...]


@dataclass(frozen=True)
class InUse:
    """
    Locations in use, read just before anything is deleted.

    ``data`` are the locations of partitions and unpartitioned tables; nothing inside them may be deleted. ``roots`` are
    those of partitioned tables; the run directories inside them may be deleted, but not the roots themselves.
    ``final_days`` are the days of the final table.
    """

    data: Directories
    roots: Directories
    final_days: Collection[Partition]

    def forbids(self, directory: str) -> bool:
        """Whether ``directory`` equals or contains one of the locations, or lies inside one of ``data``."""
        return self.data.overlap(directory) or self.roots.are_in(directory)


def find_leftovers(
    records: Sequence[RunRecord],
    final: str,
    in_use: InUse,
    keep_days: int,
    now: datetime,
    exists: Callable[[str], bool],
) -> list[Leftovers]:
    """
    Returns what can be deleted of the runs on table ``final`` (``db.table``), newest run first, as in ``records``.

    Only directories for which ``exists`` is true are returned. Old data of a published run is kept for ``keep_days``,
    for a rollback. Leftovers of a run that published nothing can go as soon as no run can resume from it. Unsettled
    runs keep everything. A run whose cleanup has begun can no longer be rolled back, so it needs nothing.
    """
    ours = [record for record in records if record.tables.get("final") == final]
    newest = next((each for each in ours if each.steps), None)
    resumable = newest if newest and not newest.finished else None
    over = [
        record for record in ours if record is not resumable and (record.cleaned or _is_over(record, keep_days, now))
    ]
    needed = Directories(where for record in ours if record not in over for where in _needed_by(record))
    found: list[Leftovers] = []
    seen: set[str] = set()
    for record in over:
        if record.cleaning_ended:
            continue
        names = dict.fromkeys(normal(where) for where in _named_by(record, in_use.final_days))
        free = tuple(
            where
            for where in names
            if where not in seen and exists(where) and not in_use.forbids(where) and not needed.overlap(where)
        )
        seen.update(free)
        if free or record.cleaned or record.publication is not Publication.PUBLISHED:
            found.append(Leftovers(record, free))
    return found


def kept_until(record: RunRecord, keep_days: int) -> Optional[datetime]:
    """Until when the old data of a published run is kept for a rollback; None where there is none to keep."""
    if record.publication is not Publication.PUBLISHED or record.cleaned is not None:
        return None
    return parse_timestamp(record.ended or record.started) + timedelta(days=keep_days)


def _is_over(record: RunRecord, keep_days: int, now: datetime) -> bool:
    if not record.publication.settled or record.outcome is Outcome.RUNNING:
        return False
    until = kept_until(record, keep_days)
    return until is None or until < now


def _needed_by(record: RunRecord) -> Iterator[str]:
    """Yields the directories that a rollback of the run, or a run that resumes it, would need."""
    for day in record.days.values():
        yield day.kept
        if day.before is not None:
            yield day.before.location
        if day.new is not None:
            yield day.new
    if record.staged is not None:
        yield record.staged.directory


def _named_by(record: RunRecord, final_days: Collection[Partition]) -> Iterator[str]:
    """Yields a run's staged and rewritten data, the data it kept aside, and the old locations of its partitions."""
    for partition, day in record.days.items():
        yield day.kept
        if day.new is not None:
            yield day.new
        # If the day has no partition now, somebody may mean to add this directory again.
        if record.publication is Publication.PUBLISHED and day.before is not None and partition in final_days:
            yield day.before.location
        run = f"{day.kept.partition(f'/{RUN_ROOT}/')[0]}/{RUN_ROOT}/{record.run_id}"
        yield from (f"{run}/{part}/{day.home.rsplit('/', 1)[-1]}" for part in ("staged", "new"))
