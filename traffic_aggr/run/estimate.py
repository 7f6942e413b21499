"""Estimates how long a run will take from an earlier run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Optional

from traffic_aggr.run.record import Outcome, RunRecord, seconds_between
from traffic_aggr.units import counted, data_volume, duration

_RUNS = 20
_START_S = 20.0
"""Spark's start and the first queries, which take as long for a day as for a month."""


@dataclass(frozen=True)
class Estimate:
    """
    The ``seconds`` that a run is expected to take, and the earlier run behind the estimate.

    That run ``took`` this many seconds for ``days`` of this ``unit``, and read ``bytes`` bytes of raw.
    """

    seconds: float
    run_id: str
    took: float
    days: int
    bytes: int
    unit: str = "day"

    def __str__(self) -> str:
        took = f"{duration(self.took)} for {counted(self.days, self.unit)}, {data_volume(self.bytes)} of raw"
        return f"{duration(self.seconds)}, going by run {self.run_id} ({took})"


def estimate(records: Iterable[RunRecord], raw_bytes: int) -> Optional[Estimate]:
    """
    Estimates a run that reads ``raw_bytes``; ``records`` come newest first.

    Scales the duration of the earlier run that read the closest amount of raw, but not its start: what it took before
    its first step, up to ``_START_S``. Only the newest ``_RUNS`` records are
    read, and only successful runs that resumed no other run count. Returns None if there is no such run, or if
    ``raw_bytes`` is 0.
    """
    candidates = [
        Estimate(
            _scaled(record, took, raw_bytes / read),
            record.run_id,
            took,
            len(record.days),
            read,
            record.job.partition.unit,
        )
        for record in islice(records, _RUNS)
        if (read := sum(each.bytes for each in record.inputs.values())) and (took := _whole_run(record)) is not None
    ]
    return min(candidates, key=lambda each: abs(each.bytes - raw_bytes), default=None) if raw_bytes else None


def _scaled(record: RunRecord, took: float, factor: float) -> float:
    waited = seconds_between(record.started, record.steps[0].started) if record.steps else 0.0
    start = min(waited, _START_S)
    return start + (took - start) * factor


def _whole_run(record: RunRecord) -> Optional[float]:
    whole = record.command == "run" and record.outcome is Outcome.SUCCESS and record.resumes is None
    return record.seconds if whole else None
