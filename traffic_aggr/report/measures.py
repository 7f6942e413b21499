"""
Which totals the report shows where, and how they look.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Optional

from traffic_aggr.report.charts import Bar, bar_chart, signed
from traffic_aggr.run.definition import JobDefinition
from traffic_aggr.run.record import RunRecord
from traffic_aggr.run.totals import ROWS, Number, Total, Totals, Unit
from traffic_aggr.units import percent_change

ROW_COUNT = Total(ROWS, "Rows", Unit.COUNT, final="")


def usage(job: JobDefinition) -> tuple[Total, ...]:
    """Returns what is compared before and after: the guarded totals, the headline first, then the number of rows."""
    guarded = [total for total in job.totals if total.guarded and total is not job.headline]
    return (job.headline, *guarded, ROW_COUNT)


def bounded(job: JobDefinition) -> tuple[Total, ...]:
    """Returns the totals that lie between two measures of raw."""
    return tuple(total for total in job.totals if total.bounds)


def amounts(job: JobDefinition) -> tuple[Total, ...]:
    """Returns the totals that are amounts of money, except one that is already among ``usage``."""
    return tuple(total for total in job.totals if total.unit is Unit.AMOUNT and total not in usage(job))


def charts(record: RunRecord, totals: Sequence[Total]) -> str:
    """Draws each of ``totals`` by day, before and after; empty where the run got to no new data."""
    if not any(found.final_after for found in record.totals.values()):
        return ""
    days = [
        (partition, found.final_before, found.final_after or found.final_before)
        for partition, found in sorted(record.totals.items(), key=itemgetter(0))
    ]
    drawn = "".join(
        bar_chart(
            total.title,
            [Bar(day, value(total, before), value(total, after)) for day, before, after in days],
            total.format,
        )
        for total in totals
        if all(each is None or each.get(total.name) is not None for _, *sides in days for each in sides)
    )
    legend = "".join(f"<span class='key {kind}'></span> {kind} " for kind in ("before", "after", "more", "less"))
    return f"<p>{legend}</p><div class=charts>{drawn}</div>" if drawn else ""


def change(total: Total, before: Optional[Totals], after: Optional[Totals]) -> str:
    """
    Returns how much a total changed, with its sign; it was 0 where there was nothing ``before``.

    Empty where it is not known: there is nothing ``after``, or the record is older than the total.
    """
    old, new = value(total, before), value(total, after)
    if new is None or (old is None and before is not None):
        return ""
    return signed(new - (old or 0), total.format)


def change_in_percent(total: Total, before: Optional[Totals], after: Optional[Totals]) -> str:
    """Returns how much a total changed in percent; empty where it is not known, or 0 before."""
    old, new = value(total, before), value(total, after)
    return "" if not old or new is None or old == new else percent_change(old, new)


def value(total: Total, found: Optional[Totals]) -> Optional[Number]:
    """Returns a total; None where there is none."""
    return None if found is None else found.get(total.name)
