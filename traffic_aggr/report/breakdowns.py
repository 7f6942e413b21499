"""
The report's tables by the values of each dimension: what changed, and new rows that may need attention.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Optional

from traffic_aggr.report.charts import lying_bars
from traffic_aggr.report.markup import Markup, Row, table
from traffic_aggr.report.measures import amounts, bounded, change, change_in_percent, usage
from traffic_aggr.run.breakdown import TOP, Breakdown, Part
from traffic_aggr.run.definition import Dimension
from traffic_aggr.run.record import RunRecord
from traffic_aggr.run.totals import Total
from traffic_aggr.units import counted


def change_tables(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yields the title and the table of each dimension that is compared before and after, and of its partitions."""
    first, *others = _compared(record)
    unit = record.job.partition.unit
    heads = (
        *(f"{first.title} change", "in %", "Before and after", f"{first.title} before", f"{first.title} after"),
        *(f"{total.title} change" for total in others),
    )
    caption = f"All changed {unit}s together, the {TOP} largest changes first."
    for dimension, found in _broken_down(record, new_only=False):
        longest = _longest(first, found.parts)
        rows = [
            Row((name, *_change_cells(record, part, longest if part is not found.rest else None)))
            for name, part in _named_parts(found)
        ]
        total = ("Total", *_change_cells(record, found.whole, None)) if len(rows) > 1 else None
        yield dimension.title, table((dimension.head, *heads), rows, "amounts bars", caption=caption, total=total)
        if found.by_partition:
            longest = _longest(first, found.by_partition)
            rows = [
                Row((_name(part), part.partition, *_change_cells(record, part, longest))) for part in found.by_partition
            ]
            title = f"{dimension.title} and {unit}"
            said = f"Each {unit} by itself, the {len(rows)} largest changes first."
            yield title, table((dimension.head, record.job.partition.title, *heads), rows, "numbers bars", caption=said)


def _longest(total: Total, parts: Iterable[Part]) -> int:
    return max((side.integer(total.name) for part in parts for side in (part.before, part.after)), default=0)


def _change_cells(record: RunRecord, part: Part, longest: Optional[int]) -> Iterator[object]:
    """Yields the cells of ``part``, with bars unless there is no ``longest`` one to compare them with."""
    first, *others = _compared(record)
    before, after = part.before, part.after
    yield change(first, before, after)
    yield change_in_percent(first, before, after)
    yield "" if longest is None else Markup(lying_bars(before.integer(first.name), after.integer(first.name), longest))
    yield first.format(before.get(first.name))
    yield first.format(after.get(first.name))
    yield from (change(total, before, after) for total in others)


def _compared(record: RunRecord) -> tuple[Total, ...]:
    return (*usage(record.job), *amounts(record.job))


def attention_tables(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yields the title and the table of each dimension that tells how new rows came about."""
    *measured, rows = usage(record.job)
    shown = (rows, *bounded(record.job), *measured)
    for dimension, found in _broken_down(record, new_only=True):
        if dimension.by_value:
            found = replace(found, parts=sorted(found.parts, key=lambda part: part.value or ""))
        lines = [
            Row((name, *(total.format(part.after.get(total.name)) for total in shown)))
            for name, part in _named_parts(found)
        ]
        yield dimension.title, table((dimension.head, *(total.title for total in shown)), lines, "amounts")


def _broken_down(record: RunRecord, *, new_only: bool) -> Iterable[tuple[Dimension, Breakdown]]:
    for dimension in record.job.dimensions:
        found = record.breakdown.get(dimension.name)
        if found is not None and dimension.new_only is new_only:
            yield dimension, found


def _named_parts(found: Breakdown) -> Iterable[tuple[str, Part]]:
    for part in found.parts:
        yield _name(part), part
    if found.rest is not None:
        yield counted(found.others, "other"), found.rest


def _name(part: Part) -> str:
    return "NULL" if part.value is None else part.value or "(empty)"
