"""
The result of a run, from its record.

Gives the verdict in a sentence, what to do next, and each day's totals as JSON and CSV.
"""

from __future__ import annotations

import calendar
import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from traffic_aggr.hive.partitions import Partition
from traffic_aggr.run.definition import JobDefinition
from traffic_aggr.run.reconcile import (
    Difference,
    reconcile_final,
    reconcile_impala,
    reconcile_impala_raw,
    reconcile_staging,
)
from traffic_aggr.run.record import STAGES, DayTotals, Outcome, Publication, RunRecord
from traffic_aggr.run.totals import ROWS, SOURCE_ROWS, Totals
from traffic_aggr.text import some_of
from traffic_aggr.units import listed

RESULT_VERSION = 1
NAMED_DAYS = 8
RIGHT = "{were} already correct"


def verdict(record: RunRecord) -> str:
    """Sums up the run in a sentence: what happened to the days, and whether all stages agree."""
    if record.rolled_back_by:
        return f"Rolled back by run {record.rolled_back_by}: the data of before this run is in place again."
    if record.outcome is not Outcome.SUCCESS:
        return record.error or f"The run was {record.outcome.value}."
    if record.rolls_back:
        days = record.job.partition.counted(len(record.partitions))
        return f"Old data is back in place for {days}, as before run {record.rolls_back}."
    if not record.days:
        return f"Nothing to restate ({days_in_words(record)})."
    restated = _restated(record)
    stages = in_words(agreeing(record))
    proven = f"{stages} agree on every {record.job.partition.unit}" if restated else f"no rows in {stages}"
    proven += " (raw as that run read it)" if record.only_verifies else ""
    how = f"verified, as loaded by run {record.resumes}" if record.only_verifies else "restated"
    counts = day_counts(record)
    ways = [f"{period(record.job, restated)} {how}"] if restated else []
    ways += [f"{record.job.partition.counted(counts[way])} {way}" for way in ("cleared", "kept") if counts[way]]
    return f"{', '.join(ways)}; {record.job.headline.in_text} {_shift(record, list(record.days))}; {proven}."


def agreeing(record: RunRecord) -> list[str]:
    """
    Returns the stages that a successful run has proven to have the same totals on each of its days.

    A run that ``only_verifies`` takes the totals of raw and staging from the run before, which proved them.
    """
    seen = bool(record.days) and all(record.totals_of(partition).impala for partition in record.days)
    return ["raw", *(["staging"] if _restated(record) else []), "final", *(["Impala"] if seen else [])]


def in_words(names: Sequence[str]) -> str:
    """``raw, staging and final``."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _restated(record: RunRecord) -> list[Partition]:
    return [partition for partition in record.days if state_of(record, partition) == "new"]


def day_counts(record: RunRecord) -> dict[str, int]:
    """
    Counts the ``listed`` days, and the days by what happened to them.

    They were ``restated``, ``cleared``, ``kept`` because raw has no rows for them, ``refused`` by a guard, ``lost``,
    ``restored`` by a rollback, ``unchanged`` or ``unsettled``.
    """
    partitions = record.partitions or list(record.days)
    ways = {**dict.fromkeys(record.kept, "kept"), **dict.fromkeys(record.refused, "refused")}
    states = {"new": "restated", "none": "cleared", "old": "unchanged", "lost": "lost", "not known": "unsettled"}
    if record.rolls_back and record.publication is Publication.RESTORED:
        states["old"] = "restored"
    found = Counter(ways.get(partition) or states[state_of(record, partition)] for partition in partitions)
    names = ("restated", "cleared", "kept", "refused", "lost", "restored", "unchanged", "unsettled")
    return {"listed": len(partitions), **{name: found[name] for name in names}}


def days_in_words(record: RunRecord) -> str:
    """``3 days listed: 2 restated, 1 kept``."""
    counts = day_counts(record)
    return listed(record.job.partition.counted(counts.pop("listed")), counts)


def day_states(record: RunRecord) -> Sequence[str]:
    """A line for each day of the plan that says what the table holds for it now."""
    return [
        *_changed_day_states(record),
        *(f"{partition}: kept as before" for partition in record.kept),
        *(f"{partition}: refused, as before" for partition in record.refused if partition not in record.days),
    ]


def _changed_day_states(record: RunRecord) -> Sequence[str]:
    if record.publication is Publication.PUBLISHED and not record.rolled_back_by:
        return [f"{partition}: {'new data' if day.new else 'cleared'}" for partition, day in record.days.items()]
    if record.publication.settled:
        return [f"{partition}: {_old_state(record, partition)}" for partition in record.days]
    if record.mode == "swap":
        return [
            f"{partition}: {f'old data kept in {day.before.location}' if day.before else 'had no data before'}"
            for partition, day in record.days.items()
        ]
    return [f"{partition}: old data kept in {day.kept}" for partition, day in record.days.items()]


def _old_state(record: RunRecord, partition: Partition) -> str:
    if partition in record.lost:
        return "old data is gone"
    refused = "refused, " if partition in record.refused else ""
    return f"{refused}{'old data' if record.days[partition].before else 'no data, as before'}"


def period(job: JobDefinition, partitions: Sequence[Partition]) -> str:
    """Describes them: ``30 days of April 2021``, ``3 days from 2021-04-28 to 2021-05-02``, ``2021-04-01``."""
    if len(partitions) < 2:
        return partitions[0] if partitions else f"no {job.partition.unit}s"
    many, first, last = job.partition.counted(len(partitions)), min(partitions), max(partitions)
    month = first.days[0]
    if first[: len("yyyy-MM")] == last[: len("yyyy-MM")]:
        return f"{many} of {calendar.month_name[month.month]} {month.year}"
    return f"{many} from {first} to {last}"


def reasons(record: RunRecord) -> list[str]:
    """
    Returns a sentence for each reason why old data was wrong.

    The reason with the most days comes first; days whose old data was right come last.
    """
    if record.outcome is not Outcome.SUCCESS or record.rolls_back:
        return []
    by_reason: dict[str, list[Partition]] = {}
    for partition, totals in record.totals.items():
        if partition in record.days and totals.final_after is not None:
            by_reason.setdefault(_reason(record.job, totals.final_before, totals.final_after), []).append(partition)
    return [
        f"{record.job.partition.counted(len(days))} {reason.format(were='was' if len(days) == 1 else 'were')}: "
        f"{some_of(days, NAMED_DAYS, ', ')} ({record.job.headline.title.lower()} {_shift(record, days)})."
        for reason, days in sorted(by_reason.items(), key=lambda entry: (entry[0] == RIGHT, -len(entry[1])))
    ]


def _reason(job: JobDefinition, before: Optional[Totals], after: Totals) -> str:
    if before is None or (not before.rows and after.rows):
        return "{were} missing"
    if same_totals(job, before, after):
        return RIGHT
    if all((before.get(name) or 0) == 2 * (after.get(name) or 0) for name in (ROWS, *job.names)):
        return "{were} counted twice"
    if before.rows < after.rows:
        return "{were} missing rows"
    if before.rows > after.rows:
        return "had too many rows"
    return "had as many rows, but other values"


def same_totals(job: JobDefinition, before: Optional[Totals], after: Optional[Totals]) -> bool:
    """Whether a day had the same totals before and after the run, all of the job's and the number of rows."""
    if before is None or after is None:
        return False
    return all(before.get(name) == after.get(name) for name in (*job.names, ROWS))


def _shift(record: RunRecord, days: Sequence[Partition]) -> str:
    found = [record.totals_of(day) for day in days]
    headline = record.job.headline
    before = sum(each.final_before.integer(headline.name) for each in found if each.final_before)
    after = sum(each.final_after.integer(headline.name) for each in found if each.final_after)
    return f"{headline.format(before)} → {headline.format(after)}"


def advice(record: RunRecord) -> str:
    """Says what to run after this run; empty if nothing is left to do."""
    if record.finished or record.outcome is Outcome.RUNNING or record.next is None:
        return ""
    does = f". It {record.next.does}" if record.next.does else ""
    return f"Fix the cause, then run {record.next.command}{does}."


def state_of(record: RunRecord, partition: Partition) -> str:
    """
    Returns which rows a day has: ``new``, ``old``, ``none``, ``lost`` or ``not known``.

    ``none`` means cleared. ``lost`` means that the old data was gone when the run tried to put it back. ``not known``
    applies until the run is settled.
    """
    if partition in record.lost:
        return "lost"
    untouched = partition not in record.days or record.rolled_back_by
    if untouched or record.publication in (Publication.UNTOUCHED, Publication.RESTORED):
        return "old"
    if record.publication is not Publication.PUBLISHED:
        return "not known"
    return "new" if record.days[partition].new else "none"


def differences(job: JobDefinition, partition: Partition, totals: DayTotals) -> list[Difference]:
    """Returns every exact difference between the stages that a day has been through, in totals known of all of them."""
    stages = [stage for stage in (totals.raw, totals.loaded, totals.final_after) if stage is not None]
    known = [total for total in job.totals if all(stage.get(total.name) is not None for stage in stages)]
    found: list[Difference] = []
    if totals.raw and totals.impala_raw:
        found += reconcile_impala_raw(partition, totals.raw, totals.impala_raw)
    if totals.raw and (totals.staging or totals.final_after):
        found += reconcile_staging(known, partition, totals.raw, totals.loaded)
    if totals.final_after:
        found += reconcile_final(known, partition, totals.loaded, totals.final_after)
    if totals.final_after and totals.impala:
        found += reconcile_impala(partition, totals.final_after, totals.impala)
    return found


def result_json(record: RunRecord) -> str:
    """Returns the run as the text of a JSON document, ``report.json``."""
    return json.dumps(result_document(record), indent=1, default=str) + "\n"


def result_document(record: RunRecord) -> dict[str, Any]:
    """
    Returns the run as a JSON document.

    It holds ``verdict``, ``data_state``, ``advice`` and ``reasons``; each day's ``state``, totals by stage (decimals as
    strings) and ``differences``; the ``breakdown`` by dimension; the steps; the statements sent to
    Impala; and the tables, versions, configuration, user and host of the run.
    """
    return {
        "version": RESULT_VERSION,
        "run_id": record.run_id,
        "command": record.command,
        "outcome": record.outcome.value,
        "exit_code": record.exit_code,
        "verdict": verdict(record),
        "data_state": record.data_state,
        "advice": advice(record),
        "day_counts": day_counts(record),
        "reasons": reasons(record),
        "started": record.started,
        "ended": record.ended,
        "days": {
            partition: {
                "state": state_of(record, partition),
                **totals.to_json(),
                "differences": [str(each) for each in differences(record.job, partition, totals)],
            }
            for partition, totals in record.totals.items()
        },
        "breakdown": {dimension: found.to_json() for dimension, found in record.breakdown.items()},
        "steps": [
            {"name": step.name, "started": step.started, "ended": step.ended, "outcome": step.outcome.value}
            for step in record.steps
        ],
        "impala": record.impala,
        "notes": record.notes,
        "skipped_lines": record.skipped_lines,
        "tables": record.tables,
        "versions": record.versions,
        "engine": record.engine,
        "fallbacks": record.fallbacks,
        "config_digest": record.config_digest,
        "application_id": record.application_id,
        "user": record.user,
        "host": record.host,
    }


def engine_in_words(engine: str, fallbacks: Mapping[str, str]) -> str:
    """Returns which engine aggregates, and what of that the JVM does in its place, with the reasons."""
    left = ", ".join(f"{operator} ({reason})" for operator, reason in fallbacks.items())
    return f"{engine} aggregates{f'; in its place, the JVM does {left}' if left else ''}"


def daily_csv(record: RunRecord) -> str:
    """
    Returns a CSV with a line for each day.

    Its columns are ``partition_date``, ``state``, and each total of each stage as ``STAGE_TOTAL``, empty if not taken.
    """
    columns = [(stage, name) for stage in STAGES for name in _measures(record.job, stage)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["partition_date", "state", *(f"{stage}_{total}" for stage, total in columns)])
    for partition, totals in record.totals.items():
        as_text = totals.to_json()
        values = (as_text.get(stage, {}).get(total, "") for stage, total in columns)
        writer.writerow([partition, state_of(record, partition), *values])
    return text.getvalue()


def _measures(job: JobDefinition, stage: str) -> list[str]:
    """Returns what is measured at a stage: rows, the job's totals, and what only raw or staging has."""
    names = [total.name for total in job.totals if stage != "impala_raw" or total.raw is not None]
    also = {"raw": [fact.name for fact in job.facts], "staging": [SOURCE_ROWS]}
    return [ROWS, *names, *also.get(stage, [])]
