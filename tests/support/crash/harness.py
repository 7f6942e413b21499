"""
Worlds that interrupted processes left: put back, given to the job's next command, and checked.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

import duckdb

from devtools.impala_double import ImpalaDouble
from tests.support.crash.metastore import Metastore, Tables
from tests.support.crash.trail import Trail, World
from tests.support.crash.trees import Place, Tree
from tests.support.warehouse import LISTED, RAW, UNLISTED, Job, Result
from traffic_aggr.hive.layout import RUN_ROOT
from traffic_aggr.host.status_file import StatusFile

_NOT_OF_THE_WORLD = ("logs", "lock", "status.lock", "alerts.jsonl.lock", "config.yaml", "partitions.txt")
_CONSTANT = (RAW, "org_details", "country_lookup")
FINAL = "traffic_aggr_adhoc"

Rows = Optional[list[str]]
"""Rows of a day, sorted; None when the table has no partition for it."""


class Reader:
    """Reads days of the final table from worlds, without any engine that might have a cache."""

    def __init__(self, home: Path, scratch: Path, *, text: bool) -> None:
        self._home = f"file:{home}/"
        self._scratch = scratch
        self._text = text
        self._rows: dict[bytes, list[str]] = {}

    def day(self, world: World, day: str) -> Rows:
        partition = world.tables[FINAL].partitions.get(day)
        if partition is None:
            return None
        directory = partition.location[len(self._home) :] + "/"
        return sorted(
            row
            for path, entry in world.files.items()
            if path.startswith(directory) and is_data(path[len(directory) :]) and entry.content is not None
            for row in self._rows_in(entry.content)
        )

    def _rows_in(self, content: bytes) -> list[str]:
        if content not in self._rows:
            self._rows[content] = content.decode().splitlines() if self._text else self._parquet(content)
        return self._rows[content]

    def _parquet(self, content: bytes) -> list[str]:
        if not content:
            return ["an empty file"]
        self._scratch.write_bytes(content)
        query = "SELECT * FROM read_parquet(?, hive_partitioning = false)"
        return [repr(row) for row in duckdb.execute(query, [str(self._scratch)]).fetchall()]


def is_data(path: str) -> bool:
    return not any(part.startswith((".", "_")) for part in path.split("/"))


class Harness:
    """
    Runs ``job`` in worlds and checks the outcome. Its final table must exist; ``impala`` is its coordinator, if any.
    """

    def __init__(self, job: Job, *, text: bool = False, impala: Optional[ImpalaDouble] = None) -> None:
        self.job = job
        locks = (f"{table}/{RUN_ROOT}/lock" for table in ("a ware house/final", "trend/table"))
        ignored = {*_NOT_OF_THE_WORLD, *locks}
        self.place = Place(job.home, lambda path: path in ignored or path.startswith(("logs/", "trend/unfollowed/")))
        self.metastore = Metastore(job.spark, job.database, _CONSTANT)
        self._impala = impala
        scratch = job.home.parent / f"{job.home.name}.parquet"
        self.reader = Reader(job.home, scratch, text=text)
        self._tables: Optional[Tables] = None
        self.start = self.world("the start")
        self.old = self.days(self.start)
        self.new: dict[str, Rows] = {}

    # ---- worlds

    def world(self, point: str) -> World:
        return World(point, self.place.read(), self.metastore.tables(), self._impala_knows())

    def put_back(self, world: World) -> None:
        self.metastore.put_back(world.tables, now=self._tables)
        self._tables = None
        self.place.write(world.files)
        if self._impala is not None:
            self._impala._service._cache._tables = copy.deepcopy(world.beside)

    def _impala_knows(self) -> Any:
        return copy.deepcopy(self._impala._service._cache._tables) if self._impala is not None else None

    def follow(self, *command: str, power_cuts: bool = False, effects: int = 20) -> list[World]:
        """
        Runs a command to its end and returns the worlds on its way. Asserts that it had at least ``effects`` effects.
        """
        self._tables = None
        trail = Trail(self.place, self.metastore, self._impala_knows, power_cuts=power_cuts)
        with trail.following():
            result = self.job(*command)
        assert result.code == 0, result.err
        assert trail.effects >= effects
        return trail.worlds

    def first_run(self, *, power_cuts: bool = False) -> list[World]:
        """Restates the listed days and returns the worlds on the way. From then on ``new`` is known."""
        worlds = self.follow("run", power_cuts=power_cuts)
        self.new = self.days(self.world("the end"))
        expected = self.job.sources.expected()
        assert sum(len(rows or ()) for rows in self.new.values()) == len(expected)
        assert all(self.new[day] != self.old[day] for day in LISTED)
        return worlds

    def days(self, world: World, days: Sequence[str] = LISTED) -> dict[str, Rows]:
        return {day: self.reader.day(world, day) for day in days}

    # ---- what must hold

    def check_readers(self, world: World) -> None:
        """
        Asserts that no reader of a world finds a part of a day.

        In swap mode no reader finds old and new days together, or a day missing.
        """
        found = self.days(world)
        for day, rows in found.items():
            assert rows in (None, self.old[day], self.new[day]), f"{world.point}: a part of {day}"
        if self.job.settings.get("publish", {}).get("mode") == "swap":
            changed = [day for day in LISTED if self.old[day] is not None]
            sides = {found[day] == self.new[day] for day in changed}
            assert len(sides) == 1, f"{world.point}: some days old, others new"
            assert all(found[day] is not None for day in changed), f"{world.point}: a day is missing"
        self.check_unlisted(world)

    def check_unlisted(self, world: World) -> None:
        for day in UNLISTED:
            assert world.tables[FINAL].partitions[day].whole == self.start.tables[FINAL].partitions[day].whole
            directory = f"a ware house/final/partition_date={day}"
            assert under(world.files, directory) == under(self.start.files, directory), f"{world.point}: {day} changed"

    def side(self, world: World) -> str:
        """Returns ``old`` or ``new``. Asserts that all listed days are complete and on that side."""
        self.check_unlisted(world)
        found = self.days(world)
        if found == self.old:
            parts, before = world.tables[FINAL].partitions, self.start.tables[FINAL].partitions
            assert parts == before, f"{world.point}: old data is back in partitions that are not as they were"
            return "old"
        assert found == self.new, f"{world.point}: {[day for day in LISTED if found[day] != self.new[day]]} not whole"
        return "new"

    def recover(self, world: World, *, twice: bool = True) -> str:
        """Puts ``world`` back and recovers it. Returns the side of all its days."""
        self.put_back(world)
        side, after = self.recover_here(world, twice=twice)
        self._tables = after.tables  # until something changes them again
        return side

    def recover_here(self, world: World, *, twice: bool = True, interrupted: bool = False) -> tuple[str, World]:
        """
        Recovers the job where it is. Returns the side of all days, and the world afterwards.

        ``interrupted`` says that a run was interrupted here, so that the status file must show it.
        """
        result = self.job("recover")
        self._expect(result, world)
        after = self.world(f"recovered from: {world.point}")
        side = self.side(after)
        self._check_files(world, after)
        self.check_impala(after)
        status = StatusFile(str(self.job.home / "status")).read()
        if "nothing to recover" not in result.out:
            newest = result.out.splitlines()[0]
            assert f"{side} data is" in newest or "nothing was touched" in newest, f"{after.point}: {result.out}"
            interrupted = True
        if interrupted:
            expected = 3 if side == "new" and "nothing was touched" not in result.out else 0
            assert (status.flag, status.job_status) == (expected, "Failure"), after.point
        if twice:
            again = self.job("recover")
            self._expect(again, world)
            assert "nothing to recover" in again.out, after.point
            now = self.world(after.point)
            changed = {path for path in {*now.files, *after.files} if now.files.get(path) != after.files.get(path)}
            assert not changed, f"{after.point}: a second recover changed {changed}"
            assert now.tables == after.tables, f"{after.point}: a second recover changed the metastore"
        return side, after

    def run(self, world: World) -> None:
        """Puts ``world`` back and has the next run restate the days."""
        self.put_back(world)
        self._expect(self.job("run"), world)
        after = self.world(f"run after: {world.point}")
        assert self.side(after) == "new", after.point
        self.check_impala(after)
        status = StatusFile(str(self.job.home / "status")).read()
        assert (status.flag, status.job_status) == (0, "Success"), after.point

    def roll_back(self, world: World, run_id: str) -> None:
        """Puts ``world`` back and rolls back the run that published in it."""
        self.put_back(world)
        self._expect(self.job("rollback", run_id), world)
        after = self.world(f"rolled back after: {world.point}")
        assert self.side(after) == "old", after.point
        self._check_files(world, after)

    def _expect(self, result: Result, world: World) -> None:
        assert result.code == 0, f"{world.point}: {result.err}"
        assert "Traceback" not in result.err, f"{world.point}: {result.err}"

    def _check_files(self, world: World, after: World) -> None:
        """Asserts that every data file is there as often as before: none is lost, none duplicated."""
        assert data_files(after.files) == data_files(world.files), f"{after.point}: files lost or doubled"

    def check_impala(self, world: World) -> None:
        if self._impala is None:
            return
        known = self._impala._service._cache._tables[self.job.database, FINAL]
        if known is None:
            return
        found = {day: f"file:{partition.location}" for day, partition in known.partitions.items()}
        there = {day: partition.location for day, partition in world.tables[FINAL].partitions.items()}
        assert found == there, f"{world.point}: Impala has partitions elsewhere"
        for partition in known.partitions.values():
            partition.checked_files()


def under(files: Tree, directory: str) -> dict[str, Any]:
    return {path: entry for path, entry in files.items() if path == directory or path.startswith(f"{directory}/")}


def data_files(files: Tree) -> Counter[bytes]:
    """Counts the data files below the table's directory by their content."""
    return Counter(
        entry.content
        for path, entry in files.items()
        if entry.content is not None
        and path.startswith("a ware house/final/")
        and not path.rsplit("/", 1)[-1].startswith((".", "_"))
        and not path.endswith("recovery.json")
    )


def record_of(world: World) -> Optional[dict[str, Any]]:
    """Returns the newest run's record in the world, or None."""
    paths = sorted(path for path in world.files if path.startswith("state/runs/") and path.endswith("/run.json"))
    if not paths:
        return None
    found: dict[str, Any] = json.loads(world.files[paths[-1]].content or b"")
    return found


def is_unsettled(world: World) -> bool:
    record = record_of(world)
    return record is not None and record["publication"] not in ("untouched", "published", "restored")


def is_published(world: World) -> bool:
    record = record_of(world)
    return record is not None and record["publication"] == "published"


def every(worlds: Sequence[World], step: int) -> Iterable[World]:
    return worlds[step // 2 :: step]
