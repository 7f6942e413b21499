"""A few of the deaths that `make test-crash` goes through one by one."""

from __future__ import annotations

import pytest

from tests.support.crash.cover import harness
from tests.support.crash.harness import every, is_unsettled
from tests.support.crash.trail import distinct
from tests.support.warehouse import Job


@pytest.mark.parametrize("mode", ["drop_and_load", "swap"])
@pytest.mark.quick
def test_after_a_death_in_a_run_every_day_is_whole(job: Job, mode: str) -> None:
    made = harness(job, mode)
    worlds = distinct(made.first_run(power_cuts=True), fine=False)
    for world in worlds:
        made.check_readers(world)
    unsettled = [world for world in worlds if is_unsettled(world)]
    for world in (*every(worlds, len(worlds) // 4), *every(unsettled, len(unsettled) // 2)):
        made.recover(world)
    made.run(unsettled[len(unsettled) // 2])
