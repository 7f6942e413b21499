"""The months of the usage trend: made from all their days, and restated after days have changed."""

from __future__ import annotations

import json

import pytest

from devtools.impala_double import ImpalaDouble
from tests.support.usage_trend import Trend
from tests.support.warehouse import LISTED, Job

MARCH, APRIL = "2021-03", "2021-04"


@pytest.fixture
def trend(job: Job) -> Trend:
    return Trend(job)


@pytest.mark.parametrize(("kind", "mode"), [("parquet", "swap"), ("text", "drop_and_load")])
def test_a_month_is_made_from_all_its_days(job: Job, trend: Trend, impala: ImpalaDouble, mode: str, kind: str) -> None:
    job.create_final(kind)
    job.use_impala(impala)
    trend.settings["publish"] = {"mode": mode}

    done = trend("run", "--dates", f"{LISTED[0]}..{LISTED[1]}")

    assert done.code == 0, done.err
    assert "raw = staging = final = Impala on 1 month" in done.out
    assert trend.rows() == trend.expected(APRIL)
    assert max(row[-2] for row in trend.rows()) > 2, "made from all days of April, of which two were named"
    assert trend("run", "--month", "2021-03").code == 0
    assert trend.rows() == trend.expected(MARCH, APRIL)
    assert trend("run", "--month", "2021-05").code == 0, "final has no day of May: it is cleared"


def test_months_follow_their_days(job: Job, trend: Trend, impala: ImpalaDouble) -> None:
    job.create_final()
    job.use_impala(impala)
    trend.write_config()

    planned = job("run", "--dry-run")
    assert f"Afterwards restates {APRIL} of {trend.table}." in planned.out
    done = job("run")

    assert done.code == 0, done.err
    assert "raw = staging = final = Impala on all 3 days" in done.out
    assert "raw = staging = final = Impala on 1 month" in done.out
    assert trend.rows() == trend.expected(APRIL)
    (record,) = trend.records()
    assert record["caused_by"] == job.record()["run_id"]
    told = [statement["sql"] for statement in [*job.record()["impala"], *record["impala"]]]
    assert told.index(f"INVALIDATE METADATA {trend.table}") > told.index(f"REFRESH {job.final}")
    assert json.loads(job("status", "--json").out)["pending_dependants"] == {}

    taken_back = job("rollback", job.record()["run_id"])

    assert taken_back.code == 0, taken_back.err
    assert trend.rows() == trend.expected(APRIL), "made from the old days again"
    assert len(trend.records()) == 2


def test_a_month_that_cannot_follow_is_pending_until_it_has(job: Job, trend: Trend) -> None:
    job.create_final()
    trend.settings["audit"] = {"max_change_pct": 0.0}
    trend.write_config()
    assert trend("run", "--month", APRIL).code == 0, "the trend of the old days"
    before = trend.rows()

    failed = job("run")

    assert failed.code == 1
    told = failed.err.splitlines()[-1]
    assert "new data is in place for 3 partitions, but what is made from these days is not restated" in told
    assert f"{trend.table}: {APRIL}: " in told
    assert "max_change_pct" in told
    assert f"Next: traffic-aggr recover --config {job.home / 'config.yaml'}" in told
    assert job.record()["outcome"] == "success"
    assert job.status()["MNAAS_job_status"] == "Success"
    assert trend.rows() == before
    status = job("status")
    assert f"{trend.table} may be older than its days: {APRIL} is pending" in status.out
    assert "Next: traffic-aggr recover" in status.out

    trend.settings["audit"] = {"max_change_pct": None}
    trend.write_config()
    recovered = job("recover")

    assert recovered.code == 0, recovered.err
    assert trend.rows() == trend.expected(APRIL) != before
    assert "pending" not in job("status").out


def test_a_run_without_days_restates_what_is_pending(job: Job, trend: Trend) -> None:
    job.create_final()
    trend.settings["partitions"] = {"max_per_run": 1}
    trend.write_config()
    (job.home / "state").mkdir()
    (job.home / "state" / "pending.json").write_text(json.dumps({"version": 1, "pending": {trend.table: [APRIL]}}))
    (job.home / "partitions.txt").write_text("")
    job.settings["partitions"] = {"empty_list": "ok"}

    done = job("run")

    assert done.code == 0, done.err
    assert "nothing to restate" in done.out
    assert trend.rows() == trend.expected(APRIL)


def test_an_unreadable_list_of_what_is_pending_stops_the_run_before_anything_changes(job: Job, trend: Trend) -> None:
    job.create_final()
    (job.home / "state").mkdir()
    (job.home / "state" / "pending.json").write_text("{")
    before = job.content(LISTED)

    failed = job("run")

    assert failed.code == 1
    assert f"cannot read {job.home}/state/pending.json" in failed.err.splitlines()[-1]
    assert job.content(LISTED) == before
