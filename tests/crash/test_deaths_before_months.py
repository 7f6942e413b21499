"""Deaths between the days and the months that are made from them."""

from __future__ import annotations

import json

import pytest

from tests.support.crash.cover import Covered, harness
from tests.support.crash.harness import every
from tests.support.crash.trail import World, distinct
from tests.support.usage_trend import Trend
from tests.support.warehouse import Job

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1800)]

APRIL = "2021-04"
WORLDS = 6


def is_pending(world: World) -> bool:
    found = world.files.get("state/pending.json")
    return found is not None and json.loads(found.content or b"")["pending"] != {}


@pytest.mark.parametrize("command", ["run", pytest.param("rollback", marks=pytest.mark.thorough)])
def test_after_a_death_before_the_months_have_followed_recover_makes_them_from_the_days(
    job: Job, command: str, covered: Covered
) -> None:
    made = harness(job, "swap")
    trend = Trend(job)
    trend.create()
    assert trend("run", "--month", APRIL).code == 0
    trends = {"old": trend.expected(APRIL)}
    made.start = made.world("the trend is of the old days")
    worlds = distinct(made.first_run(), fine=False)
    trends["new"] = trend.expected(APRIL)
    assert trend.rows() == trends["new"] != trends["old"]
    if command == "rollback":
        worlds = distinct(made.follow("rollback", job.record()["run_id"]), fine=False)
        assert trend.rows() == trends["old"]

    pending = [world for world in worlds if is_pending(world)]
    assert not is_pending(worlds[0])
    assert not is_pending(worlds[-1])
    chosen = list(every(pending, len(pending) // WORLDS))
    sides = []
    for world in chosen:
        made.put_back(world)
        side, after = made.recover_here(world, twice=False)
        sides.append(side)
        assert trend.rows() == trends[side], world.point
        assert not is_pending(after), world.point

    assert set(sides) == ({"old", "new"} if command == "run" else {"old"})
    covered(f"months after {command}", f"{len(chosen)} of {len(pending)} worlds, all whole after recover")
