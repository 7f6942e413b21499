"""How long a run is likely to take, going by an earlier one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Optional

from traffic_aggr.run.record import Outcome, RunRecord
from traffic_aggr.units import counted, data_volume, duration

_RUNS = 20


@dataclass(frozen=True)
class Estimate:
    """``seconds`` to come, and the run that says so: its id, the seconds it ``took``, its days, and bytes of raw."""

    seconds: float
    run_id: str
    took: float
    days: int
    bytes: int

    def __str__(self) -> str:
        took = f"{duration(self.took)} for {counted(self.days, 'day')}, {data_volume(self.bytes)} of raw"
        return f"{duration(self.seconds)}, going by run {self.run_id} ({took})"


def estimate(records: Iterable[RunRecord], raw_bytes: int) -> Optional[Estimate]:
    """
    For a run that reads ``raw_bytes``: of the newest runs among ``records`` (newest first) that succeeded and did all
    steps, the one that read most nearly as many, in proportion. None where there is no such run.
    """
    candidates = [
        Estimate(took * raw_bytes / read, record.run_id, took, len(record.days), read)
        for record in islice(records, _RUNS)
        if (read := sum(each.bytes for each in record.inputs.values())) and (took := _whole_run(record)) is not None
    ]
    return min(candidates, key=lambda each: abs(each.bytes - raw_bytes), default=None) if raw_bytes else None


def _whole_run(record: RunRecord) -> Optional[float]:
    whole = record.command == "run" and record.outcome is Outcome.SUCCESS and record.resumes is None
    return record.seconds if whole else None
