"""Files on the local disk: what every file system has to do, and what is its own."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.support.fakes import run_record
from tests.support.files_behaviour import FilesBehaviour, mode_of, names
from traffic_aggr.files.local import Files, LocalFiles, files_for, write_atomic
from traffic_aggr.host.log_file import DailyFile
from traffic_aggr.host.status_file import StatusFile
from traffic_aggr.run.store import RecordStore
from traffic_aggr.spark.jvm import open_log
from traffic_aggr.traffic.job import TRAFFIC


class TestLocalFiles(FilesBehaviour):
    @pytest.fixture
    def files(self) -> Files:
        return LocalFiles()

    @pytest.fixture(params=["", "file:", "file://"], ids=["plain", "file:/x", "file:///x"])
    def root(self, tmp_path: Path, request: pytest.FixtureRequest) -> str:
        return f"{request.param}{tmp_path}"


def _open_daily_log(directory: Path) -> None:
    DailyFile(directory / "log", keep=1, now=lambda: datetime(2021, 5, 1)).close()


def _open_spark_log(directory: Path) -> None:
    os.close(open_log(directory)[1])


def _update_status_file(directory: Path) -> None:
    StatusFile(str(directory / "status")).update(flag=1)


def _save_record(directory: Path) -> None:
    RecordStore(str(directory), LocalFiles(), TRAFFIC).save(run_record())


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
@pytest.mark.parametrize("make", [_open_daily_log, _open_spark_log, _update_status_file, _save_record])
def test_missing_directories_are_made_private_whatever_the_umask(
    tmp_path: Path, make: Callable[[Path], None], umask: int
) -> None:
    before = os.umask(umask)
    try:
        make(tmp_path / "a/b/c")
    finally:
        os.umask(before)
    assert [mode_of(tmp_path / each) for each in ("a", "a/b", "a/b/c")] == [0o700] * 3


@pytest.mark.parametrize(
    "path", ["hdfs://nn/x", "file://host/x", "s3a:x", ""], ids=["other scheme", "host", "opaque", "empty"]
)
def test_a_path_that_is_not_local_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"local|host|empty"):
        LocalFiles().exists(path)


def test_a_file_that_vanishes_while_listing_does_not_make_the_directory_look_missing(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "there").touch()
    assert names(LocalFiles().list(str(tmp_path))) == ["there"]


def test_a_dangling_link_counts_as_there_so_that_nothing_is_renamed_over_it(tmp_path: Path) -> None:
    (tmp_path / "day").symlink_to(tmp_path / "gone")
    (tmp_path / "new").mkdir()
    with pytest.raises(FileExistsError):
        LocalFiles().rename(str(tmp_path / "new"), str(tmp_path / "day"))


def _create(path: str, number: int, start: Any, results: Any) -> None:
    start.wait()
    try:
        LocalFiles().create_exclusive(path, str(number).encode())
        results.put(number)
    except FileExistsError:
        results.put(None)


def test_of_many_racing_creators_exactly_one_wins_and_its_content_stays(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(20), context.Queue()
    racers = [context.Process(target=_create, args=(str(tmp_path / "owner"), n, start, results)) for n in range(20)]
    for racer in racers:
        racer.start()
    winners = [number for number in (results.get(timeout=60) for _ in racers) if number is not None]
    for racer in racers:
        racer.join()
    assert [str(number).encode() for number in winners] == [(tmp_path / "owner").read_bytes()]


def test_a_reader_sees_the_old_or_the_new_content_and_never_a_part(tmp_path: Path) -> None:
    path = str(tmp_path / "record")
    contents = [letter * 200_000 for letter in (b"a", b"b")]
    write_atomic(path, contents[0])
    seen = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(Path(path).read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(40):
        write_atomic(path, contents[number % 2])
    done.set()
    reader.join()
    assert seen <= set(contents)


def test_a_failed_write_leaves_the_old_content_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomic(str(tmp_path / "record"), b"old")

    def full(descriptor: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(str(tmp_path / "record"), b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"record": b"old"}


def test_a_writer_killed_at_any_moment_leaves_whole_content_and_well_known_leftovers(tmp_path: Path) -> None:
    path = tmp_path / "record"
    write_atomic(str(path), b"0" * 300_000)
    loop = "import sys; from traffic_aggr.files.local import write_atomic\nprint('up', flush=True)\n"
    loop += "while True:\n  for digit in b'0123456789': write_atomic(sys.argv[1], bytes([digit]) * 300_000)"
    for delay in (0.003, 0.011, 0.023):
        with subprocess.Popen([sys.executable, "-c", loop, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(delay)
            writer.kill()
        content = path.read_bytes()
        assert (len(content), len(set(content))) == (300_000, 1)
        leftovers = [found.name for found in tmp_path.iterdir() if found != path]
        assert all(name.startswith(f".record.{writer.pid}.") and name.endswith(".tmp") for name in leftovers)
        for name in leftovers:
            (tmp_path / name).unlink()


def test_only_paths_of_other_file_systems_ask_for_hadoop() -> None:
    hadoop = LocalFiles()

    def unwanted() -> NoReturn:
        raise AssertionError("asked for Hadoop")

    for path in ("/x", "relative/x", "file:/x", "FILE:///x"):
        assert isinstance(files_for(path, unwanted), LocalFiles)
    assert files_for("hdfs://nn/x", lambda: hadoop) is hadoop
