"""
Runs a plan's steps under a run record, puts old data back on failure, and settles interrupted runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Optional, Protocol

from traffic_aggr.clock import timestamp
from traffic_aggr.errors import TrafficAggrError, UnprovenError
from traffic_aggr.events import Event, tell
from traffic_aggr.restate import steps
from traffic_aggr.restate.publish import Publisher
from traffic_aggr.restate.steps import Work
from traffic_aggr.run.plan import Step
from traffic_aggr.run.record import Outcome, Publication, RunRecord
from traffic_aggr.run.store import RecordStore
from traffic_aggr.spark import progress
from traffic_aggr.spark.errors import spark_says
from traffic_aggr.text import first_line
from traffic_aggr.units import counted, duration

log = logging.getLogger(__name__)

STEPS: dict[Step, Callable[[Work], None]] = {
    Step.DROP: steps.drop,
    Step.STAGE: steps.stage,
    Step.LOAD: steps.load,
}


class Marker(Protocol):
    """Shows the step in progress in the status file."""

    def __call__(self, step: Step) -> None: ...


def execute(work: Work, mark: Marker) -> None:
    """
    Runs the plan's steps in order, and calls ``mark`` before each.

    On an error or a signal, puts the old data back if the table is half-changed or the published data differs from
    staging. Re-raises the error.
    """
    try:
        for step in work.plan.steps:
            work.stop.check()
            mark(step)
            _run_step(work, step)
    except BaseException as exc:  # whatever the reason, old data goes back first
        _put_back(work, exc)
        raise


def _run_step(work: Work, step: Step) -> None:
    work.record.begin_step(step.label, step, timestamp())
    work.save(work.record)
    label = f"[{work.plan.steps.index(step) + 1}/{len(work.plan.steps)}] {step.label}"
    fields: dict[str, Any] = {"step": step.label, "partitions": len(work.record.days)}
    tell(log, Event.STEP_STARTED, f"{label}: {counted(len(work.record.days), 'partition')}", **fields)
    started, work.doing = monotonic(), ""

    def ended(outcome: Outcome, words: str, **more: Any) -> None:
        took = monotonic() - started
        message = f"{label}: {words}{duration(took)}"
        tell(log, Event.STEP_ENDED, message, **fields, outcome=outcome.value, **more, seconds=round(took, 3))

    try:
        with progress.shown(work.warehouse.spark, label, steps.reading(work, step), lambda: _doing(work)):
            STEPS[step](work)
    except BaseException:  # noted in the record, then raised again
        outcome = Outcome.FAILED if work.stop.reason() is None else Outcome.STOPPED
        work.record.end_step(outcome, timestamp())
        ended(outcome, f"{outcome.value}, ")
        raise
    work.record.end_step(Outcome.SUCCESS, timestamp())
    work.save(work.record)
    rows = _rows(work, step)
    ended(Outcome.SUCCESS, f"done, {'' if rows is None else counted(rows, 'row') + ', '}", rows=rows)


def _doing(work: Work) -> str:
    """Returns the table change in progress, or what else the step is doing."""
    changes = work.record.changes
    return changes[-1].what if changes and not changes[-1].done else work.doing


def _rows(work: Work, step: Step) -> Optional[int]:
    """Returns how many rows the step wrote; None for a step that writes none."""
    if step is Step.DROP:
        return None
    found = [work.record.totals_of(partition) for partition in work.record.days]
    totals = [each.staging if step is Step.STAGE else each.final_after for each in found]
    return sum(each.rows for each in totals if each is not None)


def _put_back(work: Work, reason: BaseException) -> None:
    record = work.record
    steps.forget_shadow_quietly(work)
    if record.publication.settled and not isinstance(reason, UnprovenError):
        return
    days = record.job.partition.counted(len(record.days))
    log.warning("%s: putting the old data of %s back", _cause(work, reason), days)
    try:
        work.publisher.restore(record)
    except Exception as exc:  # the run reports its first error; this one means that recovery is needed
        log.error("the old data could not be put back: %s", spark_says(exc) or exc, exc_info=True)
        return
    if record.lost:
        log.error("%s", record.data_state)
    else:
        log.info("the old data of %s is back", days)
    try:
        work.refresh(work.refreshes.put_back(list(record.days)))
    except TrafficAggrError as exc:
        log.warning("Impala was not refreshed after the old data was put back: %s", exc)


def settle_earlier(store: RecordStore, publisher_for: Callable[[RunRecord], Publisher]) -> list[RunRecord]:
    """
    Settles every interrupted run: each day ends up all new or all old. Returns their records, newest first.

    An interrupted run stays RUNNING until ``close_settled``, so that the next command reports it again if this process
    is interrupted too.
    """
    settled = store.unsettled()
    for record in settled:
        if not record.publication.settled:
            log.warning("run %s was interrupted while %s: settling it first", record.run_id, record.publication.value)
            publication = publisher_for(record).settle(record)
            what = "new data is in place" if publication is Publication.PUBLISHED else "old data was put back"
            record.note(f"settled after an interruption: {what}")
            log.info("run %s: %s for %s", record.run_id, what, counted(len(record.days), "partition"))
            if record.lost:
                log.error("run %s: %s", record.run_id, record.data_state)
        store.save(record)
    return settled


def close_settled(
    store: RecordStore, settled: Sequence[RunRecord], note_rolled_back: Callable[[RunRecord, RunRecord], None]
) -> None:
    """
    Closes the records of settled runs. Call it last, once Impala and the status file are up to date.

    ``settled`` is newest first. ``note_rolled_back`` notes a completed rollback in the record of its target.
    """
    for record in reversed(settled):
        if record.rolls_back and record.publication is Publication.RESTORED:
            note_rolled_back(store.load(record.rolls_back), record)
        if record.outcome is Outcome.RUNNING:
            record.mark_interrupted()
        store.save(record)


def _cause(work: Work, error: BaseException) -> str:
    """
    Returns why the run ends: the signal, if there was one, else the error.

    A signal cancels Spark's jobs, whose errors then only say that they were cancelled.
    """
    stopped = work.stop.reason()
    if stopped is not None:
        return str(stopped)
    return spark_says(error) or first_line(error)
