"""Control totals of the traffic job, and what Impala is asked for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.sql import TableName
from traffic_aggr.run.impala_totals import queries_of_final, queries_of_raw
from traffic_aggr.run.totals import Number, Totals, measured
from traffic_aggr.traffic.job import TRAFFIC

SUMS = tuple(total.name for total in TRAFFIC.totals if not total.bounds)
"""The totals that are equal at every stage."""

_NO_SUMS = measured(None, TRAFFIC.scales).sums
_NO_FACTS: dict[str, Number] = {fact.name: 0 for fact in TRAFFIC.facts}


def raw(rows: int = 0, **sums: Number) -> Totals:
    """Totals and facts of raw; those that are not given are 0."""
    return Totals(rows, {**_NO_SUMS, **_NO_FACTS, **sums})


def grouped(rows: int = 0, source_rows: Optional[int] = None, **sums: Number) -> Totals:
    """Totals of staging or final; those that are not given are 0."""
    return Totals(rows, {**_NO_SUMS, **sums}, source_rows)


def usage(rows: int = 0, cdrs: int = 0, bytes: int = 0, voice_secs: int = 0, sms: int = 0, **costs: Number) -> Totals:
    """The totals of a value of a dimension."""
    return Totals(rows, {**_NO_SUMS, "cdrs": cdrs, "bytes": bytes, "voice_secs": voice_secs, "sms": sms, **costs})


def one_more(totals: Totals, name: str, more: Number = 1) -> Totals:
    """``totals`` with one total larger by ``more``."""
    if name == "rows":
        return Totals(totals.rows + int(more), totals.sums, totals.source_rows)
    return Totals(totals.rows, {**totals.sums, name: (totals.get(name) or 0) + more}, totals.source_rows)


def asked_of_raw(table: TableName, days: Sequence[Partition]) -> str:
    (query,) = queries_of_raw(TRAFFIC, table, days)
    return query


def asked_of_final(table: TableName, days: Sequence[Partition]) -> str:
    (query,) = queries_of_final(TRAFFIC, table, days)
    return query


def seen(rows: int = 0, **sums: Number) -> Totals:
    """The totals that Impala was asked for."""
    return Totals(rows, sums)
