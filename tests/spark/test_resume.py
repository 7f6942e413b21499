"""Failing, resuming, and Impala that does not do what it should."""

from __future__ import annotations

import shutil

import pytest

from devtools.impala_double import DROP, HANG, LOSE_ANSWER, ImpalaDouble, Refuse
from tests.support.warehouse import LISTED, Job
from traffic_aggr.restate.publish import Publisher
from traffic_aggr.run.record import RunRecord


def statements_of(job: Job) -> list[str]:
    return [sent["sql"] for sent in job.record()["impala"]]


@pytest.mark.quick
def test_a_refusal_after_staging_puts_old_data_back_and_the_next_run_publishes_what_is_staged(
    job: Job, impala: ImpalaDouble
) -> None:
    job.create_final()
    job.use_impala(impala)
    before = job.content(LISTED)
    impala.plan("ExecuteStatement", Refuse("no privilege"), when=lambda sql: sql.endswith(str(job.staging)))

    failed = job("run")

    assert failed.code == 1
    assert "no privilege" in failed.err
    assert "old data is back in place" in failed.err
    assert job.content(LISTED) == before
    assert job.status()["MNAAS_job_status"] == "Failure"
    assert job.status()["MNAAS_Daily_ProcessStatusFlag"] == "2"
    first = job.record()["run_id"]

    resumed = job("run")

    assert resumed.code == 0, resumed.err
    assert [step["name"] for step in job.record()["steps"]] == ["stage", "load"]
    assert job.record()["resumes"] == first
    assert len(job.content(LISTED)) == len(job.sources.expected())


def test_a_final_refresh_that_fails_leaves_the_new_data_and_the_next_run_only_refreshes(
    job: Job, impala: ImpalaDouble
) -> None:
    job.create_final()
    job.use_impala(impala)
    seen = []

    def second_refresh_of_final(sql: str) -> bool:
        if sql == f"REFRESH {job.final}":
            seen.append(sql)
        return len(seen) > 1

    impala.plan("ExecuteStatement", Refuse("catalog is busy"), times=None, when=second_refresh_of_final)

    failed = job("run")

    assert failed.code == 1
    assert "new data is in place for 3 partitions" in failed.err
    new = job.content(LISTED)
    assert len(new) == len(job.sources.expected())
    assert job.status()["MNAAS_Daily_ProcessStatusFlag"] == "3"
    impala.clear_faults()
    published = job.partitions()

    resumed = job("run")

    assert resumed.code == 0, resumed.err
    assert "only refreshes and verifies" in resumed.err
    assert job.content(LISTED) == new
    assert job.partitions() == published
    assert job.record()["changes"] == []
    assert [each for each in statements_of(job) if "SELECT" not in each] == [f"REFRESH {job.final}"]


def test_no_coordinator_at_all_is_found_before_anything_is_touched(job: Job, impala: ImpalaDouble) -> None:
    job.create_final()
    job.use_impala(impala, hosts=["127.0.0.1:1"])
    before = job.content(LISTED)

    failed = job("run")

    assert failed.code == 1
    assert "nothing was touched" in failed.err
    assert job.content(LISTED) == before


@pytest.mark.parametrize("how", [DROP, LOSE_ANSWER], ids=["dropped", "answer-lost"])
def test_a_lost_connection_is_tried_again_and_the_run_succeeds(job: Job, impala: ImpalaDouble, how: object) -> None:
    job.create_final()
    job.use_impala(impala, hosts=["127.0.0.1:1", str(impala)], sync_ddl=False)
    job.settings["impala"]["retry"]["attempts"] = 4
    impala.plan("ExecuteStatement", how, when=lambda sql: sql.startswith("REFRESH"))  # type: ignore[arg-type]

    result = job("run")

    assert result.code == 0, result.err
    assert max(sent["attempts"] for sent in job.record()["impala"]) > 1


def test_a_coordinator_that_hangs_is_left_after_the_limit(job: Job, impala: ImpalaDouble) -> None:
    job.create_final()
    job.use_impala(impala, timeout_s=1)
    before = job.content(LISTED)
    impala.plan("ExecuteStatement", HANG, times=None, when=lambda sql: sql.startswith("REFRESH"))

    failed = job("run")

    assert failed.code == 1
    assert "putting the old data of 3 days back" in failed.err
    assert job.content(LISTED) == before


def test_impala_that_sees_something_else_than_was_loaded_fails_the_run(job: Job, impala: ImpalaDouble) -> None:
    directory = job.create_final()
    job.use_impala(impala)
    source = job.home / "one-more.parquet"
    shutil.copy(next((directory / f"partition_date={LISTED[0]}").glob("*.parquet")), source)

    def another_writer_adds_a_file(sql: str) -> bool:
        target = directory / f"partition_date={LISTED[0]}" / "part-foreign.parquet"
        if sql.startswith("REFRESH") and job.record()["publication"] == "published" and not target.exists():
            shutil.copy(source, target)
        return False

    impala.plan("ExecuteStatement", Refuse(""), when=another_writer_adds_a_file)

    failed = job("run")

    assert failed.code == 1
    assert f"Impala does not see what was loaded: {LISTED[0]} rows" in failed.err
    assert "new data is in place" in failed.err

    # What Impala saw then is no word of a run that does not ask it.
    (directory / f"partition_date={LISTED[0]}" / "part-foreign.parquet").unlink()
    job.settings["impala"] = {"enabled": False}
    resumed = job("run")

    assert resumed.code == 0, resumed.err
    read = f"(raw as run {job.record()['resumes']} read it)"
    assert f"raw = staging = final (Impala asked for raw alone) on all 3 days {read}\n" in resumed.out
    assert all("impala" not in totals for totals in job.record()["totals"].values())


def test_new_data_that_reads_back_as_something_else_is_taken_back(
    job: Job, impala: ImpalaDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = job.create_final()
    job.use_impala(impala)
    before = job.content(LISTED)
    publish = Publisher.publish

    def publish_and_meet_another_writer(self: Publisher, record: RunRecord) -> None:
        publish(self, record)
        first, second = (directory / f"partition_date={day}" for day in LISTED[:2])
        shutil.copy(next(first.glob("*.parquet")), second / "part-foreign.parquet")

    monkeypatch.setattr(Publisher, "publish", publish_and_meet_another_writer)

    failed = job("run")

    assert failed.code == 1
    assert f"the final table differs from staging: {LISTED[1]} rows" in failed.err
    assert "old data is back in place" in failed.err
    assert job.content(LISTED) == before
    assert job.record()["impala"][-1]["sql"] == f"REFRESH {job.final} PARTITION (partition_date='{LISTED[-1]}')"


@pytest.mark.parametrize(
    ("step", "steps"),
    [
        ("drop", ["drop", "stage", "load"]),
        ("stage", ["stage", "load"]),
        ("load", ["stage", "load"]),  # nothing is staged that could be loaded
    ],
)
def test_from_step_chooses_where_to_start(job: Job, step: str, steps: list[str]) -> None:
    job.create_final()

    result = job("run", "--from-step", step)

    assert result.code == 0, result.err
    assert [each["name"] for each in job.record()["steps"]] == steps
    assert len(job.content(LISTED)) == len(job.sources.expected())


def test_a_flag_set_by_hand_chooses_where_to_start(job: Job) -> None:
    job.create_final()
    (job.home / "status").write_text("MNAAS_Daily_ProcessStatusFlag=2\n")

    assert job("run").code == 0

    assert [each["name"] for each in job.record()["steps"]] == ["stage", "load"]


def test_a_hook_runs_after_the_load_and_its_failure_is_a_warning(job: Job) -> None:
    job.create_final()
    marker = job.home / "hooked"
    job.settings["hooks"] = {"after_load": [["touch", str(marker)], ["false"]]}

    result = job("run")

    assert result.code == 0
    assert marker.exists()
    assert "hook false failed" in result.err
