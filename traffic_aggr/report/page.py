"""
The report of a run: a self-contained HTML page, the same content as JSON, and its days as CSV.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape
from typing import Optional

from traffic_aggr.hive.partitions import Partition
from traffic_aggr.report.charts import Bar, bar_chart, lying_bars
from traffic_aggr.report.markup import Markup, definitions, listing, rendered, table
from traffic_aggr.run.breakdown import Breakdown, Part
from traffic_aggr.run.definition import Dimension, JobDefinition
from traffic_aggr.run.record import Outcome, RunRecord, seconds_between
from traffic_aggr.run.result import (
    advice,
    daily_csv,
    days_in_words,
    differences,
    engine_in_words,
    reasons,
    result_json,
    state_of,
    verdict,
)
from traffic_aggr.run.store import DAILY_CSV, REPORT, REPORT_JSON
from traffic_aggr.run.totals import ROWS, Total, Totals, Unit
from traffic_aggr.units import counted, data_volume, duration, local_time, percent_change


def report_files(record: RunRecord) -> dict[str, str]:
    """Returns the report files of a run that has ended, as text by file name."""
    return {REPORT_JSON: result_json(record), DAILY_CSV: daily_csv(record), REPORT: render_report(record)}


def render_report(record: RunRecord) -> str:
    """Renders the HTML page."""
    return rendered(
        "report.html",
        title=escape(f"{record.command} {record.run_id}"),
        state="good" if record.outcome is Outcome.SUCCESS and not record.rolled_back_by else "bad",
        outcome=escape("rolled back" if record.rolled_back_by else record.outcome.value),
        verdict=escape(verdict(record)),
        next=definitions(_next(record)),
        reasons=listing(reasons(record)),
        notes=listing([*record.notes, *(f"skipped {line}" for line in record.skipped_lines)]),
        charts=_charts(record),
        changes="".join(_changes(record)),
        found="".join(_found(record)),
        days=table(_day_heads(record.job), _day_rows(record), "numbers"),
        totals=table((record.job.partition.title, "Stage", "Rows", *record.job.names), _total_rows(record), "numbers"),
        timeline=table(("At", "What", "Took", "Outcome"), _timeline(record)),
        impala=table(
            ("Statement", "Host", "Attempts", "Seconds", "Outcome"),
            (
                (sent["sql"], sent["host"], sent["attempts"], f"{sent['seconds']:.2f}", sent["outcome"])
                for sent in record.impala
            ),
        ),
        facts=definitions(_facts(record)),
    )


def _next(record: RunRecord) -> Iterable[tuple[str, object]]:
    if record.outcome is not Outcome.SUCCESS or record.rolled_back_by:
        yield "The data", record.data_state
        yield "What to do", advice(record)


_ROWS = Total(ROWS, "Rows", Unit.COUNT, final="")


def _shown(job: JobDefinition) -> tuple[Total, ...]:
    """Returns what is compared before and after: the guarded totals, the headline first, then the number of rows."""
    guarded = [total for total in job.totals if total.guarded and total is not job.headline]
    return (job.headline, *guarded, _ROWS)


def _bounded(job: JobDefinition) -> list[Total]:
    return [total for total in job.totals if total.bounds]


def _charts(record: RunRecord) -> str:
    if not any(totals.final_after for totals in record.totals.values()):
        return ""
    legend = "<p><span class='key before'></span> before <span class='key after'></span> after</p>"
    charts = "".join(
        bar_chart(
            total.title,
            [
                Bar(partition, _of(total, totals.final_before), _of(total, totals.final_after or totals.final_before))
                for partition, totals in sorted(record.totals.items())
            ],
            total.format,
        )
        for total in (*_shown(record.job), *_bounded(record.job))
    )
    return f"{legend}<div class=charts>{charts}</div>"


def _of(total: Total, totals: Optional[Totals]) -> Optional[int]:
    return None if totals is None else totals.integer(total.name)


def _changes(record: RunRecord) -> Iterable[str]:
    """Yields a table of changes by each dimension that is compared before and after."""
    first, *others = _shown(record.job)
    heads = (f"{first.title} before and after", f"{first.title} before", f"{first.title} after", "Change")
    for dimension, found in _broken_down(record, new_only=False):
        rows = _change_rows(found, first, others)
        parts = table((dimension.head, *heads, *(total.title for total in others)), rows, "numbers bars")
        yield f"<h2>{dimension.title}</h2>{parts}"


def _broken_down(record: RunRecord, *, new_only: bool) -> Iterable[tuple[Dimension, Breakdown]]:
    for dimension in record.job.dimensions:
        found = record.breakdown.get(dimension.name)
        if found is not None and dimension.new_only is new_only:
            yield dimension, found


def _change_rows(found: Breakdown, first: Total, others: Sequence[Total]) -> Iterable[Sequence[object]]:
    highest = max(
        (max(part.before.integer(first.name), part.after.integer(first.name)) for part in found.parts), default=0
    )
    for name, part in _named_parts(found):
        before, after = part.before.integer(first.name), part.after.integer(first.name)
        yield (
            name,
            Markup(lying_bars(before, after, highest) if part is not found.rest else ""),
            first.format(before),
            first.format(after),
            percent_change(before, after),
            *(_signed(total, part.after.integer(total.name) - part.before.integer(total.name)) for total in others),
        )


def _found(record: RunRecord) -> Iterable[str]:
    """Yields tables of new rows that may need attention."""
    *usage, rows = _shown(record.job)
    shown = (rows, *_bounded(record.job), *usage)
    for dimension, found in _broken_down(record, new_only=True):
        if dimension.by_value:
            found = replace(found, parts=sorted(found.parts, key=lambda part: part.value or ""))
        parts = table((dimension.head, *(total.title for total in shown)), _found_rows(found, shown), "amounts")
        yield f"<h2>{dimension.title}</h2>{parts}"


def _found_rows(found: Breakdown, shown: Sequence[Total]) -> Iterable[Sequence[object]]:
    for name, part in _named_parts(found):
        yield name, *(total.format(part.after.get(total.name)) for total in shown)


def _named_parts(found: Breakdown) -> Iterable[tuple[str, Part]]:
    for part in found.parts:
        yield "NULL" if part.value is None else part.value or "(empty)", part
    if found.rest is not None:
        yield counted(found.others, "other"), found.rest


def _signed(total: Total, difference: int) -> str:
    return f"{'+' if difference > 0 else ''}{total.format(difference)}" if difference else "0"


def _day_heads(job: JobDefinition) -> Sequence[str]:
    first, *others = _shown(job)
    return (
        *(job.partition.title, "Rows are", f"{first.title} before", f"{first.title} after", "Change"),
        *(f"{total.title} {when}" for total in others for when in ("before", "after")),
        "Raw rows",
        *(total.title for total in _bounded(job)),
        *(fact.title for fact in job.facts if fact.title),
        "Impala rows",
    )


def _day_rows(record: RunRecord) -> Iterable[Sequence[object]]:
    job = record.job
    first, *others = _shown(job)
    for partition, totals in record.totals.items():
        before, after, raw = totals.final_before, totals.final_after, totals.raw or Totals()
        yield (
            partition,
            _state(record, partition),
            first.format(before.get(first.name)) if before else "none",
            first.format(after.get(first.name)) if after else "",
            percent_change(before.integer(first.name), after.integer(first.name)) if before and after else "",
            *(
                text
                for total in others
                for text in (
                    total.format(before.get(total.name)) if before else "none",
                    total.format(after.get(total.name)) if after else "",
                )
            ),
            _ROWS.format(raw.rows),
            *(total.format(after.get(total.name)) if after else "" for total in _bounded(job)),
            *(_ROWS.format(raw.get(fact.name)) for fact in job.facts if fact.title),
            _ROWS.format(totals.impala.rows) if totals.impala else "",
        )


def _state(record: RunRecord, partition: Partition) -> str:
    why = ", refused" if partition in record.refused else ", kept" if partition in record.kept else ""
    return f"{state_of(record, partition)}{why}"


def _total_rows(record: RunRecord) -> Iterable[Sequence[object]]:
    for partition, totals in record.totals.items():
        stages: tuple[tuple[str, Optional[Totals]], ...] = (
            ("raw", totals.raw),
            ("raw in Impala", totals.impala_raw),
            ("staging", totals.staging),
            ("final", totals.final_after),
            ("final in Impala", totals.impala),
        )
        for name, found in stages:
            if found is not None:
                yield (partition, name, found.rows, *(found.sums.get(total, "") for total in record.job.names))
        for difference in differences(record.job, partition, totals):
            yield (partition, f"differs: {difference}")


def _timeline(record: RunRecord) -> Iterable[Sequence[object]]:
    steps = [(step.started, step.name, step.ended, step.outcome.value) for step in record.steps]
    changes = [
        (change.intent, f"— {change.what}", change.done, "done" if change.done else "not known")
        for change in record.changes
    ]
    for started, what, ended, outcome in sorted((*steps, *changes), key=lambda entry: entry[0]):
        yield local_time(started), what, _took(started, ended), outcome


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
