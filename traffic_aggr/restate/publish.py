"""
Takes partitions out of the final table, puts new ones in, and restores the old ones.

Nothing is ever written into, or deleted from, a directory that a reader may see. Publishing only changes metadata and
renames whole directories, and each operation finds out what is already done. So every operation here can be stopped
anywhere and started again:

    old partition      --drop--> no partition --rename home to kept--> nothing in home
    nothing in home    --rename new to home-->  new data in home      --add--> new partition

The order keeps the only copy of a day safe: the metastore answers the drop before the files move, and the files are in
place before a partition points at them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Optional, Protocol

from traffic_aggr.clock import timestamp
from traffic_aggr.errors import GuardError, StepError
from traffic_aggr.files.local import Files
from traffic_aggr.hive import parameters
from traffic_aggr.hive.layout import Placement, normal
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.run.record import DESCRIBE, Day, DayTotals, Publication, RunRecord
from traffic_aggr.units import counted

_DROP = "drop"
POINT = "point"


class PartitionedTable(Protocol):
    """What publishing needs from a table in the metastore."""

    def partitions(self, wanted: Collection[Partition]) -> dict[Partition, Placement]:
        """Returns the placements of those ``wanted`` partitions that exist."""
        ...

    def drop(self, partitions: Sequence[Partition]) -> None:
        """Drops the metadata of those ``partitions`` that exist. Their files stay."""
        ...

    def add(self, partitions: Mapping[Partition, Placement]) -> None:
        """Adds missing partitions, with the table's row format and the current time."""
        ...

    def point(self, placements: Mapping[Partition, Placement]) -> None:
        """Changes existing partitions to match ``placements``, all or none."""
        ...


def fingerprint(files: Files, directory: str) -> str:
    """Returns a digest of the relative paths and sizes of the data files under ``directory``."""
    found = sorted(
        (info.path[len(directory) :], info.size)
        for info in files.walk_files(directory)
        if not info.path.rsplit("/", 1)[-1].startswith((".", "_"))
    )
    return hashlib.sha256(repr(found).encode()).hexdigest()


class Publisher:
    """
    Changes the partitions of one table under a run record.

    ``save`` makes the record durable. ``assert_locked`` is called before each change, and raises when the run no longer
    holds its locks.
    """

    def __init__(
        self,
        table: PartitionedTable,
        files: Files,
        save: Callable[[RunRecord], None],
        assert_locked: Callable[[], None],
    ) -> None:
        self._table = table
        self._files = files
        self._save = save
        self._assert_locked = assert_locked

    def published_location(self, day: Day) -> Optional[str]:
        """Returns where a published day's partition points; None for a day without new rows."""
        return day.home if day.new else None

    def withdraw(self, record: RunRecord) -> None:
        """Takes the record's days out of the table and moves their data aside."""
        self._enter(record, Publication.WITHDRAWING)
        present = self._table.partitions(record.days)
        self._drop(record, [partition for partition in record.days if partition in present])
        self._set_aside(record, record.days)
        self._enter(record, Publication.WITHDRAWN)

    def publish(self, record: RunRecord) -> None:
        """
        Replaces whatever the table has for each day with the day's ``new`` directory. A day without one is cleared.

        Raises StepError, with nothing changed, when a new directory is missing.
        """
        for partition, day in record.days.items():
            if day.new is not None and not self._files.is_directory(day.new):
                raise StepError(f"the new data of {partition} is not at {day.new}", hint="The next run stages it again")
        for partition, day in record.days.items():
            of_new = fingerprint(self._files, day.new) if day.new else None
            record.set_day(partition, dataclasses.replace(day, fingerprint=of_new))
        self._enter(record, Publication.PUBLISHING)
        self._go_forward(record)

    def _go_forward(self, record: RunRecord) -> None:
        arrived = {partition for partition, day in record.days.items() if self._moved_in(day)}
        waiting = {partition: day for partition, day in record.days.items() if partition not in arrived}
        self._refuse_two_copies(waiting.values())
        present = self._table.partitions(record.days)
        self._drop(record, [partition for partition in waiting if partition in present])
        self._set_aside(record, waiting)
        self._move(record, "move new data in", [(day.new, day.home) for day in waiting.values() if day.new])
        self._add(record, self._new_placements(record))
        self._verify(record, {each: self.published_location(day) for each, day in record.days.items()})
        for partition, day in record.days.items():
            record.set_day(partition, dataclasses.replace(day, arrived=day.new is not None))
        self._enter(record, Publication.PUBLISHED)

    def _new_placements(self, record: RunRecord) -> dict[Partition, Placement]:
        """
        Returns the new placement of each day with new rows.

        It has the owner's parameters of the old partition and the number of rows counted in staging.
        """
        placements = {}
        for partition, day in record.days.items():
            location = self.published_location(day)
            if location is not None:
                old = day.before or Placement(location)
                totals = record.totals.get(partition)
                rows = totals.staging.rows if totals is not None and totals.staging is not None else None
                placements[partition] = Placement(
                    location,
                    parameters=parameters.for_new_files(old.parameters or {}, rows),
                    created=old.created,
                    accessed=old.accessed,
                )
        return placements

    def restore(self, record: RunRecord) -> None:
        """Puts the record's days back as they were before the run."""
        self._complete(record)
        self._enter(record, Publication.RESTORING)
        present = self._table.partitions(record.days)
        drop_unanswered = self._unanswered(record, _DROP)
        changed = {
            partition: day
            for partition, day in record.days.items()
            if drop_unanswered
            or self._moved_in(day)
            or self._files.exists(day.kept)
            or _location(present.get(partition)) != _location(day.before)
        }
        self._refuse_two_copies(day for day in changed.values() if not self._moved_in(day))
        # Sent for missing partitions too: a drop whose answer was lost must have ended before files move.
        self._drop(record, list(changed))
        out = [(day.home, day.new) for day in changed.values() if day.new and self._moved_in(day)]
        self._move(record, "move new data out", out)
        back = [(day.kept, day.home) for day in changed.values() if self._files.exists(day.kept)]
        self._move(record, "move old data back", back)
        before = self._old_placements(record)
        self._add(record, {partition: before[partition] for partition in changed if partition in before})
        self._give_back(record, before)
        self._verify(record, {partition: _location(day.before) for partition, day in record.days.items()})
        self._leave_restored(record)

    def _complete(self, record: RunRecord) -> None:
        """
        Adds the old partitions' parameters and times, as the table has them now, to a record that lacks them.

        Records of an earlier version lack them.
        """
        unknown = {
            partition: day.before
            for partition, day in record.days.items()
            if day.before is not None and day.before.parameters is None
        }
        for partition, found in self._table.partitions(unknown).items() if unknown else ():
            before = dataclasses.replace(
                unknown[partition],
                parameters=parameters.of_the_owner(found.parameters or {}),
                created=found.created,
                accessed=found.accessed,
            )
            record.set_day(partition, dataclasses.replace(record.days[partition], before=before))

    def _old_placements(self, record: RunRecord) -> dict[Partition, Placement]:
        """Returns the placements from before the run. A partition whose files are gone loses its statistics."""
        placements = {}
        for partition, day in record.days.items():
            if day.before is not None:
                lost = self._is_lost(day, record.totals.get(partition))
                kept = parameters.of_the_owner if lost else parameters.for_old_files
                placements[partition] = dataclasses.replace(
                    day.before, location=normal(day.before.location), parameters=kept(day.before.parameters or {})
                )
        return placements

    def _give_back(self, record: RunRecord, before: Mapping[Partition, Placement]) -> None:
        """Restores what adding the old partitions, or pointing them back, did not, such as row formats and times."""
        # Sent even when nothing seems to differ: a request whose answer was lost may still take effect.
        all_of_them = self._unanswered(record, POINT, DESCRIBE)
        differing = {
            partition: before[partition]
            for partition, found in self._table.partitions(before).items()
            if all_of_them or found not in (before[partition], record.days[partition].before)
        }
        if differing and record.changes:
            what = f"{DESCRIBE} as before ({counted(len(differing), 'partition')})"
            self._request(record, what, lambda: self._table.point(differing))

    def _unanswered(self, record: RunRecord, *kinds: str) -> bool:
        """Whether a request of one of ``kinds`` was never answered, so that it may still take effect."""
        return any(change.what.startswith(kinds) and change.done is None for change in record.changes)

    def _leave_restored(self, record: RunRecord) -> None:
        record.note_restored(
            lost=[each for each, day in record.days.items() if self._is_lost(day, record.totals.get(each))],
            outside=[each for each, day in record.days.items() if day.before is None and self._has_files(day.home)],
        )
        self._enter(record, Publication.RESTORED)

    def _is_lost(self, day: Day, totals: Optional[DayTotals]) -> bool:
        """
        Whether a day had rows before the run and its files are gone.

        Looks for files, since Hive creates the directory of a partition that it adds.
        """
        if day.before is None or totals is None or totals.final_before is None or totals.final_before.rows == 0:
            return False
        return not self._has_files(day.before.location)

    def _has_files(self, directory: str) -> bool:
        return self._files.is_directory(directory) and any(self._files.walk_files(directory))

    def settle(self, record: RunRecord) -> Publication:
        """
        Finishes an interrupted run if it was publishing and all its new data exists, else restores the old data.

        Returns PUBLISHED (every day new) or RESTORED (every day old).
        """
        self._complete(record)
        if record.publication is Publication.PUBLISHING and self._all_new_data_is_there(record):
            self._go_forward(record)
        else:
            self.restore(record)
        return record.publication

    def _all_new_data_is_there(self, record: RunRecord) -> bool:
        return all(
            day.new is None or self._files.exists(day.new) or self._moved_in(day) for day in record.days.values()
        )

    def refuse_unless_published(self, record: RunRecord) -> None:
        """Raises GuardError naming the first day that is no longer what ``record`` published."""
        present = self._table.partitions(record.days)
        for partition, day in record.days.items():
            expected = self.published_location(day)
            found = present.get(partition)
            if _location(found) != (normal(expected) if expected else None):
                where = found.location if found else "nowhere"
                raise GuardError(
                    f"{partition} is not what run {record.run_id} published: it points to {where}",
                    hint="Another writer changed it; restate it instead",
                    command=("run", "--dates", partition),
                )
            if expected and fingerprint(self._files, expected) != day.fingerprint:
                raise GuardError(
                    f"the files of {partition} in {expected} are not those that run {record.run_id} published",
                    hint="Another writer changed them; restate it instead",
                    command=("run", "--dates", partition),
                )

    def _moved_in(self, day: Day) -> bool:
        return (
            day.new is not None
            and not self._files.exists(day.new)
            and self._files.is_directory(day.home)
            and (day.arrived or fingerprint(self._files, day.home) == day.fingerprint)
        )

    def _enter(self, record: RunRecord, publication: Publication) -> None:
        # A new lock holder may have settled this run, and what it wrote in the record must stay.
        self._assert_locked()
        record.enter(publication)
        self._save(record)

    def _move(self, record: RunRecord, what: str, moves: Sequence[tuple[str, str]]) -> None:
        """Renames directories, each from its first path to its second."""
        if not moves:
            return
        record.begin_change(f"{what} ({counted(len(moves), 'partition')})", timestamp())
        self._save(record)
        for source, target in moves:
            self._assert_locked()
            self._files.rename(source, target)
        record.end_change(timestamp())
        self._save(record)

    def _request(self, record: RunRecord, what: str, change_table: Callable[[], None]) -> None:
        """Sends one request to the metastore."""
        record.begin_change(what, timestamp())
        self._save(record)
        self._assert_locked()
        change_table()
        record.end_change(timestamp())
        self._save(record)

    def _drop(self, record: RunRecord, partitions: Sequence[Partition]) -> None:
        if partitions:
            what = f"{_DROP} from the metastore ({counted(len(partitions), 'partition')})"
            self._request(record, what, lambda: self._table.drop(partitions))

    def _add(self, record: RunRecord, placements: Mapping[Partition, Placement]) -> None:
        present = self._table.partitions(placements)
        missing = {partition: where for partition, where in placements.items() if partition not in present}
        if missing:
            what = f"add to the metastore ({counted(len(missing), 'partition')})"
            self._request(record, what, lambda: self._table.add(missing))

    def _set_aside(self, record: RunRecord, days: Mapping[Partition, Day]) -> None:
        occupied = [(day.home, day.kept) for day in days.values() if self._files.exists(day.home)]
        self._move(record, "move old data aside", occupied)

    def _refuse_two_copies(self, days: Iterable[Day]) -> None:
        for day in days:
            if self._files.exists(day.home) and self._files.exists(day.kept):
                raise StepError(
                    f"{day.home} was written by another program while its data was kept in {day.kept}",
                    hint="Both are untouched: move the other program's directory away",
                )

    def _verify(self, record: RunRecord, expected: Mapping[Partition, Optional[str]]) -> None:
        present = self._table.partitions(record.days)
        for partition, location in expected.items():
            wanted = normal(location) if location else None
            if _location(present.get(partition)) != wanted:
                raise StepError(
                    f"{partition} points to {_location(present.get(partition)) or 'nowhere'}"
                    f" and not to {wanted or 'nowhere'} after it was changed",
                )


def _location(placement: Optional[Placement]) -> Optional[str]:
    return normal(placement.location) if placement is not None else None
