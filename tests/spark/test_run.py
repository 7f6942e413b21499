"""The job, end to end, on real files, a real metastore and an Impala that sees only what it was told."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Optional

import pytest

from devtools.impala_double import ImpalaDouble
from tests.support.paths import ROOT
from tests.support.warehouse import LISTED, UNLISTED, Job
from traffic_aggr.hive.catalog import HiveTable
from traffic_aggr.restate import steps
from traffic_aggr.traffic.columns import FINAL_COLUMNS

KEYS_OF_EVERY_LINE = {"time", "level", "run_id", "logger", "message", "event"}


def keys_of_events() -> dict[str, set[str]]:
    """What docs/files.md says that each event has."""
    page = (ROOT / "docs" / "files.md").read_text()
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]+ \| (.*`.*) \|$", page[page.index("| event | when | keys |") :], re.MULTILINE
    )
    values = {"success", "failed", "stopped"}
    return {event: set(re.findall(r"`(\w+)`", keys)) - values for event, keys in rows[:6]}


def files(directory: Path, days: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Data files of some partitions with inode and time: equal only if nobody wrote them again."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
        for day in days
        for path in (directory / f"partition_date={day}").rglob("*")
    }


@pytest.mark.parametrize(
    ("kind", "managed", "properties"),
    [
        pytest.param("parquet", False, None, id="external-parquet", marks=pytest.mark.quick),
        pytest.param("text", False, {"external.table.purge": "true"}, id="external-purged-text"),
        pytest.param("parquet", True, None, id="managed-parquet"),
        pytest.param("text", True, None, id="managed-text", marks=pytest.mark.quick),
    ],
)
def test_the_final_table_agrees_with_an_independent_computation(
    job: Job, impala: ImpalaDouble, kind: str, managed: bool, properties: Optional[dict[str, str]]
) -> None:
    directory = job.create_final(kind, managed=managed, properties=properties)
    job.use_impala(impala)
    before = files(directory, UNLISTED)

    result = job("run")

    assert result.code == 0, result.err
    assert job.rows() == job.sources.expected()
    assert files(directory, UNLISTED) == before
    assert {day: f"{directory}/partition_date={day}" for day in (*LISTED, *UNLISTED)} == job.partitions()
    run, log = job.record()["run_id"], job.home / "logs" / "traffic_adhoc_aggr.log"
    first = result.err.splitlines()[0]
    assert first.endswith(f" [{run}] run {run}: {len(LISTED)} days, {LISTED[0]} to {LISTED[-1]}; log: {log}")
    assert f"raw = staging = final = Impala on all {len(LISTED)} days" in result.out
    assert job.status()["MNAAS_job_status"] == "Success"
    assert job.status()["MNAAS_Daily_ProcessStatusFlag"] == "0"


@pytest.mark.quick
def test_the_log_tells_the_run_by_its_events(job: Job) -> None:
    job.create_final()
    job.settings["logs"] = {"format": "json"}

    result = job("run")

    lines = (job.home / "logs" / "traffic_adhoc_aggr.log").read_text().splitlines()
    events = [found for found in map(json.loads, lines) if "event" in found]
    run, steps, days = job.record()["run_id"], ["drop", "stage", "load"], list(LISTED)
    assert {found["run_id"] for found in events} == {run}
    assert [(found["event"], found.get("step")) for found in events] == [
        *(("run_started", None), ("planned", None)),
        *((event, step) for step in steps for event in ("step_started", "step_ended")),
        *([("partition_ended", None)] * len(days)),
        ("run_ended", None),
    ]
    ended = {found["step"]: found for found in events if found["event"] == "step_ended"}
    final = sum(totals["final_after"]["rows"] for totals in job.record()["totals"].values())
    assert [ended[step]["rows"] for step in steps] == [None, final, final]
    assert [found["partition"] for found in events if found["event"] == "partition_ended"] == days
    assert (events[-1]["outcome"], events[-1]["exit_code"], events[-1]["partitions"]) == ("success", 0, len(days))
    for found in events:
        assert set(found) - KEYS_OF_EVERY_LINE == keys_of_events()[found["event"]]
    assert "[1/3] drop: done, " in result.err
    assert f" [{run}] run {run}: success, " in result.err


def test_the_log_tells_of_a_step_that_failed(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.create_final()
    job.settings["logs"] = {"format": "json"}
    monkeypatch.setattr(steps, "_publish", lambda work: 1 // 0)

    assert job("run").code == 1

    lines = (job.home / "logs" / "traffic_adhoc_aggr.log").read_text().splitlines()
    *_, failed, ended = [found for found in map(json.loads, lines) if "event" in found]
    assert (failed["event"], failed["step"], failed["outcome"]) == ("step_ended", "load", "failed")
    assert (ended["event"], ended["outcome"], ended["exit_code"]) == ("run_ended", "failed", 1)


def test_a_second_run_of_the_same_list_changes_no_total_and_no_other_day(job: Job) -> None:
    directory = job.create_final()
    assert job("run").code == 0
    first = job.record()["totals"]
    before = files(directory, UNLISTED)

    assert job("run").code == 0

    second = job.record()["totals"]
    assert {day: totals["final_after"] for day, totals in second.items()} == {
        day: totals["final_after"] for day, totals in first.items()
    }
    assert job.rows() == job.sources.expected()
    assert files(directory, UNLISTED) == before


def test_days_are_staged_a_batch_at_a_time(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_DAYS_AT_ONCE", 2)
    job.create_final()

    result = job("run")

    assert result.code == 0, result.err
    assert job.rows() == job.sources.expected()
    assert all(job.record()["totals"][day]["staging"]["source_rows"] == 150 for day in LISTED)


def test_missing_tables_are_created_as_parquet(job: Job, impala: ImpalaDouble) -> None:
    job.use_impala(impala)

    result = job("run")

    assert result.code == 0, result.err
    assert job.rows() == job.sources.expected()
    found = job.spark.sql(f"DESCRIBE FORMATTED {job.final.quoted}").collect()
    described = {row["col_name"]: row["data_type"] for row in found}
    assert described["Type"] == "EXTERNAL"
    assert "parquet" in described["Serde Library"].lower()


def test_an_old_unpartitioned_text_staging_table_is_honoured(job: Job) -> None:
    job.create_final("text")
    fields = ", ".join(f"{column.name} {column.type}" for column in FINAL_COLUMNS)
    job.spark.sql(
        f"CREATE TABLE {job.staging.quoted} ({fields}, partition_date STRING) ROW FORMAT DELIMITED "
        f"FIELDS TERMINATED BY ';' STORED AS TEXTFILE LOCATION 'file:{job.home}/a ware house/inter'"
    )
    job.spark.sql(f"INSERT INTO {job.staging.quoted} SELECT * FROM {job.final.quoted}")

    result = job("run")

    assert result.code == 0, result.err
    assert job.rows() == job.sources.expected()
    assert job.spark.table(job.staging.quoted).count() == len(job.sources.expected())


def test_a_partition_at_a_place_of_its_own_moves_to_the_standard_one(job: Job, impala: ImpalaDouble) -> None:
    directory = job.create_final()
    elsewhere = job.home / "elsewhere"
    shutil.move(str(directory / f"partition_date={LISTED[0]}"), elsewhere)
    job.spark.sql(
        f"ALTER TABLE {job.final.quoted} PARTITION (partition_date='{LISTED[0]}') SET LOCATION 'file:{elsewhere}'"
    )
    job.use_impala(impala)

    result = job("run")

    assert result.code == 0, result.err
    assert job.rows() == job.sources.expected()
    assert list(elsewhere.glob("*.parquet")), "the old data is kept where it was"
    statements = [sent["sql"] for sent in job.record()["impala"]]
    assert f"REFRESH {job.final} PARTITION (partition_date='{LISTED[0]}')" in statements


def test_stray_files_at_the_standard_place_of_a_missing_day_are_not_counted_twice(job: Job) -> None:
    directory = job.create_final()
    stray = directory / f"partition_date={LISTED[2]}"
    shutil.copytree(directory / f"partition_date={LISTED[0]}", stray)

    result = job("run")

    assert result.code == 0, result.err
    assert job.rows() == job.sources.expected()


def test_an_old_partition_whose_directory_is_gone_counts_as_empty(job: Job) -> None:
    directory = job.create_final()
    shutil.rmtree(directory / f"partition_date={LISTED[1]}")

    result = job("run")

    assert result.code == 0, result.err
    assert "has no directory" in result.err
    assert job.rows() == job.sources.expected()


def test_plan_says_what_would_happen_and_changes_nothing(job: Job) -> None:
    job.create_final()
    before = job.content((*LISTED, *UNLISTED))

    result = job("plan")

    assert result.code == 0, result.err
    assert "drop -> stage -> load" in result.out
    assert all(day in result.out for day in LISTED)
    assert job.content((*LISTED, *UNLISTED)) == before
    assert not (job.home / "state").exists()
    assert not (job.home / "status").exists()
    assert job("run", "--dry-run").out == result.out


def test_rollback_puts_the_old_rows_back_and_touches_no_other_day(job: Job, impala: ImpalaDouble) -> None:
    directory = job.create_final("text")
    job.use_impala(impala)
    before = job.content(LISTED)
    untouched = files(directory, UNLISTED)
    assert job("run").code == 0
    run_id = job.record()["run_id"]

    result = job("rollback", run_id)

    assert result.code == 0, result.err
    assert job.content(LISTED) == before
    assert files(directory, UNLISTED) == untouched
    again = job("rollback", run_id)
    assert again.code == 3
    assert "was rolled back by" in again.err


def test_rollback_is_refused_where_another_writer_changed_a_day(job: Job) -> None:
    directory = job.create_final()
    assert job("run").code == 0
    run_id = job.record()["run_id"]
    extra = directory / f"partition_date={LISTED[0]}" / "part-extra.parquet"
    shutil.copy(next((directory / f"partition_date={LISTED[1]}").glob("*.parquet")), extra)

    result = job("rollback", run_id)

    assert result.code == 3
    assert f"the files of {LISTED[0]}" in result.err
    assert extra.exists()


def test_a_rollback_that_stops_half_way_is_finished_by_recover(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.create_final()
    before = job.content(LISTED)
    assert job("run").code == 0
    run_id = job.record()["run_id"]

    def the_metastore_is_gone(self: HiveTable, placements: object) -> None:
        raise ConnectionError("no metastore")

    with monkeypatch.context() as patch:
        patch.setattr(HiveTable, "add", the_metastore_is_gone)
        failed = job("rollback", run_id)
    assert failed.code == 1
    assert "may be missing from the table, their data is kept" in failed.err

    recovered = job("recover")

    assert recovered.code == 0, recovered.err
    assert job.content(LISTED) == before
    assert job.record(run_id)["rolled_back_by"]


def test_dates_and_month_take_the_place_of_the_configured_list(job: Job) -> None:
    job.create_final()
    others = job.content(LISTED[1:])

    result = job("run", "--dates", LISTED[0])

    assert result.code == 0, result.err
    assert list(job.record()["days"]) == [LISTED[0]]
    assert job.content(LISTED[1:]) == others
    assert "raw has no rows for" in job("plan", "--month", "2021-04").out
