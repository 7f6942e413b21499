"""Alerts of a run that failed after it had put the old data of a month back, and of one that succeeded a day later."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tests.support.fakes import RUN_ID, run_record
from traffic_aggr.config.config import JobConfig
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.host.alerts import Alert, failure_alert, recovery_alert
from traffic_aggr.run.record import Day, Next, Outcome, Publication, RunRecord, StepRecord

DAYS = [Partition(f"2021-04-{day:02d}") for day in range(1, 31)]
LOG = ["02:02:01 INFO starting", "02:41:00 ERROR the disk is full"]
JOB = JobConfig()
LATER = "20210505T020200Z-def456"


def failed(**values: Any) -> RunRecord:
    return run_record(
        **{
            "host": "edge-1",
            "steps": [StepRecord("load", "2021-05-04T02:30:00.000+00:00")],
            "error": "the disk is full",
            "partitions": DAYS,
            "days": {day: Day(f"/final/{day}", f"/old/{day}") for day in DAYS},
            "publication": Publication.RESTORED,
            "outcome": Outcome.FAILED,
            "next": Next("traffic-aggr run --config conf/yarn.yaml"),
            **values,
        }
    )


def failure(job: JobConfig = JOB, log_tail: Sequence[str] = LOG, **values: Any) -> Alert:
    record = failed(**values)
    return dataclasses.replace(failure_alert(job, record, record, log_tail), created="2021-05-04T02:41:00.000+00:00")


def recovery() -> Alert:
    days = {day: Day(f"/final/{day}", f"/old/{day}", new=f"/staged/{day}") for day in DAYS}
    record = run_record(LATER, host="edge-2", partitions=DAYS, days=days, publication=Publication.PUBLISHED)
    return dataclasses.replace(recovery_alert(JOB, record, [RUN_ID]), created="2021-05-05T02:41:00.000+00:00")
