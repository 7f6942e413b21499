"""
The page of all runs, which links to their reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from traffic_aggr.report.markup import Markup, Row, listing, rendered, table
from traffic_aggr.run.definition import JobDefinition
from traffic_aggr.run.record import Outcome, RunRecord
from traffic_aggr.run.result import days_in_words, verdict
from traffic_aggr.run.store import REPORT
from traffic_aggr.text import some_of
from traffic_aggr.units import counted, duration, local_time, percent_change

SHOWN = 50
"""How many runs the page lists. It is written after every run, and each costs the reading of a record."""


def render_index(name: str, runs: Sequence[RunRecord], count: int, pending: Mapping[str, Sequence[str]]) -> str:
    """
    Renders the page of the job ``name``, of whose ``count`` runs ``runs`` are the newest, newest first.

    ``pending`` are the partitions of other tables that have to follow.
    """
    newest = runs[0] if runs else None
    return rendered(
        "index.html",
        title=escape(f"Runs of {name}"),
        state="bad" if newest is None or pending or newest.outcome is not Outcome.SUCCESS else "good",
        verdict=escape(f"{newest.command} {newest.run_id}: {verdict(newest)}" if newest else "There is no run yet"),
        pending=listing([f"{each}: {some_of(days, separator=', ')} pending" for each, days in pending.items()]),
        runs=table(("Run", "Command", "Started", "Took", "What", "Change", "Outcome", "Note"), map(_row, runs), "runs"),
        more=escape(f"The newest {len(runs):,} of {counted(count, 'run')}; `history -n {count}` lists all."),
    )


def _row(record: RunRecord) -> Row:
    cells = (
        Markup(f"<a href='{record.run_id}/{REPORT}'>{record.run_id}</a>"),
        record.command,
        local_time(record.started),
        "" if record.seconds is None else duration(record.seconds),
        days_in_words(record),
        _change(record.job, record),
        record.outcome.value,
        "; ".join(_notes(record)),
    )
    return Row(cells)


def _change(job: JobDefinition, record: RunRecord) -> str:
    """``data usage 1.0 TiB → 1.1 TiB, +10.0 %``; empty where a run changed nothing."""
    total = job.headline
    both = [(each.final_before, each.final_after) for each in record.totals.values() if each.final_after is not None]
    if not both:
        return ""
    before, after = (sum(each.integer(total.name) for each in side if each is not None) for side in zip(*both))
    change = percent_change(before, after)
    return f"{total.in_text} {total.format(before)} → {total.format(after)}{f', {change}' if change else ''}"


def _notes(record: RunRecord) -> Iterable[str]:
    if record.rolled_back_by:
        yield f"rolled back by {record.rolled_back_by}"
    if record.rolls_back:
        yield f"rolls back {record.rolls_back}"
    if record.resumes:
        yield f"resumes {record.resumes}"
    if record.caused_by:
        yield f"follows {record.caused_by}"
    if record.error and record.outcome is not Outcome.SUCCESS:
        yield record.error
