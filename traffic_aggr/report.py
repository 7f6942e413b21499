"""
The report of a run as one self-contained HTML page: verdict, days, totals at every stage, steps, statements to Impala.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from string import Template

from traffic_aggr.controls import SUMS, AggregatedTotals, RawTotals
from traffic_aggr.partitions import Partition
from traffic_aggr.runrecord import Outcome, Publication, RunRecord
from traffic_aggr.units import data_volume, duration, percent_change


def verdict(record: RunRecord) -> str:
    """The run in a sentence: what became of the days, and whether all stages agree."""
    if record.outcome is not Outcome.SUCCESS:
        return record.error or f"The run was {record.outcome.value}."
    if record.rolls_back:
        return f"The {len(record.partitions)} days that run {record.rolls_back} changed are as they were before it."
    before = sum(each.final_before.bytes for each in record.totals.values() if each.final_before)
    after = sum(each.final_after.bytes for each in record.totals.values() if each.final_after)
    agreeing = "raw, staging, final and Impala" if _seen_by_impala(record) else "raw, staging and final"
    return (
        f"{len(record.days)} days restated; data usage {data_volume(before)} → {data_volume(after)}; "
        f"{agreeing} agree on every day."
    )


def _seen_by_impala(record: RunRecord) -> bool:
    return bool(record.days) and all(record.totals_of(partition).impala for partition in record.days)


def render_report(record: RunRecord) -> str:
    """The page."""
    template = Template(resources.files("traffic_aggr").joinpath("report.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{record.command} {record.run_id}"),
        state="good" if record.outcome is Outcome.SUCCESS else "bad",
        outcome=escape(record.outcome.value),
        verdict=escape(verdict(record)),
        days=_table(
            (
                "Day",
                "Data before",
                "Data after",
                "Change",
                "Rows before",
                "Rows after",
                "Raw rows",
                "CDRs",
                "Unclassified",
                "Impala rows",
            ),
            _day_rows(record),
        ),
        totals=_table(("Day", "Stage", "Rows", "CDRs", *SUMS), _total_rows(record)),
        steps=_table(
            ("Step", "Start", "End", "Outcome"),
            ((step.name, step.started, step.ended or "", step.outcome.value) for step in record.steps),
        ),
        changes=_table(
            ("Change", "Begun", "Done"),
            ((change.what, change.intent, change.done or "not known") for change in record.changes),
        ),
        impala=_table(
            ("Statement", "Host", "Attempts", "Seconds", "Outcome"),
            (
                (sent["sql"], sent["host"], sent["attempts"], f"{sent['seconds']:.2f}", sent["outcome"])
                for sent in record.impala
            ),
        ),
        facts=_table(("", ""), _fact_rows(record)),
        notes="".join(
            f"<li>{escape(note)}</li>"
            for note in (*record.notes, *(f"skipped {line}" for line in record.skipped_lines))
        ),
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th scope=col>{escape(each)}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row) + "</tr>" for row in rows)
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _day_rows(record: RunRecord) -> Iterable[Sequence[object]]:
    for partition, totals in record.totals.items():
        before = totals.final_before
        after = totals.final_after
        raw = totals.raw or RawTotals()
        yield (
            partition,
            data_volume(before.bytes) if before else "none",
            data_volume(after.bytes) if after else _unchanged(record, partition),
            percent_change(before.bytes, after.bytes) if before and after else "",
            f"{before.rows:,}" if before else "none",
            f"{after.rows:,}" if after else "",
            f"{raw.rows:,}",
            f"{after.cdrs:,}" if after else "",
            f"{raw.unclassified:,}",
            f"{totals.impala.rows:,}" if totals.impala else "",
        )


def _unchanged(record: RunRecord, partition: Partition) -> str:
    if partition not in record.days or record.publication in (Publication.UNTOUCHED, Publication.RESTORED):
        return "unchanged"
    return "not known"


def _total_rows(record: RunRecord) -> Iterable[Sequence[object]]:
    for partition, totals in record.totals.items():
        stages: tuple[tuple[str, RawTotals | AggregatedTotals | None], ...] = (
            ("raw", totals.raw),
            ("staging", totals.staging),
            ("final", totals.final_after),
        )
        for name, found in stages:
            if found is not None:
                yield (partition, name, found.rows, found.cdrs, *(getattr(found, total) for total in SUMS))


def _fact_rows(record: RunRecord) -> Iterable[Sequence[object]]:
    yield "Started", record.started
    yield "Ended", record.ended or ""
    yield "Mode", record.mode
    yield "Some days old, others new or missing", duration(record.mixed_seconds)
    yield (
        "Partition list",
        f"{record.partitions_source} ({len(record.partitions)} days, sha256 {record.partitions_digest})",
    )
    yield "Tables", ", ".join(f"{role} {name}" for role, name in record.tables.items())
    yield "Config sha256", record.config_digest
    yield "Application", record.application_id or ""
    yield "By", f"{record.user}@{record.host}, process {record.process_id}"
    yield "Versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())
    if record.resumes:
        yield "Resumes", record.resumes
