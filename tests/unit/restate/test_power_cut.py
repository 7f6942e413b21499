"""
Publishing, when the process dies or the power fails at any point: on real files, of which a power cut leaves only what
was synced. The metastore is in memory and keeps what it has answered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Optional

import pytest

from tests.support.crash.trail import Trail, World, distinct
from tests.support.crash.trees import Place
from tests.support.fakes import FIRST, RUN_ID, SECOND, UNLISTED, MemoryTable, run_record, write
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.hive.layout import Placement
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.restate.publish import Publisher
from traffic_aggr.restate.swap import SwapPublisher
from traffic_aggr.run.record import Day, Publication, RunRecord
from traffic_aggr.run.store import RecordStore, adopt_copies, copy_beside_table
from traffic_aggr.traffic.job import TRAFFIC

THIRD = Partition("2021-04-03")
LISTED = (FIRST, SECOND, THIRD)
"""SECOND is not in the table yet."""


class Process:
    """One process at work below ``home``: nothing in its memory outlives it."""

    def __init__(
        self,
        home: Path,
        mode: str,
        placements: dict[Partition, Placement],
        change_table: Callable[[Callable[[], object]], object] = lambda do: do(),
    ) -> None:
        self.root = home / "final"
        self.files = LocalFiles()
        self.store = RecordStore(str(home / "state"), self.files, TRAFFIC)
        kind = SwapPublisher if mode == "swap" else Publisher
        self.publisher = kind(MemoryTable(placements, change_table), self.files, self.save, lambda: None)

    def save(self, record: RunRecord) -> None:
        self.store.save(record)
        copy_beside_table(record, self.files)

    def settle(self) -> Optional[RunRecord]:
        """What the next process does first; the record of the run that died."""
        adopt_copies(self.store, self.files, f"file:{self.root}")
        for record in self.store.unsettled():
            if not record.publication.settled:
                self.publisher.settle(record)
        return self.store.last()


class Site:
    """A table of three days, two of them listed and there, in a world of real files."""

    def __init__(self, home: Path, mode: str) -> None:
        self.home = home
        self.mode = mode
        self.place = Place(home, lambda path: False)
        self.placements: dict[Partition, Placement] = {}
        for day in (FIRST, THIRD, UNLISTED):
            write(home / "final" / day.directory, f"old {day}")
            self.placements[day] = Placement(f"file:{home}/final/{day.directory}")
        (home / "state").mkdir()
        self.trail = Trail(self.place, beside=lambda: dict(self.placements), power_cuts=True)

    def process(self) -> Process:
        return Process(self.home, self.mode, self.placements, self._noticed)

    def _noticed(self, change: Callable[[], object]) -> None:
        change()
        self.trail.noticed("the metastore answered")

    def new_record(self) -> RunRecord:
        root = f"file:{self.home}/final"
        days = {
            day: Day(
                f"{root}/{day.directory}",
                f"{root}/.traffic_aggr/{RUN_ID}/old/{day.directory}",
                self.placements.get(day),
            )
            for day in LISTED
        }
        return run_record(days=days, mode=self.mode, final_root=root)

    def restate(self, process: Process) -> RunRecord:
        """The steps of a run, as far as they change anything."""
        record = self.new_record()
        process.save(record)
        if self.mode == "drop_and_load":
            process.publisher.withdraw(record)
        staged = self.home / "final" / ".traffic_aggr" / RUN_ID / "staged"
        with self.trail.unfollowed("Spark has written"):
            for day in LISTED:
                write(staged / day.directory, f"new {day}")
        process.save(record)
        for day in LISTED:
            record.set_day(day, dataclasses.replace(record.days[day], new=f"file:{staged}/{day.directory}"))
        process.files.make_durable(f"file:{staged}")
        process.publisher.publish(record)
        return record

    def put_back(self, world: World) -> None:
        self.place.write(world.files)
        self.placements.clear()
        self.placements.update(world.beside)

    def read(self, day: Partition) -> Optional[str]:
        where = self.placements.get(day)
        if where is None:
            return None
        directory = Path(where.location[len("file:") :])
        return "".join(path.read_text() for path in sorted(directory.glob("[!._]*"))) if directory.exists() else ""


def old(day: Partition) -> Optional[str]:
    return f"old {day}" if day != SECOND else None


def assert_whole(site: Site, record: Optional[RunRecord], point: str) -> str:
    new = record is not None and record.publication is Publication.PUBLISHED
    for day in LISTED:
        assert site.read(day) == (f"new {day}" if new else old(day)), f"{point}: {day}"
    assert site.read(UNLISTED) == f"old {UNLISTED}", point
    assert record is None or record.publication.settled, point
    return "new" if new else "old"


def rolled_back(site: Site) -> None:
    process = site.process()
    target = site.restate(process)
    with site.trail.following():
        record = dataclasses.replace(target, run_id="20210505T020200Z-0a1b2c", rolls_back=RUN_ID, changes=[])
        process.publisher.restore(record)


def restated(site: Site) -> None:
    with site.trail.following():
        site.restate(site.process())


@pytest.mark.parametrize("mode", ["drop_and_load", "swap"])
@pytest.mark.parametrize("action", [restated, rolled_back], ids=["run", "rollback"])
def test_after_a_death_or_a_power_cut_anywhere_every_day_is_whole(
    tmp_path: Path, mode: str, action: Callable[[Site], None], capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path / "home", mode)
    action(site)
    worlds = distinct(site.trail.worlds, fine=True)
    sides = []
    for world in worlds:
        site.put_back(world)
        sides.append(assert_whole(site, Process(tmp_path / "home", mode, site.placements).settle(), world.point))
    cuts = [world for world in site.trail.worlds if world.point.startswith("power cut")]
    assert len(cuts) > 20
    assert {"old", "new"} <= set(sides)
    with capsys.disabled():
        print(f"\ncrash points: {len(worlds)} worlds ({mode} {action.__name__}, no Spark; {len(cuts)} power cuts)")


@pytest.mark.parametrize("mode", ["drop_and_load", "swap"])
def test_after_a_power_cut_in_a_recovery_from_any_of_them_every_day_is_whole(tmp_path: Path, mode: str) -> None:
    site = Site(tmp_path / "home", mode)
    restated(site)
    known = 0
    for world in distinct(site.trail.worlds, fine=False):
        site.put_back(world)
        site.trail = Trail(site.place, beside=lambda: dict(site.placements), power_cuts=True)
        with site.trail.following():
            site.process().settle()
        for second in distinct(site.trail.worlds, fine=False):
            site.put_back(second)
            record = Process(tmp_path / "home", mode, site.placements).settle()
            assert_whole(site, record, f"{world.point}, then {second.point}")
            known += 1
    assert known > 100


def test_an_effect_that_is_not_followed_fails_the_test(tmp_path: Path) -> None:
    site = Site(tmp_path / "home", "swap")
    with pytest.raises(AssertionError, match="changed by nothing that is followed"), site.trail.following():  # noqa: PT012
        process = site.process()
        process.save(site.new_record())
        (tmp_path / "home" / "final" / "foreign").write_text("")
        process.save(site.new_record())
