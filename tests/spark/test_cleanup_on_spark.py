"""Deleting what nothing needs any more, on real tables."""

from __future__ import annotations

import pytest

from tests.spark.warehouse import LISTED, UNLISTED, Job


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
    assert old.exists()
    done = job("cleanup")
    assert done.code == 0, done.err
    assert not old.exists()
    assert job.content((*LISTED, *UNLISTED)) == content
    assert job("cleanup").out == "nothing to delete\n"
    refused = job("rollback", run_id)
    assert refused.code == 3
    assert "was deleted by `cleanup`" in refused.err


def test_cleanup_keeps_what_a_rollback_needs(job: Job) -> None:
    job.create_final()
    before = job.content(LISTED)
    assert job("run").code == 0

    assert job("cleanup").out == "nothing to delete\n"

    assert job("rollback", job.record()["run_id"]).code == 0
    assert job.content(LISTED) == before
