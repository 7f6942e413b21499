"""Raw that changes under a run, or between a run and the one that resumes it; and raw that is still being written."""

from __future__ import annotations

import shutil
from pathlib import Path

from devtools.impala_double import ImpalaDouble, Refuse
from tests.support.warehouse import LISTED, Job

FIRST, SECOND, _ = LISTED


def move_raw(job: Job, day: str, source: str) -> Path:
    """Points a day of the test's own raw table to a copy of the files of ``source``; the copy."""
    directory = job.home / "raw" / f"partition_date={day}"
    shutil.copytree(job.sources.root / "raw" / f"partition_date={source}", directory)
    job.spark.sql(
        f"ALTER TABLE {job.database}.traffic_details_raw_daily_with_no_dups PARTITION (partition_date='{day}') "
        f"SET LOCATION 'file:{directory}'"
    )
    return directory


def test_a_file_that_comes_after_raw_was_read_is_said_with_its_day(job: Job, impala: ImpalaDouble) -> None:
    job.create_final()
    job.use_impala(impala)
    raw = move_raw(job, SECOND, SECOND)
    late = next(raw.glob("*.parquet"))

    def arrives(statement: str) -> bool:
        if statement.endswith(str(job.staging)):
            shutil.copy(late, raw / "late.parquet")
        return False

    impala.plan("ExecuteStatement", Refuse("never"), when=arrives)

    result = job("run")

    assert result.code == 0, result.err
    assert f"raw of {SECOND} has changed since it was read" in result.err
    (note,) = (note for note in job.record()["notes"] if "has changed" in note)
    assert SECOND in note
    assert FIRST not in note
    assert job.record()["inputs"][FIRST]["files"] > 0


def test_raw_that_changed_since_it_was_staged_is_staged_again(job: Job, impala: ImpalaDouble) -> None:
    job.create_final()
    job.use_impala(impala)
    impala.plan("ExecuteStatement", Refuse("no privilege"), when=lambda sql: sql.endswith(str(job.staging)))
    assert job("run").code == 1
    staged = job.record()["staged"]
    move_raw(job, FIRST, SECOND)

    resumed = job("run", "--from-step", "load")

    assert resumed.code == 0, resumed.err
    assert [step["name"] for step in job.record()["steps"]] == ["stage", "load"]
    assert f"raw of {FIRST} has changed since run" in " ".join(job.record()["notes"])
    assert job.record()["staged"] != staged
    assert job.final_rows([FIRST]).count() == job.final_rows([SECOND]).count()


def test_a_day_that_somebody_is_writing_is_refused_until_the_writer_is_gone(job: Job) -> None:
    directory = job.create_final()
    raw = move_raw(job, FIRST, FIRST)
    in_raw, in_final = raw / "_temporary" / "0", directory / f"partition_date={SECOND}" / ".hive-staging_hive_1"
    in_raw.mkdir(parents=True)
    in_final.mkdir()
    before = job.content(LISTED)

    refused = job("run")

    assert refused.code == 3
    assert "live_writer: another program seems to be writing" in refused.err
    assert f"{FIRST} in file:{in_raw.parent}" in refused.err
    assert f"{SECOND} in file:{in_final}" in refused.err
    assert job.content(LISTED) == before
    shutil.rmtree(in_raw.parent)
    in_final.rmdir()
    assert job("run").code == 0
