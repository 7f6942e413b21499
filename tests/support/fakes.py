"""
Fakes for what publishing works on: a metastore in memory, a table of a few days on real files, a minimal run record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

from traffic_aggr.files.local import LocalFiles
from traffic_aggr.hive.layout import Placement, normal
from traffic_aggr.hive.parameters import ACCURATE
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.restate.publish import Publisher, fingerprint
from traffic_aggr.run.record import Day, RunRecord
from traffic_aggr.traffic.job import TRAFFIC

RUN_ID = "20210504T020200Z-0a1b2c"


def run_record(run_id: str = RUN_ID, **values: Any) -> RunRecord:
    """Returns a minimal record with ``values`` put over it."""
    least = {"command": "run", "started": "2021-05-04T02:02:00.000+00:00", "host": "edge1", "user": "mnaas"}
    return RunRecord(run_id=run_id, **{**least, "process_id": 4711, "job": TRAFFIC, **values})


class Broken(Exception):
    """A call to the metastore, the file system or the state directory failed; the process lives on."""


NOW = 1_620_000_000_000
"""When each partition of a ``MemoryTable`` was added, in milliseconds."""


class MemoryTable:
    """
    A partitioned table in an in-memory metastore.

    Like ``HiveTable`` it changes metadata only, and a partition loses what Spark and Hive's metastore would take from
    it.

    ``effect`` makes each elementary change. Each partition is one, since a statement about many is no transaction.
    """

    def __init__(
        self, placements: dict[Partition, Placement], effect: Callable[[Callable[[], object]], object] = lambda do: do()
    ) -> None:
        self.placements = placements
        self._effect = effect

    def partitions(self, wanted: Collection[Partition]) -> dict[Partition, Placement]:
        return {each: placement for each, placement in self.placements.items() if each in wanted}

    def drop(self, partitions: Sequence[Partition]) -> None:
        for each in partitions:
            self._effect(lambda day=each: self.placements.pop(day, None))  # type: ignore[misc]

    def add(self, partitions: Mapping[Partition, Placement]) -> None:
        for each, where in partitions.items():
            found = Placement(normal(where.location), parameters=where.parameters, created=NOW)
            self._effect(lambda day=each, found=found: self.placements.setdefault(day, found))  # type: ignore[misc]

    def point(self, placements: Mapping[Partition, Placement]) -> None:
        # One change: the metastore alters all partitions of a request or none.
        found = {each: self._altered(self.placements[each], where) for each, where in placements.items()}
        self._effect(lambda: self.placements.update(found))

    def _altered(self, old: Placement, new: Placement) -> Placement:
        location, kept = normal(new.location), dict(new.parameters or {})
        if location != old.location:
            kept.pop(ACCURATE, None)
        return dataclasses.replace(new, location=location, parameters=kept)


FIRST, SECOND, UNLISTED = Partition("2021-04-01"), Partition("2021-04-02"), Partition("2021-03-31")


class TableOfDays:
    """A table in a real directory with one file for each day, and a publisher for it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.table = MemoryTable({})
        self.publisher = Publisher(self.table, LocalFiles(), lambda record: None, lambda: None)
        self.have(UNLISTED, "unlisted")

    def home(self, day: Partition) -> Path:
        return self.root / day.directory

    def aside(self, day: Partition, what: str) -> Path:
        """Returns the day's ``old`` or ``staged`` directory within the run's own."""
        return self.root / ".traffic_aggr" / RUN_ID / what / day.directory

    def have(self, day: Partition, text: Optional[str], at: Optional[Path] = None) -> None:
        """Adds a partition for the day, with a file that holds ``text``. ``text`` None creates no directory."""
        where = at or self.home(day)
        if text is not None:
            write(where, text)
        self.table.add({day: Placement(f"file:{where}")})

    def record(self, days: Sequence[Partition] = (FIRST, SECOND)) -> RunRecord:
        """Returns the record of a run that is about to change the days."""
        return run_record(
            days={
                day: Day(
                    home=f"file:{self.home(day)}",
                    kept=f"file:{self.aside(day, 'old')}",
                    before=self.table.placements.get(day),
                )
                for day in days
            }
        )

    def stage(self, record: RunRecord, *days: Partition) -> None:
        """Stages new data for the days, and records it as the load step and the start of publishing do."""
        for day in days:
            write(self.aside(day, "staged"), f"new {day}")
            new = f"file:{self.aside(day, 'staged')}"
            record.set_day(
                day, dataclasses.replace(record.days[day], new=new, fingerprint=fingerprint(LocalFiles(), new))
            )

    def read(self, day: Partition) -> Optional[str]:
        """Returns what a reader of the table finds for the day, or None when there is no partition."""
        where = self.table.placements.get(day)
        if where is None:
            return None
        return "".join(path.read_text() for path in sorted(Path(where.location[len("file:") :]).glob("[!._]*")))


def write(directory: Path, text: str) -> None:
    directory.mkdir(parents=True)
    (directory / "part-0").write_text(text)
