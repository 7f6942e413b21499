"""
Whole sets of worlds, each given to the next command; and how many those were.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Optional

from devtools.impala_double import ImpalaDouble
from tests.support.crash.harness import Harness, every, is_published, is_unsettled, record_of
from tests.support.crash.trail import World
from tests.support.warehouse import LISTED, UNLISTED, Job

PARAMETERS = {"reviewed_by": "ana", "numRows": "9", "COLUMN_STATS_ACCURATE": '{"BASIC_STATS":"true"}'}
"""Of each partition of the old final table: one that its owner has set, and statistics of the old files."""

Covered = Callable[[str, str], None]
"""Tells what a test has covered, at the end of pytest's output: where, and what."""


def harness(
    job: Job, mode: str, kind: str = "parquet", *, managed: bool = False, impala: Optional[ImpalaDouble] = None
) -> Harness:
    """The job in one mode on a table of one kind."""
    job.create_final(kind, managed=managed)
    job.alter([*LISTED, *UNLISTED], PARAMETERS)
    job.settings["publish"] = {"mode": mode}
    if impala is not None:
        impala._service._cache.invalidate_all()
        job.use_impala(impala)
    return Harness(job, text=kind == "text", impala=impala)


def recover_all(made: Harness, worlds: Sequence[World]) -> Counter[str]:
    """Has each world recovered; how many were taken back and how many forward."""
    sides: Counter[str] = Counter()
    for number, world in enumerate(worlds):
        made.check_readers(world)
        sides[made.recover(world, twice=number % 4 == 0)] += 1
    return sides


def cover_run(made: Harness, worlds: Sequence[World], *, run_every: int) -> str:
    """
    Recovers every world of a run, and gives every ``run_every``-th to the next run; takes back some that were
    published. What was covered.
    """
    sides = recover_all(made, worlds)
    assert set(sides) == {"old", "new"}, "runs are taken back and forward"
    chosen = list(every(worlds, run_every))
    for world in chosen:
        made.run(world)
    published = [world for world in worlds if is_published(world)]
    taken_back = list(every(published, max(1, len(published) // 3)))
    for world in taken_back:
        record = record_of(world)
        assert record is not None
        made.roll_back(world, record["run_id"])
    return (
        f"{len(worlds)} worlds, {sides['old']} taken back, {sides['new']} forward;"
        f" {len(chosen)} run again, {len(taken_back)} rolled back"
    )


def cover_pairs(made: Harness, worlds: Sequence[World], pairs: int, chance: random.Random) -> str:
    """Deaths of those who come after a death: of ``recover``, or of every fifth time the next ``run``."""
    second: Counter[str] = Counter()
    interrupted = [world for world in worlds if is_unsettled(world)]
    for number in range(pairs):
        world = chance.choice(interrupted if number % 2 else list(worlds))
        made.put_back(world)
        command = "run" if number % 5 == 0 else "recover"
        followers = made.follow(command, effects=0)
        survivor = chance.choice(followers)
        made.check_readers(survivor)
        made.put_back(survivor)
        made.recover_here(survivor, interrupted=is_unsettled(world) and command == "recover")
        second[command] += 1
    return f"{pairs} pairs of deaths, {second['recover']} in recover, {second['run']} in run"
