"""
What the service desk is told: that a run failed, which opens a ticket, and that a later one succeeded.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

from traffic_aggr.clock import parse_timestamp, timestamp
from traffic_aggr.config.config import JobConfig
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.run.definition import JobDefinition
from traffic_aggr.run.record import Next, RunRecord
from traffic_aggr.run.result import day_states, days_in_words
from traffic_aggr.units import local_zone

FAILURE = "failure"
RECOVERY = "recovery"


@dataclass(frozen=True)
class Alert:
    """
    An alert to the service desk.

    ``kind`` is ``failure`` or ``recovery``, ``created`` is ISO 8601 in UTC. ``failure_run_ids`` of a recovery are the
    runs whose failures it ends, oldest first.
    """

    kind: str
    run_id: str
    subject: str
    body: str
    created: str
    failure_run_ids: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, line: str) -> Alert:
        """Parses what ``to_json`` writes. Raises ValueError for anything else."""
        found = json.loads(line)
        if not isinstance(found, dict) or not set(found) <= {field.name for field in dataclasses.fields(cls)}:
            raise ValueError("not an alert")
        try:
            alert = cls(**{**found, "failure_run_ids": tuple(found.get("failure_run_ids", ()))})
        except TypeError as exc:
            raise ValueError(str(exc)) from exc
        required = (alert.kind, alert.run_id, alert.subject, alert.body, alert.created, *alert.failure_run_ids)
        if not all(isinstance(value, str) for value in required):
            raise ValueError("not an alert")
        parse_timestamp(alert.created)
        return alert

    def to_json(self) -> str:
        """The alert as one line of JSON."""
        return json.dumps(dataclasses.asdict(self))


def failure_alert(job: JobConfig, record: RunRecord, concerned: RunRecord, log_tail: Sequence[str] = ()) -> Alert:
    """
    The alert for the failed run of ``record``.

    ``concerned`` is the run whose record says where the data is: ``record``, or an earlier unsettled run. The first
    lines of the body say what happened, whether the data is safe, and what to run.
    """
    step = record.steps[-1].name if record.steps else "preflight"
    days = _days(record.job, concerned.partitions or list(concerned.days) or record.partitions)
    next_ = record.next or Next(record.typed.of("status"))
    body = [
        f"{job.name} FAILED at {step} on {record.host}.",
        f"What happened: {record.error or ''}",
        f"The data: {concerned.data_state}.",
        f"What to run: {next_.command}",
        *([f"What it does: it {next_.does}."] if next_.does else []),
        "",
        f"Run {record.run_id} ({job.script_name}), {days}",
        *(f"  {state}" for state in (days_in_words(concerned), *day_states(concerned))),
    ]
    if log_tail:
        body += ["", f"Last lines of the log, times in {local_zone()}:", *(f"  {line}" for line in log_tail)]
    subject = f"[{job.name}] FAILED at {step}: {days}, {concerned.data_state}"
    return Alert(FAILURE, record.run_id, subject, "\n".join(body), timestamp())


def recovery_alert(job: JobConfig, record: RunRecord, failure_run_ids: Sequence[str]) -> Alert:
    """The alert for a run that succeeded after the failure of one of ``failure_run_ids`` opened a ticket."""
    days = _days(record.job, record.partitions)
    body = [
        f"{job.name} SUCCEEDED on {record.host}; the ticket can be closed.",
        f"The data: {record.data_state}.",
        "",
        f"Run {record.run_id} ({job.script_name}), {days}",
        f"  {days_in_words(record)}",
    ]
    if failure_run_ids:
        body.append(f"It ends the failure of {', '.join(failure_run_ids)}")
    subject = f"[{job.name}] RECOVERED: {days}, {record.data_state}"
    return Alert(RECOVERY, record.run_id, subject, "\n".join(body), timestamp(), tuple(failure_run_ids))


def _days(job: JobDefinition, partitions: Sequence[Partition]) -> str:
    column = job.partition
    if not partitions:
        return f"no {column.unit}s"
    last = f"..{max(partitions)}" if len(partitions) > 1 else ""
    return f"{column.counted(len(partitions))} {min(partitions)}{last}"
