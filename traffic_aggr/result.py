"""
What a run came to, from its record: the verdict in a sentence, what to do next, and each day's totals as JSON and CSV.
"""

from __future__ import annotations

import calendar
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Optional, Union

from traffic_aggr.controls import (
    SUMS,
    AggregatedTotals,
    Difference,
    ImpalaTotals,
    RawTotals,
    reconcile_final,
    reconcile_impala,
    reconcile_impala_raw,
    reconcile_staging,
    totals_to_json,
)
from traffic_aggr.partitions import Partition
from traffic_aggr.runrecord import DayTotals, Outcome, Publication, RunRecord
from traffic_aggr.units import data_volume

STAGES: dict[str, Union[type[RawTotals], type[AggregatedTotals], type[ImpalaTotals]]] = {
    "raw": RawTotals,
    "staging": AggregatedTotals,
    "final_before": AggregatedTotals,
    "final_after": AggregatedTotals,
    "impala": ImpalaTotals,
    "impala_raw": ImpalaTotals,
}
RESULT_VERSION = 1
NAMED_DAYS = 8
RIGHT = "had been right"


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
        f"{period(list(record.days))} restated; data usage {data_volume(before)} → {data_volume(after)}; "
        f"{agreeing} agree on every day."
    )


def _seen_by_impala(record: RunRecord) -> bool:
    return bool(record.days) and all(record.totals_of(partition).impala for partition in record.days)


def period(days: Sequence[Partition]) -> str:
    """The days in words: ``30 days of April 2021``, ``3 days from 2021-04-28 to 2021-05-02``, ``2021-04-01``."""
    if len(days) < 2:
        return days[0] if days else "no days"
    first, last = min(days).day, max(days).day
    if (first.year, first.month) == (last.year, last.month):
        return f"{len(days)} days of {calendar.month_name[first.month]} {first.year}"
    return f"{len(days)} days from {first} to {last}"


def reasons(record: RunRecord) -> list[str]:
    """Why the old data was wrong: a sentence for each way, that of the most days first, that of the right ones last."""
    if record.outcome is not Outcome.SUCCESS or record.rolls_back:
        return []
    by_reason: dict[str, list[Partition]] = {}
    for partition, totals in record.totals.items():
        if partition in record.days and totals.final_after is not None:
            by_reason.setdefault(_reason(totals.final_before, totals.final_after), []).append(partition)
    return [
        f"{_count(days)} {reason}: {_named(days)} ({_shift(record, days)})."
        for reason, days in sorted(by_reason.items(), key=lambda entry: (entry[0] == RIGHT, -len(entry[1])))
    ]


def _reason(before: Optional[AggregatedTotals], after: AggregatedTotals) -> str:
    if before is None or (not before.rows and after.rows):
        return "had been missing"
    if replace(before, source_rows=None) == replace(after, source_rows=None):
        return RIGHT
    if all(getattr(before, total) == 2 * getattr(after, total) for total in ("rows", "cdrs", *SUMS)):
        return "had been counted twice"
    if before.rows < after.rows:
        return "had lacked rows"
    if before.rows > after.rows:
        return "had too many rows"
    return "had as many rows, but other values"


def _count(days: Sequence[Partition]) -> str:
    return f"{len(days)} day{'s' if len(days) > 1 else ''}"


def _named(days: Sequence[Partition]) -> str:
    more = len(days) - NAMED_DAYS
    return ", ".join(days[:NAMED_DAYS]) + (f" and {more} more" if more > 0 else "")


def _shift(record: RunRecord, days: Sequence[Partition]) -> str:
    found = [record.totals_of(day) for day in days]
    before = sum(each.final_before.bytes for each in found if each.final_before)
    after = sum(each.final_after.bytes for each in found if each.final_after)
    return f"data {data_volume(before)} → {data_volume(after)}"


def advice(record: RunRecord) -> str:
    """What to run after this run; empty where nothing is left to do."""
    if record.finished or record.outcome is Outcome.RUNNING:
        return ""
    if not record.publication.settled:
        return "Run `run` with the same list, or `recover` to make the days whole without going on."
    if record.publication is Publication.PUBLISHED:
        return "Mend the cause, then run `run` with the same list: it only refreshes Impala and verifies."
    if record.outcome is Outcome.REFUSED:
        return f"Mend what the message names, then run `{record.command}` again."
    return f"Mend the cause, then run `{record.command}` again: it resumes after the last step that was finished."


def state_of(record: RunRecord, partition: Partition) -> str:
    """Which rows a day has: ``new``, ``old``, ``none`` (cleared), or ``not known`` until the run is settled."""
    if partition not in record.days or record.publication in (Publication.UNTOUCHED, Publication.RESTORED):
        return "old"
    if record.publication is not Publication.PUBLISHED:
        return "not known"
    return "new" if record.days[partition].new else "none"


def differences(partition: Partition, totals: DayTotals) -> list[Difference]:
    """All that differs between the stages of a day, exactly, as far as it has been through them."""
    found: list[Difference] = []
    if totals.raw and totals.impala_raw:
        found += reconcile_impala_raw(partition, totals.raw, totals.impala_raw)
    if totals.raw and totals.staging:
        found += reconcile_staging(partition, totals.raw, totals.staging)
    if totals.staging and totals.final_after:
        found += reconcile_final(partition, totals.staging, totals.final_after)
    if totals.final_after and totals.impala:
        found += reconcile_impala(partition, totals.final_after, totals.impala)
    return found


def result_json(record: RunRecord) -> str:
    """
    The run as a document: ``verdict``, ``data_state``, ``advice``, ``reasons``; for each day its ``state``, its totals
    by stage (decimals as strings) and ``differences``; the ``breakdown`` by customer and so on; steps, statements to
    Impala, and where everything came from.
    """
    document = {
        "version": RESULT_VERSION,
        "run_id": record.run_id,
        "command": record.command,
        "outcome": record.outcome.value,
        "exit_code": record.exit_code,
        "verdict": verdict(record),
        "data_state": record.data_state,
        "advice": advice(record),
        "reasons": reasons(record),
        "started": record.started,
        "ended": record.ended,
        "days": {
            partition: {
                "state": state_of(record, partition),
                **{stage: totals_to_json(found) for stage in STAGES if (found := getattr(totals, stage)) is not None},
                "differences": [str(each) for each in differences(partition, totals)],
            }
            for partition, totals in record.totals.items()
        },
        "breakdown": {dimension: asdict(found) for dimension, found in record.breakdown.items()},
        "steps": [
            {"name": step.name, "started": step.started, "ended": step.ended, "outcome": step.outcome.value}
            for step in record.steps
        ],
        "impala": record.impala,
        "notes": record.notes,
        "skipped_lines": record.skipped_lines,
        "tables": record.tables,
        "versions": record.versions,
        "config_digest": record.config_digest,
        "application_id": record.application_id,
        "user": record.user,
        "host": record.host,
    }
    return json.dumps(document, indent=1, default=str) + "\n"


def daily_csv(record: RunRecord) -> str:
    """
    A line a day: ``partition_date``, ``state``, and each total of each stage as ``STAGE_TOTAL``, empty where not taken.
    """
    columns = [
        (stage, field.name) for stage, kind in STAGES.items() for field in fields(kind) if _has(stage, field.name)
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["partition_date", "state", *(f"{stage}_{total}" for stage, total in columns)])
    for partition, totals in record.totals.items():
        found = {stage: taken for stage in STAGES if (taken := getattr(totals, stage)) is not None}
        as_text = {stage: totals_to_json(taken) for stage, taken in found.items()}
        values = (as_text.get(stage, {}).get(total, "") for stage, total in columns)
        writer.writerow([partition, state_of(record, partition), *values])
    return text.getvalue()


def _has(stage: str, total: str) -> bool:
    return (stage, total) != ("impala_raw", "cdrs") and (total != "source_rows" or stage == "staging")
