"""
What is running and what has run, for `status` and `history`, which only read state and need no Spark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Optional, Union

from traffic_aggr.config.config import Config
from traffic_aggr.errors import StatusFlagError
from traffic_aggr.host.holder import Holder
from traffic_aggr.host.lock import is_held, read_holder
from traffic_aggr.host.status_file import Status, StatusFile
from traffic_aggr.run.command_line import UNKNOWN, CommandLine
from traffic_aggr.run.next_run import NextRun, next_run
from traffic_aggr.run.plan import Step
from traffic_aggr.run.record import Outcome, RunRecord
from traffic_aggr.run.result import day_counts
from traffic_aggr.run.store import RecordStore
from traffic_aggr.terminal import Colour, Paint, plain
from traffic_aggr.text import shown, some_of
from traffic_aggr.units import duration, local_time

_WIDTH_WITH_START = 120


@dataclass(frozen=True)
class Overview:
    """
    The state of one job: its status file, the lock's holder, its runs, and what comes next.

    ``last`` is the newest run. ``concerned`` is the run that says where the data is: the newest unsettled one, else
    ``last``. ``next_run`` says what the next `run` will do. ``next_command`` is what to type after an unfinished run.
    ``pending`` are partitions of other tables, which the next `run` restates as well.
    """

    status: Optional[Status]
    status_error: Optional[str]
    holder: Optional[Holder]
    last: Optional[RunRecord]
    concerned: Optional[RunRecord]
    next_run: str
    next_command: Optional[str]
    pending: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "status": asdict(self.status) if self.status else None,
            "status_error": self.status_error,
            "lock_holder": asdict(self.holder) if self.holder else None,
            "last_run": summary(self.last) if self.last else None,
            "data_state": self._data_state,
            "next_run": self.next_run,
            "next_command": self.next_command,
            "pending_dependants": {table: list(partitions) for table, partitions in self.pending.items()},
        }

    def lines(self, paint: Paint = plain) -> Iterable[str]:
        """Yields the same in sentences: what is running, what happened, whether the data is safe, what comes next."""
        yield from self._going_on(paint)
        if self.last and self.last.outcome is not Outcome.RUNNING:
            yield _happened(self.last, paint)
            if self.last.error:
                yield f"  {self.last.error}"
        yield self._data(paint)
        for table, partitions in self.pending.items():
            pending = paint(f"{table} may be older than its days", Colour.BAD)
            yield f"{pending}: {some_of(partitions, separator=', ')} is pending, which the next run restates."
        yield f"The next run {self.next_run}."
        if self.next_command is not None:
            yield f"Next: {self.next_command}"
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
        yield paint(f"`{holder.command}` {holder.run_id} has been running since {since}{doing}.", Colour.BUSY)
        yield f"It holds the lock as {where}."

    @property
    def _is_changing(self) -> bool:
        """Whether a run is changing the data now, so that its record is only a snapshot."""
        return self.concerned is not None and self.holder is not None and not self.concerned.publication.settled

    @property
    def _data_state(self) -> Optional[str]:
        if self.concerned is None:
            return None
        return f"being changed by {_name(self.concerned)}" if self._is_changing else self.concerned.data_state

    def _data(self, paint: Paint) -> str:
        if self.concerned is None:
            return "No run has touched the data yet."
        if self._is_changing:
            return paint(f"The data is {self._data_state}.", Colour.BUSY)
        safe = self.concerned.publication.settled and not self.concerned.lost
        verdict = paint("The data is safe", Colour.GOOD) if safe else paint("The data is not whole", Colour.BAD)
        return f"{verdict}: {self._data_state}."


def _happened(last: RunRecord, paint: Paint) -> str:
    good = last.outcome is Outcome.SUCCESS
    how = paint("succeeded" if good else f"ended as {last.outcome.value}", Colour.GOOD if good else Colour.BAD)
    took = f" after {duration(last.seconds)}" if last.seconds is not None else ""
    ended = f" on {local_time(last.ended)}" if last.ended else ""
    return f"The last run, {_name(last)}, {how}{took}{ended}."


def _name(record: RunRecord) -> str:
    return f"{record.command} {record.run_id}"


def _at_work(record: RunRecord) -> str:
    days = record.job.partition.counted(len(record.days) or len(record.partitions))
    if not record.steps:
        return f"before its first step, with {days} listed"
    step = record.steps[-1]
    return f"in step {step.name} of {days} (begun {local_time(step.started)})"


def overview(
    config: Config,
    store: RecordStore,
    typed: CommandLine = UNKNOWN,
    runs: Callable[[str], bool] = lambda application_id: False,
) -> Overview:
    """
    Reads the state of the job. Changes nothing and takes no lock.

    ``typed`` is how this program was started. ``runs`` says whether a YARN application is still running.
    """
    status, error = None, None
    try:
        status = StatusFile(str(config.state.status_file)).read()
    except StatusFlagError as exc:
        error = str(exc)
    lock_file = str(config.state.lock_file)
    holder = read_holder(lock_file)
    if holder is not None and not is_held(lock_file):
        # A killed launcher leaves its YARN application running, which then counts as the holder.
        left = holder.application_id if holder.on_yarn else None
        holder = holder if left is not None and runs(left) else None
    last = store.last()
    unsettled = (each for each in store.unsettled() if not each.publication.settled)
    coming = _next_run(status, holder, store, config.publish.mode)
    command = _next_command(coming, last, typed) if isinstance(coming, NextRun) else None
    pending = store.pending.read()
    if command is None and pending and holder is None:
        command = typed.of("recover")
    return Overview(status, error, holder, last, next(unsettled, last), str(coming), command, pending)


def _next_command(coming: NextRun, last: Optional[RunRecord], typed: CommandLine) -> Optional[str]:
    """Returns the command to type next; None if nothing has failed."""
    if last is not None and last.next is not None and not last.finished:
        return last.next.command
    if coming.last is not None:
        return replace(typed, command=coming.last.typed.command or ("run",)).again(resumed=True)
    return typed.of("recover") if coming.settled else None


def _next_run(status: Optional[Status], holder: Optional[Holder], store: RecordStore, mode: str) -> Union[NextRun, str]:
    if status is None:
        return "stops until the flag in the status file is 0, 1, 2 or 3"
    if holder is not None:
        what = holder.application_id if holder.on_yarn else f"process {holder.pid}"
        return f"exits 75 as long as {what} runs"
    return next_run(store, status.flag, mode)


def summary(record: RunRecord) -> dict[str, Any]:
    """Returns what ``history`` shows of one run: id, command, times, partitions, rows, outcome."""
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


def history_lines(
    summaries: Iterable[dict[str, Any]], paint: Paint = plain, width: Optional[int] = None
) -> Iterable[str]:
    """
    Yields the runs as a table, its heading first.

    Lines are cut to ``width``, if it is given. Narrow ones leave out when a run started, which its id says in UTC.
    """
    with_start = width is None or width >= _WIDTH_WITH_START
    started = f"{'STARTED':31}" if with_start else ""
    yield f"{'RUN':24}{'COMMAND':10}{started}{'TOOK':>12}{'DAYS':>6}{'ROWS':>14}  OUTCOME"
    for run in summaries:
        took = duration(run["seconds"]) if run["seconds"] is not None else ""
        started = f"{local_time(run['started']):31}" if with_start else ""
        before = (
            f"{run['run_id']:24}{run['command']:10}{started}{took:>12}{run['days']['listed']:>6}{run['rows']:>14,}  "
        )
        good = run["outcome"] == Outcome.SUCCESS.value
        more = _more(run, good=good)
        if width is not None:
            more = shown(more, max(1, width - len(before) - len(run["outcome"]))) if more else ""
        yield f"{before}{paint(run['outcome'], Colour.GOOD if good else Colour.BAD)}{more}"


def _more(run: dict[str, Any], *, good: bool) -> str:
    """Returns what the table says behind a run's outcome."""
    ways = {way: count for way, count in run["days"].items() if count and way != "listed"}
    remarkable = {"cleared", "kept", "refused", "lost"} & set(ways)
    counts = f" ({', '.join(f'{count:,} {way}' for way, count in ways.items())})" if remarkable else ""
    if run["rolled_back_by"]:
        return f"{counts}, rolled back by {run['rolled_back_by']}"
    return f"{counts}: {run['error']}" if not good and run["error"] else counts
