"""
The report of a run: a self-contained HTML page, the same content as JSON, and its days as CSV.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Optional

from traffic_aggr.report.breakdowns import attention_tables, change_tables
from traffic_aggr.report.days import amount_table, control_totals, day_table
from traffic_aggr.report.markup import Row, definitions, listing, rendered, sections, table
from traffic_aggr.report.measures import amounts, bounded, charts, usage
from traffic_aggr.run.leftovers import kept_until
from traffic_aggr.run.record import Outcome, RunRecord, seconds_between
from traffic_aggr.run.result import (
    advice,
    daily_csv,
    days_in_words,
    engine_in_words,
    period,
    reasons,
    result_json,
    verdict,
)
from traffic_aggr.run.store import DAILY_CSV, REPORT, REPORT_JSON
from traffic_aggr.units import counted, data_volume, duration, local_time

_SHORTEST_S = 0.1
"""The shortest time between steps that the timeline has a line for."""


def report_files(record: RunRecord, keep_days: int, before: Optional[str] = None) -> dict[str, str]:
    """
    Returns the report files of a run that has ended, as text by file name.

    The old data of a run is kept for ``keep_days``. ``before`` is the last run before it that changed the same days.
    """
    return {
        REPORT_JSON: result_json(record),
        DAILY_CSV: daily_csv(record),
        REPORT: render_report(record, keep_days, before),
    }


def render_report(record: RunRecord, keep_days: int, before: Optional[str] = None) -> str:
    """Renders the HTML page; the arguments are those of ``report_files``."""
    contents, content = sections(_sections(record))
    unit = record.job.partition.unit
    outcome = "rolled back" if record.rolled_back_by else record.outcome.value
    took = f", took {duration(record.seconds)}" if record.seconds is not None else ""
    return rendered(
        "report.html",
        title=escape(_title(record)),
        run=escape(f"{record.command} {record.run_id}: {outcome}; started {local_time(record.started)}{took}"),
        state="good" if record.outcome is Outcome.SUCCESS and not record.rolled_back_by else "bad",
        verdict=escape(verdict(record)),
        next=definitions(_next(record, keep_days)),
        reasons=listing(reasons(record)),
        notes=listing([*record.notes, *(f"skipped {line}" for line in record.skipped_lines)]),
        before="" if before is None else f'<a href="../{before}/{REPORT}">The run before on these {unit}s</a>',
        contents=contents,
        sections=content,
    )


def _title(record: RunRecord) -> str:
    """``mnaas.traffic_aggr_adhoc, 30 days of April 2021``."""
    final = record.tables.get("final", record.job.name)
    days = record.partitions or list(record.days)
    return f"{final}, {period(record.job, days)}" if days else final


def _next(record: RunRecord, keep_days: int) -> Iterable[tuple[str, object]]:
    until = kept_until(record, keep_days)
    if record.outcome is not Outcome.SUCCESS or record.rolled_back_by:
        yield "The data", record.data_state
        yield "What to do", advice(record)
    elif until is not None and record.days and not record.continued_by:
        yield "To take it back", f"{record.typed.of('rollback', record.run_id)}, until {local_time(until)}"


def _sections(record: RunRecord) -> Iterable[tuple[str, str]]:
    job = record.job
    yield "Usage", charts(record, (*usage(job), *bounded(job)))
    yield "Amounts", charts(record, amounts(job)) + amount_table(record)
    yield from change_tables(record)
    yield from attention_tables(record)
    yield f"{job.partition.title}s", day_table(record)
    yield "Control totals", control_totals(record)
    yield "Timeline", _timeline(record)
    yield "Statements to Impala", _statements(record)
    yield "Provenance", definitions(_facts(record))


def _timeline(record: RunRecord) -> str:
    """Returns the steps, the changes in each of them, and the time before, between and after: all of the run."""
    entries = [
        (change.intent, f"— {change.what}", change.done, "done" if change.done else "not known")
        for change in record.changes
    ]
    since: Optional[str] = record.started
    waited = "start of Spark, plan, raw's totals"
    for step in record.steps:
        entries += _between(since, waited, step.started)
        entries.append((step.started, step.name, step.ended, step.outcome.value))
        since, waited = step.ended, f"after {step.name}"
    entries += _between(since, waited, record.ended)
    rows = [
        Row((local_time(started), what, _took(started, ended), outcome))
        for started, what, ended, outcome in sorted(entries, key=lambda entry: entry[0])
    ]
    took = None if record.seconds is None else ("In all", "", duration(record.seconds), "")
    return table(("At", "What", "Took", "Outcome"), rows, total=took)


_Entry = tuple[str, str, Optional[str], str]


def _between(started: Optional[str], what: str, ended: Optional[str]) -> list[_Entry]:
    if started is None or ended is None or seconds_between(started, ended) < _SHORTEST_S:
        return []
    return [(started, what, ended, "")]


def _statements(record: RunRecord) -> str:
    rows = [
        Row((sent["sql"], sent["host"], sent["attempts"], f"{sent['seconds']:.2f}", sent["outcome"]))
        for sent in record.impala
    ]
    return table(("Statement", "Host", "Attempts", "Seconds", "Outcome"), rows)


def _took(started: str, ended: Optional[str]) -> str:
    return "" if ended is None else duration(seconds_between(started, ended))


def _facts(record: RunRecord) -> Iterable[tuple[str, object]]:
    inputs = record.inputs.values()
    yield "Started", local_time(record.started)
    yield "Ended", local_time(record.ended) if record.ended else None
    yield "Mode", record.mode
    yield f"Some {record.job.partition.unit}s old, others new or missing, for", duration(record.mixed_seconds)
    yield f"{record.job.partition.title}s", days_in_words(record)
    many = record.job.partition.counted(len(record.partitions))
    yield "Partition list", f"{record.partitions_source} ({many}, sha256 {record.partitions_digest})"
    if inputs:
        size = data_volume(sum(each.bytes for each in inputs))
        yield "Raw", f"{counted(sum(each.files for each in inputs), 'file')}, {size}"
    yield "Tables", ", ".join(f"{role} {name}" for role, name in record.tables.items())
    yield "Config sha256", record.config_digest
    yield "Application", record.application_id
    yield "By", f"{record.user}@{record.host}, process {record.process_id}"
    yield "Versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())
    yield "Engine", engine_in_words(record.engine, record.fallbacks) if record.engine else None
    yield "Resumes", record.resumes
    yield "Follows", record.caused_by
