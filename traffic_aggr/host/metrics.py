"""
Metrics of the last run, in a file for node_exporter's textfile collector (Prometheus).

It is the job's only world-readable file, because node_exporter runs as another user. It holds no secrets, and only sums
of the data.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from traffic_aggr.clock import parse_timestamp
from traffic_aggr.files.local import os_error, write_atomic
from traffic_aggr.run.definition import JobDefinition
from traffic_aggr.run.record import DayTotals, Outcome, Publication, RunRecord
from traffic_aggr.run.result import differences
from traffic_aggr.run.totals import Totals

log = logging.getLogger(__name__)

PREFIX = "traffic_aggr_"
PUBLIC_FILE = 0o644

_LAST_SUCCESS = "last_success_timestamp_seconds"
_MAX_CHARACTERS = 64 * 1024


@dataclass(frozen=True)
class Metric:
    """One value; ``name`` lacks the common prefix."""

    name: str
    help: str
    value: Union[int, float]


def write_metrics(path: Path, job_name: str, record: RunRecord, concerned: RunRecord) -> None:
    """
    Replaces the metrics with those of a run that has ended; a failure is only a warning.

    ``concerned`` is the run whose record says where the data is: ``record``, or an earlier interrupted run that is not
    settled yet. Does not create the directory: it is node_exporter's, which could not read one with our permissions.
    """
    try:
        before = _own_text(path)
        write_atomic(str(path), render_metrics(record, concerned, job_name, before).encode(), PUBLIC_FILE)
    except (OSError, ValueError) as exc:
        log.warning("the metrics could not be written: %s; the run is what it was without them", exc)


def render_metrics(record: RunRecord, concerned: RunRecord, job_name: str, before: str = "") -> str:
    """
    Returns the file's content, in Prometheus's text format.

    ``before`` is its old content, which supplies the time of the last success when this run is not one.
    """
    # Not `job`: Prometheus sets that label itself at every scrape.
    labels = f'{{job_name="{_escaped(job_name)}"}}'
    lines = []
    for metric in _metrics(record, concerned, _last_success(before, labels)):
        name = PREFIX + metric.name
        lines += [f"# HELP {name} {metric.help}", f"# TYPE {name} gauge", f"{name}{labels} {metric.value}"]
    return "\n".join(lines) + "\n"


def _metrics(record: RunRecord, concerned: RunRecord, last_success: float) -> Iterator[Metric]:
    started = _seconds(record.started)
    ended = _seconds(record.ended) if record.ended else started
    published = record.publication is Publication.PUBLISHED
    totals = [record.totals.get(partition, DayTotals()) for partition in record.days]
    wrong = (_found_wrong(record.job, of_day) for of_day in totals)
    differing = [difference for difference in wrong if difference is not None]
    if record.outcome is Outcome.SUCCESS:
        last_success = ended
    yield Metric(_LAST_SUCCESS, "When the last successful run ended; 0 if there was none.", last_success)
    yield Metric("last_run_start_timestamp_seconds", "When the last run started.", started)
    yield Metric("last_run_end_timestamp_seconds", "When the last run ended, whether it succeeded or failed.", ended)
    yield Metric("last_run_duration_seconds", "How long the last run took.", round(ended - started, 3))
    yield Metric("last_run_exit_code", "Exit code of the last run; 0 is success.", record.exit_code or 0)
    yield Metric(
        "last_run_restated_partitions",
        "Days that the last run published, cleared or verified.",
        len(record.days) if published else 0,
    )
    yield Metric(
        "last_run_loaded_rows",
        "Rows of the new data that the last run put in place.",
        sum(each.final_after.rows for each in totals if each.final_after) if published else 0,
    )
    yield Metric(
        "last_run_unsettled_partitions",
        "Days that may be missing, or new beside old ones, until the next run or recover.",
        0 if concerned.publication.settled else len(concerned.days),
    )
    yield Metric(
        "last_run_differing_partitions",
        "Days whose usage or costs in raw were others than in the final table.",
        len(differing),
    )
    headline = record.job.headline
    yield Metric(
        f"last_run_usage_difference_{headline.unit.value}",
        f"{headline.in_text.capitalize()} by which raw and the final table differed, summed over days without sign.",
        sum(differing),
    )
    yield Metric(
        "last_run_unreconciled_partitions",
        "Days whose totals differ between raw, staging, final and Impala as the last run left or refused them.",
        sum(bool(differences(record.job, partition, of_day)) for partition, of_day in zip(record.days, totals)),
    )
    yield Metric("last_run_impala_statements", "Statements that the last run had for Impala.", len(record.impala))
    yield Metric(
        "last_run_impala_attempts",
        "Attempts that these took; more than statements means that some were sent again.",
        sum(int(sent["attempts"]) for sent in record.impala),
    )


def _found_wrong(job: JobDefinition, totals: DayTotals) -> Optional[int]:
    """
    The headline total by which a day's old data differs from raw, without sign.

    0 when only other totals differ; None when all agree or raw's totals are unknown. Totals with bounds do not count.
    """
    if totals.raw is None:
        return None
    old = totals.final_before or Totals()
    if all(old.get(total.name) == totals.raw.get(total.name) for total in job.totals if not total.bounds):
        return None
    return abs(totals.raw.integer(job.headline.name) - old.integer(job.headline.name))


def _own_text(path: Path) -> str:
    """What an earlier run wrote, if anything. Raises OSError; ValueError if the file is not the job's."""
    if not path.parent.is_dir():
        raise os_error(errno.ENOENT, str(path.parent))
    if not path.exists():
        return ""
    if not path.is_file():  # reading a pipe would block until somebody writes to it
        raise ValueError(f"{path} is no file")
    with path.open(encoding="utf-8", errors="replace") as stream:
        text = stream.read(_MAX_CHARACTERS)
    if any(line.strip() and not line.startswith(("#", PREFIX)) for line in text.splitlines()):
        raise ValueError(f"{path} holds what this job has not written: name another file in metrics.textfile")
    return text


def _last_success(text: str, labels: str) -> float:
    sample = re.escape(f"{PREFIX}{_LAST_SUCCESS}{labels}")
    found = re.search(rf"^{sample} ([0-9]+(?:\.[0-9]+)?)$", text, re.MULTILINE)
    return float(found.group(1)) if found else 0


def _seconds(time: str) -> float:
    return parse_timestamp(time).timestamp()


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
