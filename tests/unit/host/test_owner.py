"""
Owner files: who gets them, from whom they are taken over, and who finds out. Real files, a resource manager that says
what the test wants it to.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from traffic_aggr.errors import LockHeldError, StateError
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.host.holder import Holder
from traffic_aggr.host.owner import OwnerFile

PROCESSES = multiprocessing.get_context("fork")
SINCE = "2021-05-04T02:02:00Z"
APPLICATION = "application_1620093720000_0007"


def here(run_id: str = "20210504T020200Z-abc123") -> Holder:
    return Holder.this_process(run_id, "run", SINCE)


def elsewhere(**values: object) -> Holder:
    return dataclasses.replace(here("20210504T010000Z-0ld000"), **{"host": "edge2", "pid": 99, "jvm_pid": 98, **values})


@pytest.fixture
def running() -> set[str]:
    """The applications that the resource manager says have not ended."""
    return set()


@pytest.fixture
def owner(tmp_path: Path, running: set[str]) -> Callable[..., OwnerFile]:
    def make(holder: Holder | None = None, **options: object) -> OwnerFile:
        options = {"runs": running.__contains__, "sleep": lambda seconds: None, "wait_s": 0, **options}
        return OwnerFile(str(tmp_path), LocalFiles(), holder or here(), **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def dead() -> Iterator[Holder]:
    """A holder on this host whose driver is gone; its JVM lives until the test ends it."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield dataclasses.replace(here("20210504T010000Z-0ld000"), pid=2**22 + 1).with_jvm(process.pid, None)
        process.kill()


def left_by(holder: Holder, directory: Path, number: int = 3) -> None:
    (directory / f"owner.{number}").write_text(f"{holder.to_json()}\n")


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_first_owner_file_is_number_one_and_names_the_holder(
    tmp_path: Path, owner: Callable[..., OwnerFile]
) -> None:
    with owner() as lock:
        lock.assert_held()
        assert Holder.from_json((tmp_path / "owner.1").read_text()) == lock.holder
    assert (tmp_path / "owner.1").read_text() == ""


def test_the_next_holder_takes_the_next_number_and_removes_the_last(
    tmp_path: Path, owner: Callable[..., OwnerFile]
) -> None:
    for _ in range(3):
        with owner():
            pass
    assert names(tmp_path) == ["owner.3"]


def test_whoever_comes_while_it_is_held_is_told_by_whom(owner: Callable[..., OwnerFile]) -> None:
    with owner() as lock:
        with pytest.raises(LockHeldError, match=f"held by run {lock.holder.run_id}.*kill {lock.holder.pid}"):
            owner(here("20210504T030000Z-fffff0")).acquire()
        lock.assert_held()


def test_a_holder_elsewhere_without_an_application_is_never_presumed_gone(
    tmp_path: Path, owner: Callable[..., OwnerFile]
) -> None:
    left_by(elsewhere(), tmp_path)
    with pytest.raises(LockHeldError, match=r"on edge2.*if nothing of it lives on edge2, remove .*owner\.3"):
        owner().acquire()


def test_a_holder_elsewhere_is_gone_when_the_resource_manager_says_that_its_application_has_ended(
    tmp_path: Path, owner: Callable[..., OwnerFile], running: set[str]
) -> None:
    left_by(elsewhere(application_id=APPLICATION), tmp_path)
    running.add(APPLICATION)
    with pytest.raises(LockHeldError, match=f"yarn application -kill {APPLICATION}"):
        owner().acquire()
    running.clear()
    with owner():
        assert names(tmp_path) == ["owner.4"]


def test_what_the_resource_manager_cannot_say_is_an_error(tmp_path: Path, owner: Callable[..., OwnerFile]) -> None:
    def silent(application_id: str) -> bool:
        raise StateError("YARN's resource manager: no answer")

    left_by(elsewhere(application_id=APPLICATION), tmp_path)
    with pytest.raises(StateError, match="no answer"):
        owner(runs=silent).acquire()


def test_a_later_attempt_of_the_same_application_takes_over_from_the_one_before(
    tmp_path: Path, owner: Callable[..., OwnerFile], running: set[str]
) -> None:
    running.add(APPLICATION)
    left_by(elsewhere(application_id=APPLICATION, attempt=1), tmp_path)
    second = dataclasses.replace(here(), application_id=APPLICATION, attempt=2)
    with owner(second):
        third = dataclasses.replace(here("20210504T030000Z-fffff0"), application_id=APPLICATION, attempt=1)
        with pytest.raises(LockHeldError):
            owner(third).acquire()


def test_a_driver_of_this_host_that_is_gone_still_has_the_lock_while_its_jvm_lives(
    tmp_path: Path, owner: Callable[..., OwnerFile], dead: Holder
) -> None:
    left_by(dead, tmp_path)
    with pytest.raises(LockHeldError, match=f"kill {dead.jvm_pid}"):
        owner().acquire()


def test_the_end_of_that_jvm_is_waited_for(tmp_path: Path, owner: Callable[..., OwnerFile], dead: Holder) -> None:
    left_by(dead, tmp_path)

    def end_the_jvm(seconds: float) -> None:
        subprocess.run(["kill", "-9", str(dead.jvm_pid)], check=True)
        while Path(f"/proc/{dead.jvm_pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            pass

    with owner(wait_s=60, sleep=end_the_jvm):
        assert names(tmp_path) == ["owner.4"]


def test_a_holder_that_was_passed_over_finds_out(tmp_path: Path, owner: Callable[..., OwnerFile]) -> None:
    lock = owner()
    lock.acquire()
    (tmp_path / "owner.1").unlink()
    with pytest.raises(LockHeldError, match="was removed"):
        lock.assert_held()
    left_by(here("20210504T030000Z-fffff0"), tmp_path, number=2)
    with pytest.raises(LockHeldError, match=r"was followed by owner\.2"):
        lock.assert_held()
    lock.release()
    assert (tmp_path / "owner.2").read_text(), "what another one holds is not let go of"


def test_a_look_at_the_directory_that_was_out_of_date_gives_nobody_the_lock(
    tmp_path: Path, owner: Callable[..., OwnerFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    left_by(here("20210504T020500Z-aaaaaa"), tmp_path, number=7)
    late = owner(here("20210504T030000Z-fffff0"))
    look, out_of_date = late._numbers, [[]]
    monkeypatch.setattr(late, "_numbers", lambda: out_of_date.pop() if out_of_date else look())
    with pytest.raises(LockHeldError, match="held by run 20210504T020500Z-aaaaaa"):
        late.acquire()
    assert names(tmp_path) == ["owner.7"]


def test_content_that_names_no_holder_is_not_taken_for_a_free_lock(
    tmp_path: Path, owner: Callable[..., OwnerFile]
) -> None:
    (tmp_path / "owner.1").write_text("{}\n")
    with pytest.raises(LockHeldError, match="names no holder"):
        owner().acquire()


def test_a_directory_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lock = OwnerFile(str(tmp_path / "file"), LocalFiles(), here(), runs=lambda application_id: False)
    with pytest.raises(StateError, match="cannot use the lock in"):
        lock.acquire()


def test_of_many_that_race_for_a_lock_left_by_a_dead_run_one_gets_it(
    tmp_path: Path, owner: Callable[..., OwnerFile]
) -> None:
    left_by(elsewhere(application_id=APPLICATION), tmp_path)
    start, got, lost = threading.Barrier(40), [], []

    def race(number: int) -> None:
        lock = owner(here(f"20210504T030000Z-{number:06x}"))
        start.wait()
        try:
            lock.acquire()
            got.append(lock)
        except LockHeldError:
            lost.append(number)

    runners = [threading.Thread(target=race, args=(number,)) for number in range(40)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert (len(got), len(lost)) == (1, 39)
    got[0].assert_held()
    got[0].release()


def test_processes_that_take_turns_never_hold_it_together(tmp_path: Path) -> None:
    inside = PROCESSES.Value("i", 0)

    def work(number: int) -> None:
        turns = 0
        while turns < 5:
            lock = OwnerFile(str(tmp_path), LocalFiles(), here(f"20210504T030000Z-{number:06x}"), runs=bool)
            try:
                lock.acquire()
            except LockHeldError:
                continue
            with inside.get_lock():
                inside.value += 1
                assert inside.value == 1
            lock.assert_held()
            with inside.get_lock():
                inside.value -= 1
            lock.release()
            turns += 1

    workers = [PROCESSES.Process(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
