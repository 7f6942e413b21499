"""
What is going on, and what happened: the commands that read state only and need no Spark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Optional

from traffic_aggr.colours import Colour, Paint, plain
from traffic_aggr.config import Config
from traffic_aggr.errors import StatusFlagError
from traffic_aggr.holder import Holder
from traffic_aggr.lock import is_held, read_holder
from traffic_aggr.plan import Step, after_finished_steps
from traffic_aggr.result import day_counts
from traffic_aggr.runrecord import Outcome, Publication, RunRecord
from traffic_aggr.state import RecordStore
from traffic_aggr.statusfile import Status, StatusFile
from traffic_aggr.units import counted, duration, local_time


@dataclass(frozen=True)
class Overview:
    """
    The state of one job: the status file, the lock's holder, the last run, the one that is ``concerned``, saying where
    the data is, and what the next ``run`` will do.
    """

    status: Optional[Status]
    status_error: Optional[str]
    holder: Optional[Holder]
    last: Optional[RunRecord]
    concerned: Optional[RunRecord]
    next_run: str

    def to_json(self) -> dict[str, Any]:
        return {
            "status": asdict(self.status) if self.status else None,
            "status_error": self.status_error,
            "lock_holder": asdict(self.holder) if self.holder else None,
            "last_run": summary(self.last) if self.last else None,
            "data_state": self.concerned.data_state if self.concerned else None,
            "next_run": self.next_run,
        }

    def lines(self, paint: Paint = plain) -> Iterable[str]:
        """The same in sentences: what goes on, what happened, whether the data is safe, what comes next."""
        yield from self._going_on(paint)
        if self.last and self.last.outcome is not Outcome.RUNNING:
            yield self._happened(paint)
            if self.last.error:
                yield f"  {self.last.error}"
        yield self._data(paint)
        yield f"The next run {self.next_run}."
        if self.status_error:
            yield f"The status file cannot be used: {self.status_error}"
        elif self.status:
            step = Step(self.status.flag).label if self.status.flag else "idle"
            since = f" since {local_time(self.status.ran_time)}" if self.status.ran_time else ""
            job_status = self.status.job_status or "none yet"
            yield f"The status file has flag {self.status.flag} ({step}), job status {job_status}{since}."

    def _going_on(self, paint: Paint) -> Iterable[str]:
        holder = self.holder
        if holder is None:
            yield "Nothing is running; the lock is free."
            if self.last and self.last.outcome is Outcome.RUNNING:
                yield paint(f"{_name(self.last)} was killed, or its host went down, {_at_work(self.last)}.", Colour.BAD)
            return
        application = f", {holder.application_id}" if holder.on_yarn else ""
        where = f"process {holder.pid} on {holder.host}{application}"
        doing = f", {_at_work(self.last)}" if self.last and self.last.run_id == holder.run_id else ""
        since = local_time(holder.since)
        yield paint(f"`{holder.command}` {holder.run_id} is at work since {since}{doing}.", Colour.BUSY)
        yield f"It holds the lock as {where}."

    def _happened(self, paint: Paint) -> str:
        assert self.last is not None
        good = self.last.outcome is Outcome.SUCCESS
        how = paint("succeeded" if good else f"ended as {self.last.outcome.value}", Colour.GOOD if good else Colour.BAD)
        took = f" after {duration(self.last.seconds)}" if self.last.seconds is not None else ""
        ended = f" on {local_time(self.last.ended)}" if self.last.ended else ""
        return f"The last run, {_name(self.last)}, {how}{took}{ended}."

    def _data(self, paint: Paint) -> str:
        if self.concerned is None:
            return "No run has touched the data yet."
        state = self.concerned.data_state
        if self.concerned.publication.settled and not self.concerned.lost:
            return f"{paint('The data is safe', Colour.GOOD)}: {state}."
        if self.holder is not None:
            return f"{paint('The data is being changed', Colour.BUSY)} by {_name(self.concerned)}."
        return f"{paint('The data is not whole', Colour.BAD)}: {state}."


def _name(record: RunRecord) -> str:
    return f"{record.command} {record.run_id}"


def _at_work(record: RunRecord) -> str:
    days = counted(len(record.days) or len(record.partitions), "day")
    if not record.steps:
        return f"before its first step, with {days} listed"
    step = record.steps[-1]
    return f"in step {step.name} of {days} (begun {local_time(step.started)})"


def overview(
    config: Config, store: RecordStore, runs: Callable[[str], bool] = lambda application_id: False
) -> Overview:
    """Reads the state; changes nothing, takes no lock. ``runs`` says whether an application of YARN has not ended."""
    status, error = None, None
    try:
        status = StatusFile(str(config.state.status_file)).read()
    except StatusFlagError as exc:
        error = str(exc)
    lock_file = str(config.state.lock_file)
    holder = read_holder(lock_file)
    if holder is not None and not is_held(lock_file):
        # A launcher that was killed has left its application at work, and that counts as the holder.
        left = holder.application_id if holder.on_yarn else None
        holder = holder if left is not None and runs(left) else None
    last = store.last()
    unsettled = (each for each in store.unsettled() if not each.publication.settled)
    return Overview(
        status, error, holder, last, next(unsettled, last), _next_run(status, holder, store, config.publish.mode)
    )


def _next_run(status: Optional[Status], holder: Optional[Holder], store: RecordStore, mode: str) -> str:
    if status is None:
        return "stops until the flag in the status file is 0, 1, 2 or 3"
    if holder is not None:
        what = holder.application_id if holder.on_yarn else f"process {holder.pid}"
        return f"exits 75 as long as {what} runs"
    last = store.last_worked()
    first_step = Step.STAGE if mode == "swap" else Step.DROP
    start = max(Step(status.flag or Step.DROP), first_step)
    if last is None or last.finished:
        return f"starts afresh at {min(start, Step.STAGE).label}"
    first = ""
    if not last.publication.settled:
        way = "forward" if last.publication is Publication.PUBLISHING else "back"
        first = f"first takes run {last.run_id} {way} until its {len(last.days)} days are whole, then "
    if status.flag == 0:
        return f"{first}starts afresh at {first_step.label}"
    start = after_finished_steps(start, last) if status.flag == last.flag else start
    if last.publication is Publication.PUBLISHED and status.flag == Step.LOAD:
        return f"only refreshes and verifies what run {last.run_id} has loaded, if the list is the same"
    return f"{first}resumes run {last.run_id} at {start.label}, if the list is the same, or else starts afresh"


def summary(record: RunRecord) -> dict[str, Any]:
    """One run as a line of ``history``: id, command, times, partitions, rows, outcome."""
    return {
        "run_id": record.run_id,
        "command": record.command,
        "started": record.started,
        "ended": record.ended,
        "seconds": record.seconds,
        "partitions": len(record.days) or len(record.partitions),
        "days": day_counts(record),
        "rows": sum(totals.final_after.rows for totals in record.totals.values() if totals.final_after),
        "outcome": record.outcome.value,
        "exit_code": record.exit_code,
        "error": record.error,
        "resumes": record.resumes,
        "rolled_back_by": record.rolled_back_by,
    }


def history_lines(summaries: Iterable[dict[str, Any]], paint: Paint = plain) -> Iterable[str]:
    """The runs as a table."""
    yield f"{'RUN':24}{'COMMAND':10}{'STARTED':31}{'TOOK':>12}{'DAYS':>6}{'ROWS':>14}  OUTCOME"
    for run in summaries:
        took = duration(run["seconds"]) if run["seconds"] is not None else ""
        good = run["outcome"] == Outcome.SUCCESS.value
        outcome = paint(run["outcome"], Colour.GOOD if good else Colour.BAD)
        ways = {way: count for way, count in run["days"].items() if count and way != "listed"}
        if {"cleared", "kept", "refused", "lost"} & set(ways):
            outcome += f" ({', '.join(f'{count:,} {way}' for way, count in ways.items())})"
        if run["rolled_back_by"]:
            outcome += f", rolled back by {run['rolled_back_by']}"
        elif not good and run["error"]:
            outcome += f": {run['error']}"
        yield (
            f"{run['run_id']:24}{run['command']:10}{local_time(run['started']):31}{took:>12}{run['days']['listed']:>6}"
            f"{run['rows']:>14,}  {outcome}"
        )
