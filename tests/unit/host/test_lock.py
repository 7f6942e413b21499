from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from traffic_aggr.errors import LockHeldError, StateError
from traffic_aggr.host.holder import Holder, process_start_time
from traffic_aggr.host.lock import FileLock, is_held, read_holder

PROCESSES = multiprocessing.get_context("fork")
SINCE = "2021-05-04T02:02:00Z"


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "lock")


@pytest.fixture
def jvm() -> Iterator[subprocess.Popen[bytes]]:
    """A process that plays the JVM."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


class Clock:
    """Time that passes only by sleeping; ``then`` happens after that many seconds."""

    def __init__(self, after: float = float("inf"), then: Callable[[], object] = lambda: None) -> None:
        self.now = 0.0
        self._after, self._then = after, then

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self._after:
            self._after = float("inf")
            self._then()


def holder(run_id: str = "20210504T020200Z-abc123") -> Holder:
    return Holder.this_process(run_id, "run --month 2021-04", SINCE)


def lock_at(path: str, clock: Clock | None = None, **of_holder: Any) -> FileLock:
    clock = clock or Clock()
    return FileLock(path, dataclasses.replace(holder(), **of_holder), clock=clock, sleep=clock.sleep)


def leave_behind(path: str, **of_holder: Any) -> Holder:
    """What a run that was killed leaves: its name in a file that nobody has locked."""
    left = dataclasses.replace(holder("20210503T020200Z-dead00"), pid=99_999_999, pid_started=1, **of_holder)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_text(left.to_json() + "\n")
    return left


def hold_until_killed(path: str, ready: Any) -> None:
    FileLock(path, holder("20210503T020200Z-held00")).acquire()
    ready.set()
    time.sleep(600)


@contextlib.contextmanager
def held_by_another_process(path: str) -> Iterator[Any]:
    ready = PROCESSES.Event()
    process = PROCESSES.Process(target=hold_until_killed, args=(path, ready))
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()
    process.join()


# ---- holders


def test_a_holder_survives_its_json() -> None:
    full = dataclasses.replace(holder(), jvm_pid=7, jvm_started=8, application_id="application_1_2")
    assert Holder.from_json(full.to_json()) == full


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"pid": "x"}', "\x00\x00", "[" * 100_000],
    ids=["empty", "torn", "list", "null", "no fields", "wrong type", "zeros", "deep"],
)
def test_anything_else_is_no_holder(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path))
    Path(path).write_text(text)
    assert read_holder(path) is None


def test_every_cut_of_a_holder_is_no_holder_but_a_longer_old_tail_does_not_matter(path: str) -> None:
    os.makedirs(os.path.dirname(path))
    line = holder().to_json()
    for length in range(len(line)):
        Path(path).write_text(line[:length])
        assert read_holder(path) is None
    Path(path).write_text(line + "\n" + '"since": "2021"}\n')
    assert read_holder(path) == holder()


def test_a_missing_file_names_nobody_and_is_not_held(path: str) -> None:
    assert (read_holder(path), is_held(path)) == (None, False)


def test_start_time_is_that_of_the_process_and_none_once_it_is_gone() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        started = process_start_time(process.pid)
        assert started is not None
        assert started == process_start_time(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process_start_time(process.pid) is None, "a zombie"
    assert process_start_time(process.pid) is None


def test_start_time_is_found_behind_a_name_with_parentheses_and_blanks(tmp_path: Path) -> None:
    program = tmp_path / "a) R (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "600"]) as process:
        expected = process_start_time(os.getpid())
        started = process_start_time(process.pid)
        process.kill()
    assert expected is not None
    assert started is not None
    assert expected <= started < expected + 100 * 3600 * 24


# ---- taking and letting go


def test_a_held_lock_names_its_holder_and_a_released_one_nobody(path: str) -> None:
    lock = lock_at(path)
    with lock:
        assert (is_held(path), read_holder(path)) == (True, holder())
        lock.assert_held()
    assert (is_held(path), read_holder(path), os.path.exists(path)) == (False, None, True)


def test_file_and_directory_are_private(path: str) -> None:
    with lock_at(path):
        modes = [stat.S_IMODE(os.stat(p).st_mode) for p in (path, os.path.dirname(path))]
    assert modes == [0o600, 0o700]


def test_a_released_lock_can_be_taken_again(path: str) -> None:
    lock = lock_at(path)
    for _ in range(2):
        with lock:
            lock.assert_held()
    lock.release()


def test_a_held_lock_is_refused_at_once_naming_the_holder_and_what_to_do(path: str) -> None:
    clock = Clock()
    with held_by_another_process(path) as process, pytest.raises(LockHeldError) as caught:
        lock_at(path, clock).acquire()
    assert caught.value.exit_code == 75
    host = socket.gethostname()
    for part in (
        "20210503T020200Z-held00",
        "run --month 2021-04",
        f"pid {process.pid}",
        f"on {host}",
        "since 2021-05-04 07:32:00 UTC+05:30",
        "traffic-aggr status",
        f"kill {process.pid}",
    ):
        assert part in str(caught.value)
    assert clock.now < 1


@pytest.mark.parametrize("scheme", ["file:", "file://"])
def test_a_file_uri_is_the_same_lock_as_the_plain_path(path: str, scheme: str) -> None:
    with lock_at(f"{scheme}{path}") as lock:
        assert (is_held(path), read_holder(f"{scheme}{path}")) == (True, holder())
        lock.assert_held()


def test_a_refused_run_leaves_the_holders_name(path: str) -> None:
    with held_by_another_process(path) as process:
        with pytest.raises(LockHeldError):
            lock_at(path).acquire()
        found = read_holder(path)
    assert found is not None
    assert found.pid == process.pid


def test_a_killed_holder_frees_the_lock(path: str) -> None:
    with held_by_another_process(path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with lock_at(path):
            assert read_holder(path) == holder()


def race(path: str, start: Any, results: Any, done: Any) -> None:
    lock = FileLock(path, holder())
    start.wait()
    try:
        lock.acquire()
        lock.assert_held()
        results.put(True)
        done.wait(120)
    except LockHeldError:
        results.put(False)


def test_of_a_hundred_racing_starts_exactly_one_wins(path: str) -> None:
    start, results, done = PROCESSES.Barrier(100), PROCESSES.Queue(), PROCESSES.Event()
    racers = [PROCESSES.Process(target=race, args=(path, start, results, done)) for _ in range(100)]
    for racer in racers:
        racer.start()
    wins = sum(results.get(timeout=120) for _ in racers)
    done.set()
    for racer in racers:
        racer.join()
    assert wins == 1


def test_asking_whether_it_is_held_never_makes_a_start_fail(path: str) -> None:
    with lock_at(path):
        pass
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            is_held(path)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(200):
            with FileLock(path, holder()):
                pass
    finally:
        done.set()
        asking.join()


def test_child_processes_do_not_inherit_the_lock(path: str) -> None:
    lock = lock_at(path)
    lock.acquire()
    with subprocess.Popen(["sleep", "600"], close_fds=False) as child:
        lock.release()
        assert not is_held(path)
        child.kill()


@pytest.mark.parametrize("content", [b"garbage", b'{"run_id": "2021', b"\xff\x00", b"\n"])
def test_content_that_is_no_holder_does_not_keep_a_free_lock(path: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(path))
    Path(path).write_bytes(content * 1000)
    with lock_at(path):
        assert read_holder(path) == holder()


@pytest.mark.parametrize("kind", ["directory", "file as parent"])
def test_a_lock_file_that_cannot_be_used_is_an_error_that_names_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "lock"
    if kind == "directory":
        path.mkdir()
    else:
        path.touch()
        path = path / "lock"
    with pytest.raises(StateError, match=str(path)):
        lock_at(str(path)).acquire()


# ---- the JVM of a holder that is gone


def test_the_jvm_is_named_beside_the_driver(path: str, jvm: subprocess.Popen[bytes]) -> None:
    with lock_at(path) as lock:
        lock.name_jvm(jvm.pid, "application_1_2")
        found = read_holder(path)
        lock.assert_held()
    assert found is not None
    assert (found.jvm_pid, found.jvm_started, found.application_id) == (
        jvm.pid,
        process_start_time(jvm.pid),
        "application_1_2",
    )


def test_a_living_jvm_is_waited_for_and_then_named(path: str, jvm: subprocess.Popen[bytes]) -> None:
    left = leave_behind(path, jvm_pid=jvm.pid, jvm_started=process_start_time(jvm.pid))
    clock = Clock()
    with pytest.raises(LockHeldError, match=rf"driver of run {left.run_id} .* is gone, but its JVM, pid {jvm.pid}"):
        lock_at(path, clock).acquire()
    assert 60 <= clock.now < 63
    assert jvm.poll() is None, "it must not be killed"
    assert read_holder(path) == left
    assert not is_held(path)


def test_a_jvm_that_ends_meanwhile_frees_the_lock(path: str, jvm: subprocess.Popen[bytes]) -> None:
    leave_behind(path, jvm_pid=jvm.pid, jvm_started=process_start_time(jvm.pid))
    clock = Clock(after=5, then=jvm.kill)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        time.sleep(0.01)

    with FileLock(path, holder(), clock=clock, sleep=sleep):
        assert clock.now >= 5
        assert read_holder(path) == holder()


def test_a_start_while_another_waits_is_refused_without_advice_to_kill_a_dead_driver(
    path: str, jvm: subprocess.Popen[bytes]
) -> None:
    left = leave_behind(path, jvm_pid=jvm.pid, jvm_started=process_start_time(jvm.pid))
    messages = []

    def second_start() -> None:
        with pytest.raises(LockHeldError) as caught:
            lock_at(path).acquire()
        messages.append(str(caught.value))
        jvm.kill()
        jvm.wait()

    with lock_at(path, Clock(after=3, then=second_start)):
        pass
    assert "held by a starting run" in messages[0]
    assert f"kill {left.pid}" not in messages[0]


@pytest.mark.parametrize(
    "of_holder",
    [{"jvm_pid": os.getpid(), "jvm_started": 1}, {"jvm_pid": os.getpid(), "jvm_started": None}, {"jvm_pid": None}],
    ids=["pid reused", "start unknown", "none"],
)
def test_a_process_that_is_not_the_holders_jvm_is_not_waited_for(path: str, of_holder: dict[str, Any]) -> None:
    leave_behind(path, **of_holder)
    clock = Clock()
    with lock_at(path, clock):
        assert clock.now == 0


def test_a_jvm_on_another_host_cannot_be_seen_and_so_is_never_presumed_dead(path: str) -> None:
    leave_behind(path, host="edge-2", jvm_pid=4711, jvm_started=1)
    with pytest.raises(LockHeldError, match=r"4711.*edge-2"):
        lock_at(path).acquire()


def test_a_holder_on_another_host_that_had_no_jvm_yet_is_gone_with_its_flock(path: str) -> None:
    leave_behind(path, host="edge-2")
    with lock_at(path) as lock:
        lock.assert_held()


# ---- still held?


def remove(path: str) -> None:
    os.unlink(path)


def replace_with_a_copy(path: str) -> None:
    content = Path(path).read_bytes()
    os.unlink(path)
    Path(path).write_bytes(content)


def name_another(path: str) -> None:
    Path(path).write_text(holder("20210505T020200Z-other0").to_json() + "\n")


def empty(path: str) -> None:
    Path(path).write_text("")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (remove, "was removed"),
        (replace_with_a_copy, "was removed or replaced"),
        (name_another, "names another holder"),
        (empty, "names another holder"),
    ],
)
def test_a_lock_that_was_lost_is_noticed(path: str, harm: Callable[[str], None], said: str) -> None:
    with lock_at(path) as lock:
        harm(path)
        with pytest.raises(LockHeldError, match=said):
            lock.assert_held()
        with pytest.raises(LockHeldError, match=said):
            lock.name_jvm(os.getpid())


def test_a_lock_never_taken_is_not_held(path: str) -> None:
    with pytest.raises(LockHeldError, match="is not held"):
        lock_at(path).assert_held()


def test_letting_go_of_a_lock_that_another_run_has_taken_leaves_its_name(path: str) -> None:
    lock = lock_at(path)
    lock.acquire()
    name_another(path)
    lock.release()
    found = read_holder(path)
    assert found is not None
    assert found.run_id == "20210505T020200Z-other0"


def test_readers_see_a_whole_holder_while_facts_are_added(path: str, jvm: subprocess.Popen[bytes]) -> None:
    reader = (
        "import sys\nfrom traffic_aggr.host.lock import read_holder\nprint('up', flush=True)\n"
        "while sys.stdin.readline(): print(sum(read_holder(sys.argv[1]) is None for _ in range(50)), flush=True)"
    )
    with (
        lock_at(path) as lock,
        subprocess.Popen(
            [sys.executable, "-c", reader, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        unreadable = 0
        for number in range(20):
            process.stdin.write("\n")
            process.stdin.flush()
            for _ in range(10):
                lock.name_jvm(jvm.pid, "application_1_2" * (number % 3))
            unreadable += int(process.stdout.readline())
        process.stdin.close()
    assert unreadable == 0


def test_the_content_is_one_line_of_json(path: str) -> None:
    with lock_at(path):
        content = Path(path).read_text()
    assert content.count("\n") == 1
    assert json.loads(content)["run_id"] == holder().run_id


def test_an_application_that_outlives_its_launcher_keeps_the_lock(path: str) -> None:
    application, clock = "application_1620093720000_0007", Clock()
    running = {application}
    gone = dataclasses.replace(holder(), pid=2**22 + 1, application_id=application)
    Path(path).parent.mkdir(parents=True)
    Path(path).write_text(f"{gone.to_json()}\n")

    def lock(**options: Any) -> FileLock:
        return FileLock(path, holder("20210504T030000Z-fffff0"), runs=running.__contains__, **options)

    with pytest.raises(LockHeldError, match=f"its application {application} still lives.*yarn application -kill"):
        lock(clock=clock, sleep=clock.sleep).acquire()
    assert clock.now == 60
    waiting = Clock(after=3, then=running.clear)
    with lock(clock=waiting, sleep=waiting.sleep):
        assert waiting.now == 3
