"""
Deaths at every point of a run, a rollback and a recovery, on real tables: the same in both modes, a file each, so that
two workers share them.
"""

from __future__ import annotations

import random

import pytest

from devtools.impala_double import ImpalaDouble
from tests.support.crash.cover import Covered, cover_pairs, cover_run, harness, recover_all
from tests.support.crash.harness import every, is_unsettled
from tests.support.crash.trail import distinct
from tests.support.mail_server import Desk
from tests.support.warehouse import Job

RUN_EVERY = 30
IMPALA_EVERY = 16
OTHER_KINDS_EVERY = 6
ROLLBACK_EVERY = 2
SEED = 20210401
PAIRS = 5


class DeathsAnywhere:
    """Subclasses say the ``mode``."""

    mode: str

    def test_after_a_death_anywhere_in_a_run_every_day_is_whole(self, job: Job, covered: Covered) -> None:
        made = harness(job, self.mode)
        worlds = distinct(made.first_run(), fine=True)
        covered(f"{self.mode} parquet external", cover_run(made, worlds, run_every=RUN_EVERY))

    @pytest.mark.parametrize(
        ("kind", "managed"),
        [pytest.param("parquet", True, marks=pytest.mark.thorough), ("text", False)],
        ids=["parquet managed", "text external"],
    )
    def test_after_a_death_in_a_run_on_another_kind_of_table_every_day_is_whole(
        self, job: Job, covered: Covered, kind: str, managed: bool
    ) -> None:
        made = harness(job, self.mode, kind, managed=managed)
        # The points are those of the first kind; rows are laid out and files dropped in another way.
        worlds = list(every(distinct(made.first_run(), fine=False), OTHER_KINDS_EVERY))
        what = f"{kind} {'managed' if managed else 'external'}"
        covered(f"{self.mode} {what}", cover_run(made, worlds, run_every=RUN_EVERY))

    def test_after_a_power_cut_anywhere_in_a_run_every_day_is_whole(self, job: Job, covered: Covered) -> None:
        made = harness(job, self.mode)
        followed = made.first_run(power_cuts=True)
        worlds = [world for world in distinct(followed, fine=True) if world.point.startswith("power cut")]
        sides = recover_all(made, worlds)
        covered(f"{self.mode} power cuts", f"{len(worlds)} worlds, {sides['old']} taken back, {sides['new']} forward")

    def test_after_a_death_with_impala_and_the_desk_every_day_is_whole(
        self, job: Job, impala: ImpalaDouble, desk: Desk, covered: Covered
    ) -> None:
        made = harness(job, self.mode, impala=impala)
        assert job("run", "--dates", "2021-04-04").code == 3
        made.start = made.world("a ticket is open")
        # The table passes through the same as without Impala and mail, which only make more points of it.
        worlds = list(every(distinct(made.first_run(), fine=False), IMPALA_EVERY))
        assert [mail["Subject"].split("]")[1].split()[0] for mail in desk.mails] == ["FAILED", "RECOVERED:"]
        covered(f"{self.mode} with Impala and mail", cover_run(made, worlds, run_every=RUN_EVERY))

    def test_after_a_death_anywhere_in_a_rollback_every_day_is_whole(self, job: Job, covered: Covered) -> None:
        made = harness(job, self.mode)
        made.first_run()
        # A rollback puts old data back as a failed run does, whose points are all covered above.
        worlds = list(every(distinct(made.follow("rollback", job.record()["run_id"]), fine=False), ROLLBACK_EVERY))
        sides = recover_all(made, worlds)
        assert set(sides) == {"old", "new"}
        covered(f"{self.mode} rollback", f"{len(worlds)} worlds, {sides['old']} old after recover, {sides['new']} new")

    @pytest.mark.parametrize("command", ["run", "rollback"])
    def test_after_a_death_anywhere_in_a_recovery_every_day_is_whole(
        self, job: Job, command: str, covered: Covered
    ) -> None:
        made = harness(job, self.mode)
        worlds = made.first_run()
        if command == "rollback":
            worlds = made.follow("rollback", job.record()["run_id"])
        chosen = [world for world in worlds if is_unsettled(world)][-1]
        made.put_back(chosen)
        followed = distinct(made.follow("recover"), fine=True)
        side = {"run": "new", "rollback": "old"}[command]
        for number, world in enumerate(followed):
            made.check_readers(world)
            made.put_back(world)
            assert made.recover_here(world, twice=number % 4 == 0, interrupted=True)[0] == side, world.point
        covered(f"{self.mode} recover after {command}", f"{len(followed)} worlds, all {side}")

    def test_after_two_deaths_in_a_row_every_day_is_whole(self, job: Job, covered: Covered) -> None:
        made = harness(job, self.mode)
        worlds = distinct(made.first_run(), fine=False)
        covered(f"{self.mode} seed {SEED}", cover_pairs(made, worlds, PAIRS, random.Random(SEED)))
