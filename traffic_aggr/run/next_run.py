"""Predicts the next `run` from the records and the flag alone, for `status`, mails and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Optional

from traffic_aggr.run.plan import Basis, Start, Step, where_to_start
from traffic_aggr.run.record import Publication, RunRecord
from traffic_aggr.run.store import RecordStore


@dataclass(frozen=True)
class NextRun:
    """
    What the next run will do.

    First it settles the ``settled`` runs (newest first). Then it begins at ``start`` if it has the list of the
    unfinished run ``last``, and at ``otherwise`` if it has another list.
    """

    settled: tuple[RunRecord, ...]
    last: Optional[RunRecord]
    start: Start
    otherwise: Start

    def __str__(self) -> str:
        """Completes the sentence "the next run …". The "same" list is that of the run it builds on."""
        if self.start.basis is Basis.NOTHING:
            return self._settling_first(self.start)
        return f"{self._settling_first(self.start)}, if its list is the same; with another list it {self.otherwise}"

    def after(self, record: RunRecord) -> str:
        """Completes the sentence "it …": what the command of ``record`` does when typed again."""
        same_work = self.last is not None and self.last.same_work(record.tables, record.mode, record.partitions_digest)
        return self._settling_first(self.start if same_work else self.otherwise)

    def _settling_first(self, start: Start) -> str:
        first = " and ".join(dict.fromkeys(map(_settling, self.settled)))
        return f"first {first}, then {start}" if first else str(start)


def next_run(store: RecordStore, flag: int, mode: str, from_step: Optional[Step] = None) -> NextRun:
    """
    Predicts the next run from the status file's ``flag`` and the publish ``mode``. Changes nothing.

    Assumes that staged data has not changed.
    """
    settled, last = unfinished(store)

    def start(*, same_work: bool) -> Start:
        return where_to_start(
            mode, flag=flag, from_step=from_step, last=last, same_work=same_work, staged_matches=same_work
        )

    return NextRun(settled, last, start(same_work=last is not None), start(same_work=False))


def unfinished(store: RecordStore) -> tuple[tuple[RunRecord, ...], Optional[RunRecord]]:
    """
    Returns the runs to settle, newest first, and the unfinished run that a run may resume, if any. Changes nothing.

    The unfinished run is returned as it will be once those runs are settled.
    """
    unsettled = store.unsettled()
    last = store.last_worked()
    if last is not None and (last.finished or any(_takes_back(each, last) for each in unsettled)):
        last = None
    if last is not None:
        last = replace(last, publication=_publication_once_settled(last))
    return tuple(each for each in unsettled if not each.publication.settled), last


def _takes_back(rollback: RunRecord, target: RunRecord) -> bool:
    """Whether settling an interrupted ``rollback`` completes the rollback of ``target``."""
    return rollback.rolls_back == target.run_id and rollback.publication is not Publication.UNTOUCHED


def _publication_once_settled(record: RunRecord) -> Publication:
    if record.publication.settled:
        return record.publication
    return Publication.PUBLISHED if record.publication is Publication.PUBLISHING else Publication.RESTORED


def _settling(record: RunRecord) -> str:
    days = record.job.partition.counted(len(record.days))
    if record.publication is Publication.PUBLISHING:
        return f"finishes publishing {days} of run {record.run_id}"
    return f"puts the old data of {days} of run {record.rolls_back or record.run_id} back"


def settling_notes(settled: Sequence[RunRecord]) -> list[str]:
    """Returns what a run does before it plans, as notes for a plan that settles nothing itself."""
    return [f"first {_settling(record)}" for record in settled]
