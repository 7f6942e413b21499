"""Kills of the driver, of its JVM, and of both, at named points and at any; and a driver that was suspended."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import duckdb
import pytest

from tests.support.crash.derby import partition_locations
from tests.support.crash.disk import Disk
from tests.support.installation import DAYS, PATIENCE_S, Installation
from tests.support.oracle import expected_rows
from traffic_aggr.clock import timestamp
from traffic_aggr.host.holder import Holder, process_start_time
from traffic_aggr.host.lock import FileLock, is_held, read_holder

pytestmark = pytest.mark.crash

Rows = Counter[tuple[Any, ...]]
UNLISTED = ("2021-03-31", "2021-04-04")
SEED = int(os.environ.get("TRAFFIC_AGGR_TEST_SEED") or time.time())
LONGEST_WORK_S = 9.0
MODES = ("drop_and_load", "swap")


@dataclass
class Scene:
    """An installation, what its final table held when it was made, and what a run makes of the listed days."""

    installation: Installation
    old: dict[str, Rows]
    new: dict[str, Rows]
    mode: str = "drop_and_load"

    @property
    def final(self) -> Path:
        return self.installation.home / "sample" / "final"

    @property
    def lock_file(self) -> Path:
        return self.installation.home / "state" / "run.lock"

    def locations(self, table: str = "traffic_aggr_adhoc") -> dict[str, str]:
        return partition_locations(self.installation.home / "metastore_db", table)

    def state(self) -> str:
        """Whether the listed days are all old or all new to a reader, or what is wrong; unlisted ones are untouched."""
        found = {day: rows_in(Path(where)) for day, where in self.locations().items()}
        for day in UNLISTED:
            assert found[day] == self.old[day], day
        listed = {day: found.get(day, Counter()) for day in DAYS}
        for name, expected in (("old", self.old), ("new", self.new)):
            if all(listed[day] == expected[day] for day in DAYS):
                return name
        return ", ".join(f"{day} has {sum(rows.values())} rows" for day, rows in listed.items())

    def set_mode(self, mode: str) -> None:
        self.mode = mode
        self.installation.configure({"publish": {"mode": mode}})

    def start(self) -> subprocess.Popen[str]:
        step = ("--from-step", "drop") if self.mode == "drop_and_load" else ()
        return self.installation.start("run", *step)

    def jvm_of(self, process: subprocess.Popen[str]) -> Optional[int]:
        """From the moment it is known; a killed run leaves its name in the lock file."""
        holder = read_holder(str(self.lock_file))
        return holder.jvm_pid if holder is not None and holder.pid == process.pid else None

    def run_until(self, reached: Callable[[dict[str, Any]], bool]) -> tuple[subprocess.Popen[str], int]:
        """Starts a run and waits until it got there; the driver and the pid of its JVM."""
        process = self.start()
        self.installation.wait_until(reached, process)
        jvm: int = self.installation.newest_record()["jvm_process_id"]
        return process, jvm

    def run_until_its_jvm_is_known(self) -> tuple[subprocess.Popen[str], int]:
        """Starts a run and waits until its lock names its JVM, before it settles an earlier one."""
        process = self.start()
        self.installation.wait_until(lambda record: self.jvm_of(process) is not None, process)
        jvm = self.jvm_of(process)
        assert jvm is not None
        return process, jvm

    def writes_staging(self, record: dict[str, Any]) -> bool:
        return bool(record.get("jvm_process_id")) and any(
            self.final.glob(f".traffic_aggr/{record['run_id']}/staged/_temporary")
        )

    def run_to_the_end(self) -> None:
        """The next run goes through, and every day is new."""
        code, out, err = self.installation.run("run")
        assert code == 0, err
        assert "raw = staging = final" in out
        assert self.state() == "new"
        assert "MNAAS_Daily_ProcessStatusFlag=0" in self.installation.status()


def rows_in(directory: Path) -> Rows:
    files = [str(path) for path in directory.glob("*.parquet")]
    return Counter(
        duckdb.execute("SELECT * FROM read_parquet(?, hive_partitioning = false)", [files]).fetchall() if files else []
    )


def withdrawn(record: dict[str, Any]) -> bool:
    return bool(record) and record["publication"] == "withdrawn"


def publishing(record: dict[str, Any]) -> bool:
    return bool(record) and record["publication"] == "publishing"


def kill(who: str, process: subprocess.Popen[str], jvm: int) -> None:
    if who in ("JVM", "both"):
        os.kill(jvm, signal.SIGKILL)
    if who in ("driver", "both"):
        process.kill()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    installation = Installation(tmp_path_factory.mktemp("installation"))
    installation.make_sample_data()
    shutil.copytree(installation.home, installation.home.with_name("as-made"), symlinks=True)
    sample = installation.home / "sample"
    rows = expected_rows(sample / "raw", sample / "org_details", sample / "country_lookup", DAYS)
    directories = {day: sample / "final" / f"partition_date={day}" for day in (*DAYS, *UNLISTED)}
    old = {day: rows_in(directory) for day, directory in directories.items()}
    new = {day: Counter(row[:-2] for row in rows if row[-2] == day) for day in DAYS}
    return Scene(installation, old, new)


@pytest.fixture
def scene(made: Scene) -> Scene:
    """The installation as it was made, at the same place: the metastore knows no other."""
    home = made.installation.home
    shutil.rmtree(home)
    shutil.copytree(home.with_name("as-made"), home, symlinks=True)
    made.mode = "drop_and_load"
    return made


FIRST_IN_DROP_AND_LOAD = pytest.mark.parametrize(
    "in_mode", ["drop_and_load", pytest.param("swap", marks=pytest.mark.thorough)], indirect=True
)
FIRST_IN_SWAP = pytest.mark.parametrize(
    "in_mode", ["swap", pytest.param("drop_and_load", marks=pytest.mark.thorough)], indirect=True
)


@pytest.fixture
def in_mode(scene: Scene, request: pytest.FixtureRequest) -> Scene:
    scene.set_mode(request.param)
    return scene


@FIRST_IN_DROP_AND_LOAD
def test_a_driver_whose_jvm_was_killed_ends_with_one_line_and_the_next_run_goes_through(in_mode: Scene) -> None:
    process, jvm = in_mode.run_until(in_mode.writes_staging)

    kill("JVM", process, jvm)
    _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 1
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert "Spark's JVM has ended" in last
    if in_mode.mode == "drop_and_load":
        assert "may be missing from the table, their data is kept" in last
    else:
        assert "old data is in place" in last
        assert in_mode.state() == "old"
    assert "MNAAS_job_status=Failure" in in_mode.installation.status()
    in_mode.run_to_the_end()


@FIRST_IN_SWAP
def test_days_that_were_being_published_are_whole_after_recover_and_new_after_the_next_run(in_mode: Scene) -> None:
    process, jvm = in_mode.run_until(publishing)

    kill("both", process, jvm)
    process.communicate(timeout=PATIENCE_S)

    code, _, err = in_mode.installation.run("recover")
    assert code == 0, err
    assert in_mode.state() in ("old", "new")
    in_mode.run_to_the_end()


def test_a_run_that_starts_at_once_waits_for_the_jvm_of_the_killed_driver(scene: Scene) -> None:
    process, jvm = scene.run_until(withdrawn)
    os.kill(jvm, signal.SIGSTOP)
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    killed = scene.installation.newest_record()

    following = scene.installation.start("run")
    try:
        scene.installation.wait_until(lambda record: is_held(str(scene.lock_file)), following)
        for _ in range(100):
            assert scene.installation.newest_record() == killed, "the next run has begun beside the JVM of the last"
            assert following.poll() is None
            time.sleep(0.05)
    finally:
        os.kill(jvm, signal.SIGCONT)
    scene.installation.wait_until(lambda record: record["run_id"] != killed["run_id"], following)
    assert process_start_time(jvm) is None
    _, err = following.communicate(timeout=PATIENCE_S)

    assert following.returncode == 0, err
    assert scene.state() == "new"


def test_a_suspended_driver_that_lost_its_lock_meanwhile_changes_nothing_more(scene: Scene) -> None:
    process, _ = scene.run_until(scene.writes_staging)
    process.send_signal(signal.SIGSTOP)
    scene.lock_file.unlink()
    with FileLock(str(scene.lock_file), Holder.this_process("20300101T000000Z-abcdef", "run", timestamp())):
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 75
    assert "was removed or replaced" in err
    assert "Traceback" not in err
    assert [day for day in scene.locations() if day in DAYS] == [], "withdrawn before, and nobody else's to put back"
    assert scene.locations("traffic_aggr_adhoc_inter") == {}
    record = scene.installation.newest_record()
    assert record["publication"] == "withdrawn"
    assert record["steps"][-1]["name"] == "stage", "it would have pointed the staging table elsewhere before it noticed"
    scene.run_to_the_end()


def test_a_full_disk_is_named_by_a_driver_whose_jvm_has_ended_by_then(scene: Scene) -> None:
    disk = Disk(scene.final / ".traffic_aggr")
    try:
        scene.installation.configure({"publish": {"mode": "swap"}})
        process, _ = scene.run_until(lambda record: bool(record.get("settled_earlier_runs")))
        disk.fill()
        _, err = process.communicate(timeout=PATIENCE_S)
    finally:
        disk.take_away()

    assert process.returncode == 1
    assert "No space left on device; nothing was touched, old data is in place" in err.splitlines()[-1]
    assert "MNAAS_job_status=Failure" in scene.installation.status()
    assert "No space left on device" in (scene.installation.home / "alerts.jsonl").read_text()
    assert scene.state() == "old"


def test_after_kills_at_any_instants_in_either_mode_the_days_can_be_made_whole(scene: Scene) -> None:
    chance = random.Random(SEED)
    print(f"TRAFFIC_AGGR_TEST_SEED={SEED}")
    for mode in chance.sample(MODES, len(MODES)):
        scene.set_mode(mode)
        process, jvm = scene.run_until_its_jvm_is_known()
        who, delay = chance.choice(["driver", "JVM", "both"]), chance.uniform(0, LONGEST_WORK_S)
        print(f"{mode}: {who} killed {delay:.2f} s after its JVM had started")
        time.sleep(delay)
        if process.poll() is None and process_start_time(jvm) is not None:
            kill(who, process, jvm)
        _, err = process.communicate(timeout=PATIENCE_S)
        assert "Traceback" not in err

    code, _, err = scene.installation.run("recover")
    assert code == 0, err
    assert scene.state() in ("old", "new")
    scene.run_to_the_end()
