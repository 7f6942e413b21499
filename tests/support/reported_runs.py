"""Records of runs of two days, as reports tell of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.fakes import FIRST, SECOND, run_record
from tests.support.totals import grouped, raw, seen
from traffic_aggr.run.record import Day, DayTotals, Outcome, Publication, RunRecord


def totals(before: int, after: int, asked: bool) -> DayTotals:
    found = grouped(bytes=after, rows=1234, cdrs=90)
    return DayTotals(
        raw=raw(bytes=after, rows=56789, cdrs=90, distinct_cdrs=89, unclassified=3),
        staging=replace(found, source_rows=56789),
        final_before=grouped(bytes=before, rows=7),
        final_after=found,
        impala=seen(1234, bytes=after) if asked else None,
    )


def succeeded(seen_by_impala: bool = True, **values: Any) -> RunRecord:
    return run_record(
        **{
            "outcome": Outcome.SUCCESS,
            "publication": Publication.PUBLISHED,
            "partitions": [FIRST, SECOND],
            "days": {day: Day("home", "kept", new="staged") for day in (FIRST, SECOND)},
            "totals": {
                FIRST: totals(1024**4, 2 * 1024**4, seen_by_impala),
                SECOND: totals(1024**4, 1024**4, seen_by_impala),
            },
            **values,
        }
    )
