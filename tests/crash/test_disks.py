"""Disks that fill up, turn read-only or lose directories while the job runs."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.crash.disk import Disk
from tests.support.warehouse import LISTED, UNLISTED, Job, Result
from traffic_aggr.restate import context, execute, steps
from traffic_aggr.run.plan import Step

pytestmark = pytest.mark.crash

MODES = ("drop_and_load", "swap")
MISHAPS: dict[str, Callable[[Disk], None]] = {"full": Disk.fill, "read-only": Disk.make_read_only}
# Hadoop and Hive do not say why they could not make a directory, only which.
REASONS = {
    "full": "No space left on device",
    "read-only": "Read-only file system|Mkdirs failed to create|unable to create",
}
ROOM_FOR_A_LOCK = 16384
IN_PLACE = ("old data is back in place", "old data is in place")
UNSETTLED = ("may be missing from the table", "may have old data or new")

every_mode = pytest.mark.parametrize("mode", MODES)
every_mishap = pytest.mark.parametrize("mishap", MISHAPS)
mode_and_mishap = pytest.mark.parametrize(("mode", "mishap"), [("swap", "full"), ("drop_and_load", "read-only")])


@pytest.fixture
def make_disk() -> Iterator[Callable[[Path], Disk]]:
    made: list[Disk] = []

    def make(path: Path) -> Disk:
        made.append(Disk(path))
        return made[-1]

    yield make
    for disk in made:
        disk.take_away()


@pytest.fixture
def table_disk(job: Job, make_disk: Callable[[Path], Disk]) -> Disk:
    """The disk that the final table's root is to lie on."""
    return make_disk(job.home / "a ware house")


@pytest.fixture
def state_disk(job: Job, make_disk: Callable[[Path], Disk]) -> Disk:
    return make_disk(job.home / "state")


def before_calling(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, event: Callable[[], object]) -> None:
    """Has the outside world do something, once, just before the product calls one of its functions."""
    function, pending = getattr(where, name), [event]

    def call(*arguments: Any, **named: Any) -> Any:
        if pending:
            pending.pop()()
        return function(*arguments, **named)

    monkeypatch.setattr(where, name, call)


def before_step(monkeypatch: pytest.MonkeyPatch, step: Step, event: Callable[[], object]) -> None:
    carry_out = execute.STEPS[step]

    def call(work: steps.Work) -> None:
        event()
        carry_out(work)

    monkeypatch.setitem(execute.STEPS, step, call)


def assert_failed(job: Job, result: Result, reason: str, before: list[str]) -> None:
    """Exit 1 with a line that names the reason, and old data in place wherever that line says so."""
    assert result.code == 1, result.err
    assert "Traceback" not in result.err
    last = result.err.splitlines()[-1]
    assert re.search(reason, last), last
    assert any(state in last for state in (*IN_PLACE, *UNSETTLED))
    if any(state in last for state in IN_PLACE):
        assert job.content(LISTED) == before
    assert job.status()["MNAAS_job_status"] == "Failure"


def assert_next_run_goes_through(job: Job, unlisted: list[str]) -> Result:
    result = job("run")
    assert result.code == 0, result.err
    found = Counter(tuple(row) for row in job.final_rows().collect())
    assert found == Counter(job.sources.expected())
    assert job.content(UNLISTED) == unlisted
    assert job.status()["MNAAS_job_status"] == "Success"
    return result


@mode_and_mishap
def test_old_data_comes_back_when_staging_cannot_be_written(
    job: Job, table_disk: Disk, monkeypatch: pytest.MonkeyPatch, mode: str, mishap: str
) -> None:
    job.create_final()
    job.settings["publish"] = {"mode": mode}
    before, unlisted = job.content(LISTED), job.content(UNLISTED)
    before_calling(monkeypatch, steps, "write_parquet", lambda: MISHAPS[mishap](table_disk))

    failed = job("run")

    assert_failed(job, failed, REASONS[mishap], before)
    if mishap == "full" or mode == "swap":
        assert job.content(LISTED) == before
    table_disk.mend()
    assert_next_run_goes_through(job, unlisted)


@every_mode
def test_a_disk_without_room_for_the_new_data_refuses_the_run_before_anything_changes(
    job: Job, table_disk: Disk, mode: str
) -> None:
    job.create_final()
    job.settings["publish"] = {"mode": mode}
    before, unlisted, partitions = job.content(LISTED), job.content(UNLISTED), job.partitions()
    table_disk.fill(leaving=ROOM_FOR_A_LOCK)

    refused = job("run")

    assert refused.code == 3, refused.err
    assert "space: " in refused.err
    assert re.search(r"final has .+ left, and the new data needs about .+ beside the old", refused.err)
    assert job.content(LISTED) == before
    assert job.partitions() == partitions
    table_disk.mend()
    assert_next_run_goes_through(job, unlisted)


@every_mishap
def test_old_data_comes_back_when_the_rewrite_for_a_text_table_cannot_be_written(
    job: Job, table_disk: Disk, monkeypatch: pytest.MonkeyPatch, mishap: str
) -> None:
    job.create_final("text")
    before, unlisted = job.content(LISTED), job.content(UNLISTED)
    before_calling(monkeypatch, steps, "_write_shadow", lambda: MISHAPS[mishap](table_disk))

    failed = job("run")

    assert_failed(job, failed, REASONS[mishap], before)
    if mishap == "full":
        assert job.content(LISTED) == before
    table_disk.mend()
    assert_next_run_goes_through(job, unlisted)


@mode_and_mishap
def test_nothing_changes_when_the_copy_of_the_record_cannot_be_written(
    job: Job, table_disk: Disk, monkeypatch: pytest.MonkeyPatch, mode: str, mishap: str
) -> None:
    job.create_final()
    job.settings["publish"] = {"mode": mode}
    before, unlisted, partitions = job.content(LISTED), job.content(UNLISTED), job.partitions()
    before_calling(monkeypatch, context, "copy_beside_table", lambda: MISHAPS[mishap](table_disk))

    failed = job("run")

    assert_failed(job, failed, REASONS[mishap], before)
    assert "old data is back in place" in failed.err.splitlines()[-1]
    assert job.content(LISTED) == before
    assert job.partitions() == partitions
    table_disk.mend()
    assert_next_run_goes_through(job, unlisted)


@mode_and_mishap
def test_a_run_whose_record_cannot_be_written_is_settled_by_the_next(
    job: Job, state_disk: Disk, monkeypatch: pytest.MonkeyPatch, mode: str, mishap: str
) -> None:
    job.create_final()
    job.settings["publish"] = {"mode": mode}
    before, unlisted = job.content(LISTED), job.content(UNLISTED)
    before_step(monkeypatch, Step.STAGE, lambda: MISHAPS[mishap](state_disk))

    failed = job("run")

    assert_failed(job, failed, REASONS[mishap], before)
    assert "cannot write the run record" in failed.err.splitlines()[-1]
    state_disk.mend()
    monkeypatch.undo()
    assert_next_run_goes_through(job, unlisted)


def test_a_lost_state_directory_is_made_up_for_by_the_copy_beside_the_table(
    job: Job, state_disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.create_final()
    unlisted = job.content(UNLISTED)
    before_step(monkeypatch, Step.STAGE, state_disk.fill)
    failed = job("run")
    assert failed.code == 1
    assert "may be missing from the table" in failed.err.splitlines()[-1]
    assert job.content(LISTED) == []
    state_disk.take_away()
    monkeypatch.undo()

    result = assert_next_run_goes_through(job, unlisted)

    assert "was interrupted while withdrawn: settling it first" in result.err


def test_a_state_directory_that_vanishes_during_the_run_is_made_again(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.create_final()
    unlisted = job.content(UNLISTED)
    before_step(monkeypatch, Step.LOAD, lambda: shutil.rmtree(job.home / "state"))

    assert_next_run_goes_through(job, unlisted)

    assert job.record()["outcome"] == "success"


@pytest.mark.parametrize("step", [Step.STAGE, Step.LOAD])
def test_a_status_file_that_cannot_be_written_fails_the_run_and_old_data_comes_back(
    job: Job, make_disk: Callable[[Path], Disk], monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    disk = make_disk(job.home / "shared")
    job.create_final()
    job.settings["state"] = {
        "dir": str(job.home / "state"),
        "status_file": str(disk.path / "status"),
        "lock_file": str(job.home / "lock"),
    }
    (job.home / "status").symlink_to(disk.path / "status")
    before, unlisted = job.content(LISTED), job.content(UNLISTED)
    before_step(monkeypatch, Step(step - 1), disk.fill)

    failed = job("run")

    assert failed.code == 1
    last = failed.err.splitlines()[-1]
    assert f"cannot write the status file {disk.path / 'status'}: No space left on device" in last
    assert "old data is back in place" in last
    assert job.content(LISTED) == before
    disk.mend()
    monkeypatch.undo()
    assert_next_run_goes_through(job, unlisted)


@every_mode
def test_staged_data_that_vanishes_before_the_load_fails_the_run_and_old_data_comes_back(
    job: Job, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    directory = job.create_final()
    job.settings["publish"] = {"mode": mode}
    before, unlisted = job.content(LISTED), job.content(UNLISTED)

    def vanish() -> None:
        (staged,) = (directory / ".traffic_aggr").glob("*/staged")
        shutil.rmtree(staged)

    before_step(monkeypatch, Step.LOAD, vanish)

    failed = job("run")

    assert_failed(job, failed, "staged", before)
    assert job.content(LISTED) == before
    monkeypatch.undo()
    assert_next_run_goes_through(job, unlisted)


def test_the_loss_of_the_old_data_that_was_kept_aside_is_told_and_the_next_run_makes_new(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = job.create_final()
    unlisted = job.content(UNLISTED)

    def vanish() -> None:
        (run,) = (each for each in (directory / ".traffic_aggr").iterdir() if each.is_dir())
        shutil.rmtree(run)

    before_step(monkeypatch, Step.LOAD, vanish)

    failed = job("run")

    assert failed.code == 1
    last = failed.err.splitlines()[-1]
    assert "old data is back" not in last
    assert f"the old data of {LISTED[0]}" in last
    assert "Traceback" not in failed.err
    monkeypatch.undo()
    assert_next_run_goes_through(job, unlisted)


def test_a_partition_whose_directory_is_missing_is_made_anew(job: Job) -> None:
    directory = job.create_final()
    job.settings["publish"] = {"mode": "swap"}
    unlisted = job.content(UNLISTED)
    shutil.rmtree(directory / f"partition_date={LISTED[0]}")

    assert_next_run_goes_through(job, unlisted)


def test_a_table_whose_root_is_gone_gets_its_listed_days(job: Job) -> None:
    directory = job.create_final()
    shutil.rmtree(directory)

    result = job("run")

    assert result.code == 0, result.err
    assert Counter(tuple(row) for row in job.final_rows().collect()) == Counter(job.sources.expected())
