"""
Processes that publish, and the world that such a process leaves behind when it dies.
"""

from __future__ import annotations

import dataclasses
import pickle
from typing import Callable, Optional, cast

from tests.support.fakes import RUN_ID, Broken, MemoryTable, run_record
from tests.support.totals import grouped
from traffic_aggr.errors import LockHeldError
from traffic_aggr.files.local import FileInfo, Files
from traffic_aggr.hive.layout import Placement, RowFormat, normal
from traffic_aggr.hive.parameters import ACCURATE
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.restate.publish import Publisher
from traffic_aggr.restate.swap import SwapPublisher
from traffic_aggr.run.record import Day, DayTotals, RunRecord
from traffic_aggr.run.record_json import record_from_json, record_to_json
from traffic_aggr.traffic.job import TRAFFIC


class Died(BaseException):
    """The process is gone (kill -9, power loss). None of our code may handle this."""


class MemoryFiles:
    """
    As much of ``Files`` as publishing uses, over ``content`` (path to bytes).

    A directory exists for as long as it holds a file.
    """

    walk_files = Files.walk_files

    def __init__(
        self, content: dict[str, bytes], effect: Callable[[Callable[[], object]], object] = lambda do: do()
    ) -> None:
        self.content = content
        self._effect = effect

    def exists(self, p: str) -> bool:
        p = normal(p)
        return p in self.content or self.is_directory(p)

    def is_directory(self, p: str) -> bool:
        inside = f"{normal(p)}/"
        return any(path.startswith(inside) for path in self.content)

    def list(self, p: str) -> list[FileInfo]:
        inside = f"{normal(p)}/"
        names = {path[len(inside) :].partition("/")[0] for path in self.content if path.startswith(inside)}
        if not names:
            raise FileNotFoundError(p)
        return [
            FileInfo(f"{p}/{name}", len(self.content.get(inside + name, b"")), inside + name not in self.content, 0)
            for name in sorted(names)
        ]

    def rename(self, src: str, dst: str) -> None:
        if not self.exists(src):
            raise FileNotFoundError(src)
        if self.exists(dst):
            raise FileExistsError(dst)
        self._effect(lambda: self._rename(normal(src), normal(dst)))

    def _rename(self, src: str, dst: str) -> None:
        for path in list(self.content):
            if path == src or path.startswith(f"{src}/"):
                self.content[dst + path[len(src) :]] = self.content.pop(path)


@dataclasses.dataclass
class World:
    """What survives the death of a process: files, the metastore, and the run record as last saved."""

    content: dict[str, bytes]
    placements: dict[Partition, Placement]
    saved: bytes = b""
    saved_state: str = ""
    mode: str = "drop_and_load"

    def save(self, record: RunRecord) -> None:
        # Few of the hundreds of saved records are read. Only those go through JSON, which takes thirty times as long.
        self.saved = pickle.dumps(record)
        self.saved_state = f"{record.publication} {record.days}"

    def record(self) -> RunRecord:
        """Returns the record as the next process reads it."""
        written: RunRecord = pickle.loads(self.saved)
        return record_from_json(record_to_json(written), "run.json", TRAFFIC)

    def copy(self) -> World:
        return dataclasses.replace(self, content=dict(self.content), placements=dict(self.placements))

    @property
    def key(self) -> str:
        """Equal for worlds from which everything continues in the same way."""
        table = sorted((day, repr(placement)) for day, placement in self.placements.items())
        return f"{sorted(self.content.items())} {table} {self.saved_state}"


class Process:
    """
    One process at work on a world.

    Every elementary change that outlives it (of a partition, a rename, a saved record) goes through ``effect``. The
    process dies after ``dies_after`` changes, right before the next one. The change with the number ``fails_at`` raises
    an error instead of happening, or, with ``loses_answer``, after happening. The lock is lost after ``keeps_lock_for``
    checks.

    ``survivors`` holds each world that a death at some point would have left. ``unchecked`` counts the renames and
    statements that were not directly preceded by a check of the lock.
    """

    def __init__(
        self,
        world: World,
        *,
        dies_after: Optional[int] = None,
        fails_at: Optional[int] = None,
        loses_answer: bool = False,
        keeps_lock_for: Optional[int] = None,
    ) -> None:
        self.world = world
        self.effects = 0
        self.lock_checks = 0
        self.unchecked = 0
        self._checked_at = -1
        self.survivors: dict[str, World] = {world.key: world.copy()}
        self._dies_after = dies_after
        self._fails_at = fails_at
        self._loses_answer = loses_answer
        self._keeps_lock_for = keeps_lock_for
        table, files = MemoryTable(world.placements, self._change_table), MemoryFiles(world.content, self._move)
        kind = SwapPublisher if world.mode == "swap" else Publisher
        self.publisher = kind(table, cast(Files, files), self.save, self.assert_locked)

    def effect(self, change: Callable[[], object]) -> None:
        if self.effects == self._dies_after:
            raise Died
        number, self.effects = self.effects, self.effects + 1
        if number == self._fails_at and not self._loses_answer:
            raise Broken
        change()
        key = self.world.key
        if key not in self.survivors:
            self.survivors[key] = self.world.copy()
        if number == self._fails_at:
            raise Broken

    def save(self, record: RunRecord) -> None:
        self.effect(lambda: self.world.save(record))

    def assert_locked(self) -> None:
        if self.lock_checks == self._keeps_lock_for:
            raise LockHeldError("another run holds the lock")
        self.lock_checks += 1
        self._checked_at = self.effects

    def _move(self, change: Callable[[], object]) -> None:
        self.unchecked += self._checked_at != self.effects
        self.effect(change)

    def _change_table(self, change: Callable[[], object]) -> None:
        self._move(change)
        self._checked_at = self.effects  # one check covers all partitions of a statement


ROOT = "file:/warehouse/final"
KEPT = f"{ROOT}/.traffic_aggr/{RUN_ID}/old"
NEW = f"{ROOT}/.traffic_aggr/{RUN_ID}/staged"
PLAIN, ELSEWHERE, ELSEWHERE_AND_HOME, ABSENT, ORPHANED, EMPTIED, CLEARED, CLEARED_ELSEWHERE, UNLISTED, UNLISTED_TOO = (
    Partition(f"2021-04-{number:02}") for number in range(1, 11)
)
LISTED = (PLAIN, ELSEWHERE, ELSEWHERE_AND_HOME, ABSENT, ORPHANED, EMPTIED, CLEARED, CLEARED_ELSEWHERE)
OLD_STATISTICS = {
    "numRows": "1",
    ACCURATE: '{"BASIC_STATS":"true"}',
    "spark.sql.statistics.numRows": "1",
    "impala_intermediate_stats_num_chunks": "1",
}
NEW_ROWS = 5


def home(partition: Partition) -> str:
    return f"{ROOT}/{partition.directory}"


def old_world() -> World:
    """
    Returns a table with a day of every kind, and new data for the listed days but CLEARED and CLEARED_ELSEWHERE.

    ABSENT has neither partition nor directory, ORPHANED only a directory, EMPTIED only a partition. ELSEWHERE is in
    another directory. So is ELSEWHERE_AND_HOME, though its standard directory holds something too.
    """
    elsewhere = (ELSEWHERE, ELSEWHERE_AND_HOME, CLEARED_ELSEWHERE, UNLISTED_TOO)
    locations = {each: home(each) for each in (PLAIN, EMPTIED, CLEARED, UNLISTED)}
    locations.update({each: f"file:/elsewhere/{each}" for each in elsewhere})
    content = {f"{where}/part-0": f"old {day}".encode() for day, where in locations.items() if day != EMPTIED}
    content.update({f"{home(day)}/stray": f"stray {day}".encode() for day in (ELSEWHERE_AND_HOME, ORPHANED)})
    content.update({f"{NEW}/{day.directory}/part-0": f"new {day}".encode() for day in new_directories()})
    own_format = {ELSEWHERE: RowFormat("serde", "in", "out", {"field.delim": ";"})}
    placements = {
        day: Placement(where, own_format.get(day), {**owners(day), **OLD_STATISTICS}, created=1, accessed=2)
        for day, where in locations.items()
    }
    world = World(content, placements)
    days = {day: Day(home(day), f"{KEPT}/{day.directory}", world.placements.get(day)) for day in LISTED}
    totals = {day: DayTotals(staging=grouped(rows=NEW_ROWS)) for day in new_directories()}
    world.save(run_record(days=days, totals=totals))
    return world


def owners(partition: Partition) -> dict[str, str]:
    """Returns the parameters that an owner has set on a day's partition."""
    return {"reviewed_by": f"the team of {partition}"}


def new_directories() -> dict[Partition, str]:
    """Returns the new directory of each day that gets rows."""
    return {day: f"{NEW}/{day.directory}" for day in LISTED if day not in (CLEARED, CLEARED_ELSEWHERE)}


def data_of(world: World, partition: Partition) -> Optional[list[bytes]]:
    """Returns what a reader of the table finds for a day, or None when there is no such partition."""
    where = world.placements.get(partition)
    if where is None:
        return None
    return [data for path, data in sorted(world.content.items()) if path.startswith(f"{where.location}/")]
