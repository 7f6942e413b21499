"""Decides from the run records alone whether a run can be rolled back."""

from __future__ import annotations

from datetime import timedelta

from traffic_aggr.errors import GuardError
from traffic_aggr.run.record import Publication, RunRecord
from traffic_aggr.run.store import RecordStore
from traffic_aggr.units import local_time


def refuse_rollback(store: RecordStore, run_id: str, final: str) -> RunRecord:
    """
    Returns the record of the run to roll back; ``final`` is the configured final table (``db.table``).

    Raises GuardError when the run changed another table, published nothing, was already rolled back, continued or
    cleaned up, or when a newer run restated one of its days. Raises UnknownRunError when there is no such run. An
    unsettled run may pass: settle it, then ask again.
    """
    target = store.load(run_id)
    if target.tables.get("final") not in (None, final):
        raise GuardError(
            f"run {run_id} changed {target.tables.get('final')}, not {final}", hint="Use the config of that run"
        )
    if target.rolled_back_by:
        raise GuardError(f"run {run_id} was rolled back by {target.rolled_back_by}", hint="Nothing to do")
    if target.continued_by:
        raise GuardError(
            f"run {run_id} was continued by {target.continued_by}",
            hint=f"Roll back {target.continued_by} instead",
            command=("rollback", target.continued_by),
        )
    if target.cleaned:
        raise GuardError(
            f"the old data of run {run_id} was deleted by `cleanup` at {local_time(target.cleaned)}",
            hint="Restate the days instead; publish.keep_days says how long old data is kept",
            command=_restating(target),
        )
    if target.publication is not Publication.PUBLISHED and (target.publication.settled or target.command != "run"):
        raise GuardError(f"run {run_id} published nothing", hint="`history` lists the runs", command=("history",))
    for newer in store.newest_first():
        if newer.run_id == run_id:
            break
        overlap = newer.publication is Publication.PUBLISHED and set(newer.days) & set(target.days)
        if overlap and not newer.rolled_back_by:
            raise GuardError(
                f"run {newer.run_id} restated {min(overlap)} after run {run_id}",
                hint=f"Roll back {newer.run_id} first",
                command=("rollback", newer.run_id),
            )
    return target


def _restating(record: RunRecord) -> tuple[str, ...]:
    """
    Returns the command that restates a run's partitions.

    For consecutive ones this is ``run --dates``, which names no other. Otherwise it is the run's command as typed,
    empty if the record does not say.
    """
    days = [partition.days for partition in sorted(record.days)]
    if days and all(last + timedelta(days=1) == first for (_, last), (first, _) in zip(days, days[1:])):
        return ("run", "--dates", f"{days[0][0]}..{days[-1][1]}")
    return record.typed.command
