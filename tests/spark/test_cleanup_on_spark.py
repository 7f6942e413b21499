"""Deleting what nothing needs any more, on real tables."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from devtools.impala_double import ImpalaDouble, Refuse
from tests.support.warehouse import LISTED, UNLISTED, Job


@pytest.mark.parametrize("mode", ["drop_and_load", "swap"])
def test_cleanup_deletes_old_data_and_nothing_that_the_table_needs(job: Job, mode: str) -> None:
    directory = job.create_final()
    job.settings["publish"] = {"mode": mode, "keep_days": 0}
    assert job("run").code == 0
    run_id = job.record()["run_id"]
    content = job.content((*LISTED, *UNLISTED))
    old = directory / (f".traffic_aggr/{run_id}/old" if mode == "drop_and_load" else "") / f"partition_date={LISTED[0]}"
    assert old.exists()

    said = job("cleanup", "--dry-run")

    assert said.code == 0, said.err
    assert f"would delete file:{old}\n" in said.out
    assert re.search(rf"^run {run_id}: 3 partitions, [\d.]+ KiB in \d+ directories$", said.out, re.M), said.out
    found = json.loads(job("cleanup", "--dry-run", "--json").out)
    assert (found["version"], found["dry_run"], found["kept"]) == (1, True, [])
    (removed,) = found["removed"]
    assert (removed["run_id"], removed["partitions"], removed["bytes"] > 1024) == (run_id, 3, True)
    assert [f"would delete {name}" for name in removed["names"]] == said.out.splitlines()[1:]
    assert old.exists()
    done = job("cleanup")
    assert done.code == 0, done.err
    assert not old.exists()
    assert job.content((*LISTED, *UNLISTED)) == content
    assert job("cleanup").out == "nothing to delete\n"
    assert job.record(run_id)["days"][LISTED[0]]["before"]["parameters"] is None
    refused = job("rollback", run_id)
    assert refused.code == 3
    assert "was deleted by `cleanup`" in refused.err


@pytest.mark.parametrize(("mode", "keep_days"), [("drop_and_load", 7), ("swap", 0)])
def test_days_that_are_restated_again_and_again_leave_one_copy_each_once_cleaned(
    job: Job, mode: str, keep_days: int
) -> None:
    directory = job.create_final()
    job.settings["publish"] = {"mode": mode, "keep_days": keep_days}
    for _ in range(2):
        assert job("run").code == 0
        if keep_days:
            end_long_ago(job)
        done = job("cleanup")
        assert done.code == 0, done.err
        said = [Path(line.removeprefix("deleted file:")) for line in done.out.splitlines() if "deleted" in line]
        assert not any(path.exists() for path in said)
        assert 0 < len(said) == len(set(said))
        copies = [path.parent.name for path in directory.rglob("*.parquet")]
        assert sorted(set(copies)) == sorted(f"partition_date={day}" for day in (*LISTED, *UNLISTED))
        assert len({path.parent for path in directory.rglob("*.parquet")}) == len(LISTED) + len(UNLISTED)
    assert job("cleanup").out == "nothing to delete\n"
    left = list((directory / ".traffic_aggr").glob("2*"))
    assert len(left) == (1 if mode == "swap" else 0)


def end_long_ago(job: Job) -> None:
    """Makes all runs so far older than what is kept."""
    for path in job.home.glob("state/runs/*/run.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "ended": "2021-01-01T00:00:00+00:00"}))


def test_cleanup_keeps_what_a_rollback_needs(job: Job) -> None:
    job.create_final()
    before = job.content(LISTED)
    assert job("run").code == 0

    run_id = job.record()["run_id"]
    nothing, kept = job("cleanup").out.splitlines()
    assert nothing == "nothing to delete"
    assert kept.startswith(f"run {run_id}: 3 partitions kept until 20")

    taken_back = job("rollback", run_id, "--json")
    assert taken_back.code == 0
    assert [run["command"] for run in json.loads(taken_back.out)["runs"]] == ["rollback"]
    assert job.content(LISTED) == before


def age(path: Path) -> None:
    """Makes a file or directory look as if it had been left long ago."""
    os.utime(path, (0, 0))


def test_cleanup_removes_what_a_dead_run_left_half_written(job: Job, impala: ImpalaDouble) -> None:
    directory = job.create_final()
    job.use_impala(impala)
    job.settings["publish"] = {"keep_days": 0}
    job.settings["metrics"] = {"textfile": str(job.home / "traffic_aggr.prom")}
    impala.plan("ExecuteStatement", Refuse("no privilege"), when=lambda sql: sql.endswith(str(job.staging)))
    assert job("run").code == 1
    dead = job.record()["run_id"]
    run = directory / ".traffic_aggr" / dead
    attempt = run / "staged" / "_temporary" / "0" / "part-0.parquet"
    attempt.parent.mkdir(parents=True)
    attempt.write_text("half a file")
    left = [
        job.home / "state" / "runs" / dead / ".run.json.12.0123abcd.tmp",
        run / ".recovery.json.12.0123abcd.tmp",
        job.home / ".status.12.0123abcd.tmp",
        job.home / ".traffic_aggr.prom.12.0123abcd.tmp",
    ]
    for path in left:
        path.write_text("{")
        age(path)
    shadow = f"{job.database}.traffic_aggr_adhoc__dead"
    job.spark.sql(f"CREATE EXTERNAL TABLE {shadow} (x INT) LOCATION 'file:{run}/new'")
    record = job.home / "state" / "runs" / dead / "run.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "shadow": shadow}))
    assert job("run", "--from-step", "stage").code == 0
    content = job.content((*LISTED, *UNLISTED))

    said = job("cleanup", "--dry-run").out
    assert job.spark.catalog.tableExists(shadow)
    assert all(path.exists() for path in left)
    done = job("cleanup")

    assert done.code == 0, done.err
    assert done.out == said.replace("would delete", "deleted")
    assert f"deleted table {shadow}\n" in done.out
    assert not job.spark.catalog.tableExists(shadow)
    assert not run.exists()
    assert not any(path.exists() for path in left)
    assert job.content((*LISTED, *UNLISTED)) == content


def test_a_temporary_file_that_may_be_renamed_in_an_instant_stays(job: Job) -> None:
    job.create_final()
    assert job("run").code == 0
    fresh = job.home / ".status.12.0123abcd.tmp"
    fresh.write_text("")

    assert job("cleanup").out.startswith("nothing to delete\n")

    assert fresh.exists()


def test_check_names_what_hides_or_doubles_rows_and_what_mends_it(job: Job) -> None:
    directory = job.create_final()
    hidden = directory / "partition_date=2021-05-01"
    shutil.copytree(directory / f"partition_date={LISTED[0]}", hidden)
    uncommitted = directory / "_temporary" / "0"
    uncommitted.mkdir(parents=True)
    (uncommitted / "part-0").write_text("x")
    job.settings["publish"] = {"mode": "swap"}
    assert job("run").code == 0

    found = job("check")

    assert found.code == 0, found.err
    warnings = [line for line in found.out.splitlines() if line.startswith("warn")]
    assert [line.split(" ", 2)[2].split(" holds")[0].rsplit("/", 1)[1] for line in warnings] == [
        "_temporary",
        *(f"partition_date={day}" for day in LISTED[:2]),
        hidden.name,
    ]
    assert f"ALTER TABLE {job.final} ADD PARTITION (partition_date='2021-05-01')" in warnings[-1]
    assert warnings[1].endswith("traffic-aggr cleanup")
