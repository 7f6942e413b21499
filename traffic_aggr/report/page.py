"""
The report of a run: a self-contained HTML page, the same content as JSON, and its days as CSV.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from html import escape
from importlib import resources
from string import Template
from typing import Optional, Union

from traffic_aggr.hive.partitions import Partition
from traffic_aggr.report.charts import Bar, bar_chart, lying_bars
from traffic_aggr.run.breakdown import (
    CALLTYPE,
    COUNTRY,
    CUSTOMER,
    LATE,
    UNNAMED_COUNTRY,
    UNNAMED_CUSTOMER,
    Breakdown,
    Part,
)
from traffic_aggr.run.reconcile import SUMS, AggregatedTotals, ImpalaTotals, RawTotals
from traffic_aggr.run.record import Outcome, RunRecord, seconds_between
from traffic_aggr.run.result import (
    advice,
    daily_csv,
    days_in_words,
    differences,
    reasons,
    result_json,
    state_of,
    verdict,
)
from traffic_aggr.run.store import DAILY_CSV, REPORT, REPORT_JSON
from traffic_aggr.units import counted, data_volume, duration, local_time, percent_change


def report_files(record: RunRecord) -> dict[str, str]:
    """Returns the report files of a run that has ended, as text by file name."""
    return {REPORT_JSON: result_json(record), DAILY_CSV: daily_csv(record), REPORT: render_report(record)}


def render_report(record: RunRecord) -> str:
    """Renders the HTML page."""
    template = Template(resources.files("traffic_aggr.report").joinpath("report.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{record.command} {record.run_id}"),
        state="good" if record.outcome is Outcome.SUCCESS and not record.rolled_back_by else "bad",
        outcome=escape("rolled back" if record.rolled_back_by else record.outcome.value),
        verdict=escape(verdict(record)),
        next=_definitions(_next(record)),
        reasons=_list(reasons(record)),
        notes=_list([*record.notes, *(f"skipped {line}" for line in record.skipped_lines)]),
        charts=_charts(record),
        changes="".join(_changes(record)),
        found="".join(_found(record)),
        days=_table(
            (
                *("Day", "Rows are", "Data before", "Data after", "Change", "Voice before", "Voice after"),
                *("SMS before", "SMS after", "Rows before", "Rows after", "Raw rows", "CDRs", "Distinct CDRs"),
                *("Unclassified", "Impala rows"),
            ),
            _day_rows(record),
            "numbers",
        ),
        totals=_table(("Day", "Stage", "Rows", "CDRs", *SUMS), _total_rows(record), "numbers"),
        timeline=_table(("At", "What", "Took", "Outcome"), _timeline(record)),
        impala=_table(
            ("Statement", "Host", "Attempts", "Seconds", "Outcome"),
            (
                (sent["sql"], sent["host"], sent["attempts"], f"{sent['seconds']:.2f}", sent["outcome"])
                for sent in record.impala
            ),
        ),
        facts=_definitions(_facts(record)),
    )


class Markup(str):
    """Text that is already HTML, so it is not escaped."""


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], kind: str = "words") -> str:
    head = "".join(f"<th scope=col>{escape(each)}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{_text(value)}</td>" for value in row) + "</tr>" for row in rows)
    if not body:
        return "<p>None.</p>"
    table = f"<table class='{kind}'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div class=wide tabindex=0>{table}</div>"


def _text(value: object) -> str:
    return value if isinstance(value, Markup) else escape(str(value))


def _definitions(pairs: Iterable[tuple[str, object]]) -> str:
    found = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in pairs if value)
    return f"<dl>{found}</dl>" if found else ""


def _next(record: RunRecord) -> Iterable[tuple[str, object]]:
    if record.outcome is not Outcome.SUCCESS or record.rolled_back_by:
        yield "The data", record.data_state
        yield "What to do", advice(record)


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in sentences)}</ul>" if sentences else ""


def _charts(record: RunRecord) -> str:
    kinds: tuple[tuple[str, Callable[[AggregatedTotals], int], Callable[[int], str]], ...] = (
        ("Data", lambda totals: totals.bytes, data_volume),
        ("Voice", lambda totals: totals.voice_secs, _minutes),
        ("SMS", lambda totals: totals.sms, _number),
        ("Rows", lambda totals: totals.rows, _number),
        ("CDRs", lambda totals: totals.cdrs, _number),
    )
    if not any(totals.final_after for totals in record.totals.values()):
        return ""
    legend = "<p><span class='key before'></span> before <span class='key after'></span> after</p>"
    charts = "".join(
        bar_chart(
            title,
            [
                Bar(partition, _of(value, totals.final_before), _of(value, totals.final_after or totals.final_before))
                for partition, totals in sorted(record.totals.items())
            ],
            spoken,
        )
        for title, value, spoken in kinds
    )
    return f"{legend}<div class=charts>{charts}</div>"


def _of(value: Callable[[AggregatedTotals], int], totals: Optional[AggregatedTotals]) -> Optional[int]:
    return None if totals is None else value(totals)


def _minutes(seconds: int) -> str:
    return f"{seconds / 60:,.0f} min"


def _number(count: int) -> str:
    return f"{count:,}"


_CHANGES = (
    (CUSTOMER, "By customer", "Customer"),
    (COUNTRY, "By country", "Country"),
    (CALLTYPE, "By call type", "Call type"),
)
_FOUND = (
    (LATE, "Late CDRs by calldate", "calldate"),
    (UNNAMED_CUSTOMER, "Customers missing from org_details", "tcl_secs_id"),
    (UNNAMED_COUNTRY, "Countries missing from country_lookup", "mcc"),
)


def _changes(record: RunRecord) -> Iterable[str]:
    """Yields a table of changes by customer, by country and by call type."""
    heads = ("Data before and after", "Data before", "Data after", "Change", "Voice", "SMS", "Rows")
    for dimension, title, head in _CHANGES:
        found = record.breakdown.get(dimension)
        if found is not None:
            yield f"<h2>{title}</h2>{_table((head, *heads), _change_rows(found), 'numbers bars')}"


def _change_rows(found: Breakdown) -> Iterable[Sequence[object]]:
    highest = max((max(part.before.bytes, part.after.bytes) for part in found.parts), default=0)
    for name, part in _named_parts(found):
        before, after = part.before, part.after
        yield (
            name,
            Markup(lying_bars(before.bytes, after.bytes, highest) if part is not found.rest else ""),
            data_volume(before.bytes),
            data_volume(after.bytes),
            percent_change(before.bytes, after.bytes),
            _signed(after.voice_secs - before.voice_secs, _minutes),
            _signed(after.sms - before.sms, _number),
            _signed(after.rows - before.rows, _number),
        )


def _found(record: RunRecord) -> Iterable[str]:
    """Yields tables of new rows that may need attention: late CDRs, and keys missing from the lookups."""
    for dimension, title, head in _FOUND:
        found = record.breakdown.get(dimension)
        if found is not None:
            if dimension == LATE:
                found = replace(found, parts=sorted(found.parts, key=lambda part: part.value or ""))
            heads = (head, "Rows", "CDRs", "Data", "Voice", "SMS")
            yield f"<h2>{title}</h2>{_table(heads, _found_rows(found), 'amounts')}"


def _found_rows(found: Breakdown) -> Iterable[Sequence[object]]:
    for name, part in _named_parts(found):
        usage = part.after
        amounts = data_volume(usage.bytes), _minutes(usage.voice_secs), _number(usage.sms)
        yield name, _number(usage.rows), _number(usage.cdrs), *amounts


def _named_parts(found: Breakdown) -> Iterable[tuple[str, Part]]:
    for part in found.parts:
        yield "NULL" if part.value is None else part.value or "(empty)", part
    if found.rest is not None:
        yield counted(found.others, "other"), found.rest


def _signed(difference: int, spoken: Callable[[int], str]) -> str:
    return f"{'+' if difference > 0 else ''}{spoken(difference)}" if difference else "0"


def _day_rows(record: RunRecord) -> Iterable[Sequence[object]]:
    for partition, totals in record.totals.items():
        before, after, raw = totals.final_before, totals.final_after, totals.raw or RawTotals()
        yield (
            partition,
            _state(record, partition),
            data_volume(before.bytes) if before else "none",
            data_volume(after.bytes) if after else "",
            percent_change(before.bytes, after.bytes) if before and after else "",
            _minutes(before.voice_secs) if before else "none",
            _minutes(after.voice_secs) if after else "",
            _number(before.sms) if before else "none",
            _number(after.sms) if after else "",
            _number(before.rows) if before else "none",
            _number(after.rows) if after else "",
            _number(raw.rows),
            _number(after.cdrs) if after else "",
            _number(raw.distinct_cdrs),
            _number(raw.unclassified),
            _number(totals.impala.rows) if totals.impala else "",
        )


def _state(record: RunRecord, partition: Partition) -> str:
    why = ", refused" if partition in record.refused else ", kept" if partition in record.kept else ""
    return f"{state_of(record, partition)}{why}"


def _total_rows(record: RunRecord) -> Iterable[Sequence[object]]:
    for partition, totals in record.totals.items():
        stages: tuple[tuple[str, Union[RawTotals, AggregatedTotals, ImpalaTotals, None]], ...] = (
            ("raw", totals.raw),
            ("raw in Impala", totals.impala_raw),
            ("staging", totals.staging),
            ("final", totals.final_after),
            ("final in Impala", totals.impala),
        )
        for name, found in stages:
            if found is not None:
                values = (getattr(found, total) for total in ("rows", "cdrs", *SUMS))
                yield (partition, name, *("" if value is None else value for value in values))
        for difference in differences(partition, totals):
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
    yield "Some days old, others new or missing, for", duration(record.mixed_seconds)
    yield "Days", days_in_words(record)
    source = f"{record.partitions_source} ({counted(len(record.partitions), 'day')}, sha256 {record.partitions_digest})"
    yield "Partition list", source
    if inputs:
        size = data_volume(sum(each.bytes for each in inputs))
        yield "Raw", f"{counted(sum(each.files for each in inputs), 'file')}, {size}"
    yield "Tables", ", ".join(f"{role} {name}" for role, name in record.tables.items())
    yield "Config sha256", record.config_digest
    yield "Application", record.application_id
    yield "By", f"{record.user}@{record.host}, process {record.process_id}"
    yield "Versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())
    yield "Resumes", record.resumes
