"""
Publishing that dies, or meets an error, at every point there is; and recovery that does, any number of times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import count

import pytest

from tests.support.fakes import Broken
from tests.support.worlds import (
    LISTED,
    NEW_ROWS,
    UNLISTED,
    UNLISTED_TOO,
    Died,
    Process,
    World,
    data_of,
    new_directories,
    old_world,
    owners,
)
from traffic_aggr.errors import LockHeldError
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.run.record import Publication, RunRecord

Action = Callable[[Process, RunRecord], None]


def withdraw(process: Process, record: RunRecord) -> None:
    process.publisher.withdraw(record)


def publish(process: Process, record: RunRecord) -> None:
    for partition, new in new_directories().items():
        record.set_day(partition, dataclasses.replace(record.days[partition], new=new))
    process.publisher.publish(record)


def withdraw_and_publish(process: Process, record: RunRecord) -> None:
    withdraw(process, record)
    publish(process, record)


def restore(process: Process, record: RunRecord) -> None:
    process.publisher.restore(record)


def settle(process: Process, record: RunRecord) -> None:
    """What the next run does with the record as it was saved."""
    if not record.publication.settled:
        process.publisher.settle(record)


beginning = cache(old_world)


@cache
def published_world() -> World:
    world = beginning().copy()
    withdraw_and_publish(Process(world), world.record())
    return world


def swap_beginning() -> World:
    return dataclasses.replace(beginning().copy(), mode="swap")


@cache
def swapped_world() -> World:
    world = swap_beginning()
    publish(Process(world), world.record())
    return world


SCENARIOS = [
    pytest.param(swap_beginning, publish, id="swap"),
    pytest.param(swapped_world, restore, id="swap back"),
    pytest.param(beginning, withdraw, id="withdraw"),
    pytest.param(beginning, withdraw_and_publish, id="withdraw and publish"),
    pytest.param(beginning, publish, id="publish over what is there"),
    pytest.param(published_world, restore, id="restore after publishing"),
]
every_scenario = pytest.mark.parametrize(("start", "action"), SCENARIOS)


def expected(partition: Partition, *, new: bool) -> list[bytes] | None:
    """What a reader shall find for a day, all old or all new."""
    if not new:
        return data_of(beginning(), partition)
    return [f"new {partition}".encode()] if partition in new_directories() else None


def expected_parameters(partition: Partition) -> dict[str, str]:
    """What the owner has set and the job has counted; nothing else holds for new data."""
    counted = {"numRows": str(NEW_ROWS), "STATS_GENERATED_VIA_STATS_TASK": "true"}
    return {**(owners(partition) if partition in beginning().placements else {}), **counted}


def assert_whole(world: World, record: RunRecord) -> None:
    """
    The record says whether the days are new or old, each of them is, other days are untouched, and no file is lost.
    """
    assert record.publication.settled
    new = record.publication is Publication.PUBLISHED
    for partition in LISTED:
        assert data_of(world, partition) == expected(partition, new=new), partition
        if not new:
            assert world.placements.get(partition) == beginning().placements.get(partition), partition
        elif partition in new_directories():
            assert world.placements[partition].parameters == expected_parameters(partition)
    for partition in (UNLISTED, UNLISTED_TOO):
        assert data_of(world, partition) == data_of(beginning(), partition)
        assert world.placements[partition] == beginning().placements[partition]
    assert sorted(world.content.values()) == sorted(beginning().content.values())
    if not new:
        assert world.content == beginning().content


def settled(world: World) -> RunRecord:
    """Lets a new process settle ``world``; the record that it saved."""
    settle(Process(world), world.record())
    return world.record()


def after_each_death(start: Callable[[], World], action: Action) -> Iterator[World]:
    """The different worlds that ``action`` leaves when its process dies before its first effect, after it, ..."""
    known: set[str] = set()
    for effects in count():
        world = start().copy()
        try:
            action(Process(world, dies_after=effects), world.record())
        except Died:
            if world.key not in known:
                known.add(world.key)
                yield world
        else:
            return


@every_scenario
def test_at_no_point_does_a_reader_find_a_part_of_a_day(start: Callable[[], World], action: Action) -> None:
    process = Process(start().copy())
    action(process, process.world.record())
    assert len(process.survivors) > 5
    for world in process.survivors.values():
        for partition in LISTED:
            found = data_of(world, partition)
            assert found in (None, expected(partition, new=False), expected(partition, new=True)), partition


@pytest.mark.parametrize(
    ("start", "action"), [(swap_beginning, publish), (swapped_world, restore)], ids=["swap", "back"]
)
def test_in_swap_mode_no_reader_ever_finds_a_day_missing(start: Callable[[], World], action: Action) -> None:
    process = Process(start().copy())
    action(process, process.world.record())
    days = [day for day in LISTED if data_of(beginning(), day) and day in new_directories()]
    assert days
    for world in process.survivors.values():
        # One request points all of these: never some of them old and others new.
        found = [data_of(world, day) for day in days]
        assert found in ([expected(day, new=new) for day in days] for new in (False, True))


@every_scenario
def test_after_a_death_at_any_point_the_days_can_be_made_whole(start: Callable[[], World], action: Action) -> None:
    deaths = 0
    for world in after_each_death(start, action):
        assert_whole(world, settled(world))
        deaths += 1
    assert deaths > 5


@every_scenario
def test_after_any_number_of_deaths_the_days_can_be_made_whole(start: Callable[[], World], action: Action) -> None:
    world = start().copy()
    process = Process(world)
    action(process, world.record())
    pending, known = list(process.survivors.values()), set(process.survivors)
    while pending:
        world = pending.pop()
        process = Process(world)
        settle(process, world.record())
        assert_whole(world, world.record())
        # Wherever this process might have died, yet another one has to settle.
        pending += [survivor for key, survivor in process.survivors.items() if key not in known]
        known |= set(process.survivors)
    assert len(known) > 5


@every_scenario
def test_after_a_death_and_recovery_the_job_can_be_done_again(start: Callable[[], World], action: Action) -> None:
    for world in after_each_death(start, action):
        record = settled(world)
        if record.publication is Publication.PUBLISHED:
            continue
        publish(Process(world), record)
        assert_whole(world, world.record())
        assert world.record().publication is Publication.PUBLISHED


@every_scenario
def test_after_a_death_and_recovery_what_was_published_can_be_taken_back(
    start: Callable[[], World], action: Action
) -> None:
    for world in after_each_death(start, action):
        record = settled(world)
        restore(Process(world), record)
        assert_whole(world, world.record())


@pytest.mark.parametrize("loses_answer", [False, True], ids=["refused", "done, the answer lost"])
@every_scenario
def test_after_an_error_at_any_point_the_same_process_puts_old_data_back(
    start: Callable[[], World], action: Action, loses_answer: bool
) -> None:
    for number in count():
        world = start().copy()
        record = world.record()
        process = Process(world, fails_at=number, loses_answer=loses_answer)
        try:
            action(process, record)
        except Broken:
            if not record.publication.settled:
                restore(process, record)
            assert_whole(world, record)
        else:
            return


@every_scenario
def test_after_a_death_while_old_data_is_put_back_the_days_can_be_made_whole(
    start: Callable[[], World], action: Action
) -> None:
    known: set[str] = set()
    for number in count():
        world = start().copy()
        record = world.record()
        process = Process(world, fails_at=number)
        try:
            action(process, record)
        except Broken:
            if not record.publication.settled:
                restore(process, record)
        else:
            return
        for key, survivor in process.survivors.items():
            if key not in known:
                known.add(key)
                assert_whole(survivor, settled(survivor))


@every_scenario
def test_the_lock_is_checked_right_before_each_change(start: Callable[[], World], action: Action) -> None:
    process = Process(start().copy())
    action(process, process.world.record())
    assert process.lock_checks > 0
    assert process.unchecked == 0


@every_scenario
def test_a_process_that_lost_its_lock_changes_nothing_more(start: Callable[[], World], action: Action) -> None:
    for checks in count():
        world = start().copy()
        record = world.record()
        process = Process(world, keeps_lock_for=checks)
        try:
            action(process, record)
        except LockHeldError:
            left = world.copy()
            with suppress(LockHeldError):  # where there is something to put back
                restore(process, record)
            assert (world.content, world.placements) == (left.content, left.placements)
            assert_whole(world, settled(world))
        else:
            return
