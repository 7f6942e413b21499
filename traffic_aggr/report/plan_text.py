"""Plans and results as text for people, and plans as JSON for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from traffic_aggr.config.config import ImpalaConfig, TablesConfig
from traffic_aggr.hive import sql
from traffic_aggr.hive.layout import run_directory
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.sql import TableName
from traffic_aggr.run.definition import JobDefinition
from traffic_aggr.run.estimate import Estimate
from traffic_aggr.run.impala_totals import queries_of_final, queries_of_raw
from traffic_aggr.run.plan import Plan, Refusal, Step
from traffic_aggr.run.record import RunRecord
from traffic_aggr.run.refreshes import Refreshes
from traffic_aggr.run.result import agreeing, day_counts, days_in_words, in_words, same_totals
from traffic_aggr.run.totals import Totals, summed
from traffic_aggr.text import shown, some_of
from traffic_aggr.units import counted, data_volume, local_time, percent_change

NOTHING: Mapping[str, Sequence[Partition]] = {}
_SPARK, _IMPALA = "Spark", "Impala"
_BEFORE_STEPS = "plan"


@dataclass(frozen=True)
class Statement:
    """What a run sends to an ``engine``, in the step of this ``label``: ``plan`` before the first one."""

    step: str
    engine: str
    sql: str


def plan_statements(plan: Plan, tables: TablesConfig, impala: ImpalaConfig) -> list[Statement]:
    """Returns, in order, the statements that change the final table, refresh Impala and query its totals."""
    raw, staging, final = (TableName(tables.database, name) for name in (tables.raw, tables.staging, tables.final))
    drops, adds = _partition_statements(plan, final)
    refreshes = Refreshes(staging, final, [table for table in (staging, final) if str(table) in plan.creates])
    found: list[tuple[str, str, Sequence[str]]] = []
    if impala.enabled and impala.verify_raw and not plan.verify_only:
        found.append((_BEFORE_STEPS, _IMPALA, queries_of_raw(plan.job, raw, plan.read)))
    for step in plan.steps:
        if step is Step.DROP:
            found.append((step.label, _SPARK, drops))
        elif step is Step.LOAD and not plan.verify_only:
            found.append((step.label, _SPARK, [*([] if Step.DROP in plan.steps else drops), *adds]))
        if impala.enabled:
            sent = refreshes.after(step, moved=plan.moved, verify_only=plan.verify_only)
            found.append((step.label, _IMPALA, sent))
    if impala.enabled and impala.verify:
        found.append((Step.LOAD.label, _IMPALA, queries_of_final(plan.job, final, plan.changed)))
    return [Statement(step, engine, each) for step, engine, texts in found for each in texts]


def _partition_statements(plan: Plan, final: TableName) -> tuple[list[str], list[str]]:
    """Returns the statements that drop partitions, and those that put new ones in place."""
    if plan.mode == "swap":
        out = [sql.drop_partitions(final, batch) for batch in sql.batches(plan.cleared)]
        place = f"{run_directory(plan.final_root, '<run>')}/…"
        partitions = counted(len(plan.restated), "partition")
        return out, [f"one metastore request: {partitions} of {final} to point into {place}"]
    out = [sql.drop_partitions(final, batch) for batch in sql.batches(plan.changed)]
    return out, [
        sql.add_partitions(final, {partition: plan.home(partition) for partition in batch})
        for batch in sql.batches(plan.restated)
    ]


def _notes(plan: Plan, statements: Sequence[Statement]) -> list[str]:
    """Returns the plan's notes, and says when Impala gets more or fewer statements than the plan lists."""
    since = ".".join(map(str, sql.SEVERAL_PARTITIONS_SINCE))
    runs = [len(parts) for _, parts in sql.refreshes_together([each.sql for each in statements]) if len(parts) > 1]
    single, sent = counted(sum(runs), "REFRESH", "REFRESHes"), counted(len(runs), "statement")
    fewer = f"Impala {since} and later is sent the {single} of single partitions as {sent}"
    asked = any(each.step == _BEFORE_STEPS for each in statements)
    again = "where Impala's totals of raw differ from Spark's, it is sent a REFRESH of those and asked once more"
    return [*plan.notes, *([again] if asked else []), *([fewer] if runs else [])]


def plan_json(
    plan: Plan,
    statements: Sequence[Statement],
    likely: Optional[Estimate] = None,
    follows: Mapping[str, Sequence[Partition]] = NOTHING,
) -> dict[str, Any]:
    """
    Returns the plan as a document: steps, statements, refusals, and each day with its state and action.

    ``follows`` are the partitions of dependants, by table, that are restated afterwards.
    """
    actions = plan.actions
    return {
        "mode": plan.mode,
        "steps": [step.label for step in plan.steps],
        "resumes": plan.resumes,
        "next_run": str(plan.start),
        "creates": list(plan.creates),
        "refusals": [asdict(refusal) for refusal in plan.refusals],
        "notes": _notes(plan, statements),
        "statements": [each.sql for each in statements],
        "sent": [asdict(each) for each in statements],
        "readers": _readers(plan),
        "estimate": asdict(likely) if likely else None,
        "dependants": {table: list(partitions) for table, partitions in follows.items()},
        "days": {
            partition: {
                "action": actions[partition],
                "location": day.location,
                "raw": day.raw.to_json(),
                "input": asdict(day.input) if day.input else None,
                "final_before": day.old.to_json() if day.old else None,
            }
            for partition, day in plan.days.items()
        },
    }


def plan_lines(
    plan: Plan,
    statements: Sequence[Statement],
    likely: Optional[Estimate] = None,
    follows: Mapping[str, Sequence[Partition]] = NOTHING,
    *,
    width: Optional[int] = None,
) -> Iterable[str]:
    """
    Yields what ``plan_json`` has for people: a line for each day, then steps, statements and refusals.

    Statements are cut to ``width`` columns.
    """
    actions, headline = plan.actions, plan.job.headline
    raw_head, old_head = f"RAW {headline.title.upper()}", f"OLD {headline.title.upper()}"
    unit = plan.job.partition.unit.upper()
    yield f"{plan.summary}."
    yield f"{unit:11}{'ACTION':10}{'RAW ROWS':>13}{raw_head:>12}{'OLD ROWS':>12}{old_head:>12}{'CHANGE':>10}"
    for partition, day in plan.days.items():
        old, raw = day.old, day.raw.integer(headline.name)
        yield (
            f"{partition:11}{actions[partition]:10}{day.raw.rows:>13,}{headline.format(raw):>12}"
            f"{f'{old.rows:,}' if old else 'none':>12}{headline.format(old[headline.name]) if old else '':>12}"
            f"{percent_change(old.integer(headline.name), raw) if old else '':>10}"
        )
    yield ""
    for note in _notes(plan, statements):
        yield f"Note: {note}."
    for name in plan.creates:
        yield f"Creates {name}."
    yield f"Steps: {' -> '.join(step.label for step in plan.steps)} ({plan.mode})"
    yield from _sent(statements, width)
    yield f"Readers meanwhile: {_readers(plan)}."
    if likely:
        yield f"Estimated time: {likely}."
    for table, partitions in follows.items():
        if partitions:
            yield f"Afterwards restates {some_of(partitions, separator=', ')} of {table}."
    for refusal in plan.refusals:
        yield refused_line(refusal)
    if not plan.refusals:
        yield f"Nothing was changed. The next run {plan.start}: it will {_summary(plan)}."


def _sent(statements: Sequence[Statement], width: Optional[int]) -> Iterable[str]:
    """Yields a line for each statement below its step, which is named once, as the engine is."""
    for before, each in zip([None, *statements], statements):
        step = "" if before and before.step == each.step else each.step
        engine = "" if before and (before.step, before.engine) == (each.step, each.engine) else each.engine
        line = f"  {step:6} {engine:7} {each.sql}"
        yield line if width is None else shown(line, width)


def refused_line(refusal: Refusal) -> str:
    """Returns the line of a plan for a guard that would refuse the run."""
    return f"Would be refused ({refusal.guard}): {refusal.message}. {refusal.hint}."


def _readers(plan: Plan) -> str:
    """Says what readers of the final table will see during the run."""
    if plan.verify_only:
        return "the new data, which is in place"
    if plan.mode == "swap":
        return f"every {plan.job.partition.unit} whole, old until its partition points at the new data"
    return f"the listed {plan.job.partition.unit}s are missing from the start of drop to the end of load"


def _summary(plan: Plan) -> str:
    if plan.verify_only:
        return f"refresh and verify {plan.job.partition.counted(len(plan.days))}"
    parts = [f"restate {plan.job.partition.counted(len(plan.restated))}"]
    parts += [f"clear {len(plan.cleared):,} without raw rows"] if plan.cleared else []
    parts += [f"keep {len(plan.kept):,} without raw rows"] if plan.kept else []
    files = sum(day.input.files for day in plan.days.values() if day.input is not None)
    read = f": {counted(files, 'file')} of raw, {data_volume(plan.raw_bytes)}" if files else ""
    return ", ".join(parts) + read


def result_lines(record: RunRecord, report: str, log_file: Path) -> Iterable[str]:
    """
    Yields what a finished run did: each day that changed, all days together, which stages agree, where to read on.
    """
    yield from _changes(record)
    yield from _proven(record)
    yield f"report: {report}"
    yield f"log: {log_file}"


def rollback_lines(record: RunRecord) -> Iterable[str]:
    """Yields what a rollback of a run does: a line for each day that changes back, and how many days there are."""
    days = {partition: record.totals_of(partition) for partition in record.days}
    yield from _day_lines(record.job, {day: (found.loaded, found.final_before) for day, found in days.items()})
    many = record.job.partition.counted(len(record.days))
    yield f"rollback puts back {many} as before run {record.run_id}, which started at {local_time(record.started)}"


def _changes(record: RunRecord) -> Iterable[str]:
    """Yields a line for each day that changed, how many others there are, and each total that changed in all days."""
    job, column = record.job, record.job.partition
    days = {partition: record.totals_of(partition) for partition in record.days}
    yield from _day_lines(job, {day: (found.final_before, found.final_after) for day, found in days.items()})
    if len(days) < 2:
        return
    everything = f"all {column.counted(len(days))}"
    old, new = (summed(side) for side in zip(*((each.final_before, each.final_after) for each in days.values())))
    for total in (job.headline, *(each for each in job.totals if each is not job.headline)):
        before, after = old.get(total.name), new.get(total.name)
        if before is not None and after is not None and before != after:
            change = f"{total.format(before)} -> {total.format(after)}  {percent_change(before, after)}".rstrip()
            yield f"{everything}: {total.title}  {change}"


def _day_lines(
    job: JobDefinition, days: Mapping[Partition, tuple[Optional[Totals], Optional[Totals]]]
) -> Iterable[str]:
    """Yields a line for each day whose totals change, and how many others there are."""
    changed = {day: sides for day, sides in days.items() if not same_totals(job, *sides)}
    for partition, (before, after) in changed.items():
        yield _change_line(job, partition, before, after)
    if len(changed) < len(days):
        yield f"{job.partition.counted(len(days) - len(changed))} unchanged"


def _change_line(job: JobDefinition, partition: Partition, before: Optional[Totals], after: Optional[Totals]) -> str:
    """Returns a line with the change of the headline or, where that is the same, of the first total that differs."""
    shown, title = job.headline, ""
    if before is not None and after is not None and before.get(shown.name) == after.get(shown.name):
        differing = (total for total in job.totals if before.get(total.name) != after.get(total.name))
        shown = next(differing, shown)
        title = "" if shown is job.headline else f"{shown.title}  "
    old, new = (None if found is None else found.get(shown.name) or 0 for found in (before, after))
    then = "none" if new is None else shown.format(new)
    if old is None:
        return f"{partition}  none -> {then}"
    change = "" if new is None else f"  {percent_change(old, new)}"
    return f"{partition}  {title}{shown.format(old)} -> {then}{change}"


def _proven(record: RunRecord) -> Iterable[str]:
    """Yields what happened to the listed days, unless all were restated, and which stages agree on them."""
    counts = day_counts(record)
    if not record.days:
        yield f"nothing to restate ({days_in_words(record)})"
        return
    if len(record.days) < counts["listed"] or counts["cleared"]:
        yield days_in_words(record)
    stages = agreeing(record)
    # Cleared days have nothing staged: the stages agree that there are no rows.
    proven = " = ".join(stages) if "staging" in stages else f"no rows in {in_words(stages)}"
    days = record.job.partition.counted(len(record.days))
    days = f"all {days}" if len(record.days) > 1 else days
    read = f" (raw as run {record.resumes} read it)" if record.only_verifies else ""
    yield f"{proven}{_witness(record)} on {days}{read}"


def _witness(record: RunRecord) -> str:
    """Says how far Impala's own totals confirm the others; empty if they do."""
    totals = [record.totals_of(partition) for partition in record.days]
    raw, final = all(each.impala_raw for each in totals), all(each.impala for each in totals)
    if final:
        return "" if raw or record.only_verifies else " (not asked for raw)"
    without = "Impala refreshed, not compared" if record.impala else "Impala not asked"
    return f" ({'Impala asked for raw alone' if raw else without})"
