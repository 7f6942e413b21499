"""
The report's tables by day: what changed, in usage and in amounts, and the control totals at every stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Optional

from traffic_aggr.hive.partitions import Partition
from traffic_aggr.report.markup import Row, table
from traffic_aggr.report.measures import ROW_COUNT, amounts, bounded, change, change_in_percent, usage, value
from traffic_aggr.run.record import DayTotals, RunRecord
from traffic_aggr.run.result import differences, same_totals, state_of
from traffic_aggr.run.totals import Totals, summed

_AGREE, _DIFFER = "✓", "✗"


def day_table(record: RunRecord) -> str:
    """Returns each day with what it gained or lost, and what raw has of it."""
    job, unit = record.job, record.job.partition.unit
    first, *others = (*usage(job), *bounded(job))
    facts = [fact for fact in job.facts if fact.title]

    def cells(before: Optional[Totals], after: Optional[Totals], raw: Optional[Totals]) -> Iterator[str]:
        yield change(first, before, after)
        yield change_in_percent(first, before, after)
        yield first.format(value(first, before)) if before else "none"
        yield first.format(value(first, after))
        yield from (change(total, before, after) for total in others)
        yield ROW_COUNT.format(value(ROW_COUNT, raw))
        yield from (ROW_COUNT.format(raw.get(fact.name) if raw else None) for fact in facts)

    rows = [
        Row(
            (
                partition,
                _state(record, partition),
                _agreement(record, partition),
                *cells(found.final_before, found.final_after, found.raw),
            ),
            _kind(record, found),
        )
        for partition, found in record.totals.items()
    ]
    heads = (
        *(job.partition.title, "Rows are", "Stages agree", f"{first.title} change", "in %"),
        *(f"{first.title} before", f"{first.title} after", *(f"{total.title} change" for total in others)),
        *("Raw rows", *(fact.title or "" for fact in facts)),
    )
    caption = f"In the order of the list; a {unit} without change is grey. Changes are after the run minus before it."
    before, after = map(summed, _sides(record.totals.values()))
    total = ("Total", "", "", *cells(before, after, summed(found.raw for found in record.totals.values())))
    return table(heads, rows, "numbers", caption=caption, total=total if len(rows) > 1 else None)


def amount_table(record: RunRecord) -> str:
    """Returns each amount of each day that changed, with the change; empty where none did."""
    job = record.job
    measured = amounts(job)
    changed = {
        partition: found
        for partition, found in record.totals.items()
        if any(change(total, found.final_before, found.final_after) not in ("", "0") for total in measured)
    }
    if not changed:
        return ""

    def cells(before: Optional[Totals], after: Optional[Totals]) -> Iterator[str]:
        for total in measured:
            yield change(total, before, after)
            yield change_in_percent(total, before, after)

    rows = [Row((day, *cells(found.final_before, found.final_after))) for day, found in changed.items()]
    heads = (job.partition.title, *(head for total in measured for head in (total.title, "in %")))
    many = job.partition.counted(len(record.totals) - len(changed))
    caption = f"Amounts after the run minus before it, in the unit of raw; {many} without change not listed."
    before, after = map(summed, _sides(changed.values()))
    return table(heads, rows, "amounts", caption=caption, total=("These together", *cells(before, after)))


def control_totals(record: RunRecord) -> str:
    """Returns every total of each day at each stage, and the differences between stages."""
    job = record.job
    heads = (job.partition.title, "Stage", "Agrees", "Rows", *(total.title for total in job.totals))
    caption = (
        f"All stages of a {job.partition.unit} have to agree, except the one before the run. "
        "Exact numbers: volumes in bytes, durations in seconds, amounts in the unit of raw."
    )
    return table(heads, _stages(record), "numbers", caption=caption)


def _stages(record: RunRecord) -> Iterable[Row]:
    for partition, totals in record.totals.items():
        differing = differences(record.job, partition, totals)
        mark = _DIFFER if differing else _AGREE if totals.final_after or totals.staging else ""
        stages: tuple[tuple[str, Optional[Totals], str], ...] = (
            ("final before", totals.final_before, ""),
            ("raw", totals.raw, mark),
            ("raw in Impala", totals.impala_raw, mark),
            ("staging", totals.staging, mark),
            ("final", totals.final_after, mark),
            ("final in Impala", totals.impala, mark),
        )
        for name, found, agrees in stages:
            if found is not None:
                exact = (_exact(found.sums.get(total)) for total in record.job.names)
                yield Row((partition, name, agrees, f"{found.rows:,}", *exact), _kind(record, totals))
        for difference in differing:
            yield Row((partition, f"differs: {difference}"), "differs")


def _exact(number: object) -> str:
    return "" if number is None else f"{number:,}"


def _state(record: RunRecord, partition: Partition) -> str:
    why = ", refused" if partition in record.refused else ", kept" if partition in record.kept else ""
    return f"{state_of(record, partition)}{why}"


def _agreement(record: RunRecord, partition: Partition) -> str:
    totals = record.totals[partition]
    if totals.final_after is None:
        return ""
    return _DIFFER if differences(record.job, partition, totals) else _AGREE


def _kind(record: RunRecord, totals: DayTotals) -> str:
    return "same" if same_totals(record.job, totals.final_before, totals.final_after) else ""


def _sides(days: Iterable[DayTotals]) -> tuple[list[Optional[Totals]], list[Optional[Totals]]]:
    """The totals before and after; a day that the run left as it was has the same after."""
    known = list(days)
    return [each.final_before for each in known], [each.final_after or each.final_before for each in known]
