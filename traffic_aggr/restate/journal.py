"""
The journal of a run: its record and report. What the edge node shows of it goes through ``edge``.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Optional

from traffic_aggr.clock import timestamp, utc_now
from traffic_aggr.config.config import Config
from traffic_aggr.errors import Interrupted, LockHeldError, PartitionListError, TrafficAggrError
from traffic_aggr.events import Event, tell
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.host.edge import Edge, RunLock
from traffic_aggr.host.holder import Holder, process_start_time
from traffic_aggr.report.index import SHOWN, render_index
from traffic_aggr.report.page import report_files
from traffic_aggr.run.command_line import UNKNOWN, CommandLine
from traffic_aggr.run.dependants import Dependant
from traffic_aggr.run.next_run import next_run
from traffic_aggr.run.plan import Step
from traffic_aggr.run.record import Next, Outcome, Publication, RunRecord
from traffic_aggr.run.result import state_of
from traffic_aggr.run.store import RecordStore
from traffic_aggr.units import counted, duration
from traffic_aggr.user import user_name

log = logging.getLogger(__name__)


@dataclass
class RunJournal:
    """
    Keeps the records of one configuration's runs.

    ``typed`` is the command as the operator typed it, ``now`` returns the current time. ``application_id`` and
    ``attempt`` are those of the YARN application that this driver runs in, if any. ``dependants`` follow the changes.
    """

    config: Config
    store: RecordStore
    edge: Edge
    typed: CommandLine = UNKNOWN
    now: Callable[[], datetime] = utc_now
    application_id: Optional[str] = None
    attempt: Optional[int] = None
    dependants: Sequence[Dependant] = ()

    def new_record(
        self,
        command: str,
        tables: dict[str, str],
        run_id: str,
        rolls_back: Optional[str] = None,
        caused_by: Optional[str] = None,
    ) -> RunRecord:
        """Returns the record of a command that starts now in this process. It is not on disk yet."""
        return RunRecord(
            run_id=run_id,
            command=command,
            started=self._time(),
            host=socket.gethostname(),
            user=user_name(),
            process_id=os.getpid(),
            job=self.store.job,
            process_started=process_start_time(os.getpid()),
            typed=self.typed,
            config_digest=self.config.digest,
            mode=self.config.publish.mode,
            tables=tables,
            application_id=self.application_id,
            rolls_back=rolls_back,
            caused_by=caused_by,
        )

    def holder(self, record: RunRecord) -> Holder:
        """Returns this process as the lock holder for ``record``."""
        return Holder.this_process(
            record.run_id, record.command, record.started, application_id=self.application_id, attempt=self.attempt
        )

    def lock(self, record: RunRecord) -> AbstractContextManager[RunLock]:
        """Holds the run lock. Raises LockHeldError when another run has it."""
        return self.edge.lock(self.holder(record))

    # ---- life cycle of a run

    def save(self, record: RunRecord) -> None:
        self.store.save(record)

    def note_dependants(self, changing: Iterable[Partition]) -> None:
        """Notes what has to follow ``changing`` days. Call it before they change. Raises StateError."""
        if self.dependants:
            self.store.pending.note(self.dependants, changing)

    def begin(self, record: RunRecord) -> None:
        """Saves the record and shows the run as running."""
        self.save(record)
        self.edge.begin()

    def mark(self, step: Step) -> None:
        """Shows the step in progress, from which an interrupted run resumes."""
        self.edge.mark(step, self.store.job.step_names[step - 1])

    def succeed(self, record: RunRecord) -> None:
        """Closes the record, writes the report and shows success."""
        record.end(Outcome.SUCCESS, 0, self._time())
        self.save(record)
        self._write_report(record)
        self.write_index()
        for partition in record.days:
            state, after = state_of(record, partition), record.totals_of(partition).final_after
            rows = None if after is None else after.rows
            message = f"{partition}: {state}{'' if rows is None else ', ' + counted(rows, 'row')}"
            tell(log, Event.PARTITION_ENDED, message, quiet=True, partition=partition, state=state, rows=rows)
        self._tell_end(record)
        self.show_success(record)

    def show_success(self, record: RunRecord) -> None:
        """Shows the recorded success, and notifies the service desk if a ticket is open."""
        self.edge.succeeded(record, lambda: self._failures_before(record))
        self.edge.leave_metrics(record, record)

    def fail(self, record: RunRecord, error: TrafficAggrError) -> None:
        """
        Closes the record, shows failure, and opens one ticket per incident unless a signal stopped the run.

        Adds the state of the data to ``error.message``. Problems with recording or reporting are only logged, so that
        they do not hide ``error``.
        """
        if isinstance(error, LockHeldError):
            self._leave_to_holder(record, error)
            return
        concerned = self._concerned(record)
        whose = f"run {concerned.run_id}: " if concerned is not record else ""
        error.message = f"{error.message}; {whose}{concerned.data_state}"
        record.end(_outcome(error), error.exit_code, self._time(), str(error))
        self._attempt("find out what to run next", lambda: self._name_next(record, error))
        self._attempt("write the run record", lambda: self.save(record))
        self._attempt("write the report", lambda: self._write_report(record))
        self.write_index()
        self._tell_end(record)
        self._show_failure(record, concerned)

    def show_failure(self, record: RunRecord) -> None:
        """Shows the recorded failure."""
        self._show_failure(record, self._concerned(record))

    def _show_failure(self, record: RunRecord, concerned: RunRecord) -> None:
        self._attempt("update the status file", self.edge.failed)
        self.edge.leave_metrics(record, concerned)
        if record.outcome is not Outcome.STOPPED:
            self._attempt("raise the ticket", lambda: self.edge.raise_ticket(record, concerned))

    def _leave_to_holder(self, record: RunRecord, error: LockHeldError) -> None:
        """
        Records that another run holds the lock; the status file and the service desk stay as they were.

        A run that lost its lock after it began leaves even its own record alone: the new holder has settled the run, or
        will.
        """
        if record.steps or record.publication is not Publication.UNTOUCHED:
            log.error("run %s has lost its lock and changes nothing more", record.run_id)
            return
        record.end(Outcome.REFUSED, error.exit_code, self._time(), str(error))
        self._attempt("find out what to run next", lambda: self._name_next(record, error))
        self._attempt("write the run record", lambda: self.save(record))
        self.leave_to_holder()

    def leave_to_holder(self) -> None:
        """Puts the job status back to what it was before this run."""
        self._attempt("update the status file", self.edge.left_to_holder)

    def recovered(self, settled: list[RunRecord]) -> None:
        """
        Sets the flag to where the next run starts, from the newest of the ``settled`` runs.

        If that run published, the next one only refreshes and verifies. Otherwise it starts over.
        """
        newest = settled[0]
        newest.restart_at(int(Step.LOAD) if newest.publication is Publication.PUBLISHED else 0)
        self.save(newest)
        self.edge.recovered(newest.flag)

    def note_rolled_back(self, target: RunRecord, rollback: RunRecord) -> None:
        """Notes in the record and report of ``target`` that ``rollback`` put its days back."""
        target.note_rolled_back(rollback.run_id)
        self.save(target)
        self._attempt("write the report of the run that was rolled back", lambda: self._write_report(target))

    def report_settled(self, settled: Iterable[RunRecord]) -> None:
        """Writes the reports of runs that died before they wrote them, and the page of all runs."""
        for record in settled:
            self._attempt("write the report of an interrupted run", partial(self._write_report, record))
        self.write_index()

    def write_index(self) -> None:
        """Writes the page of all runs; a problem with it is only logged."""

        def write() -> None:
            run_ids = self.store.run_ids()
            runs = [self.store.load(run_id) for run_id in run_ids[:SHOWN]]
            self.store.write_index(render_index(self.config.job.name, runs, len(run_ids), self.store.pending.read()))

        self._attempt("write the page of all runs", write)

    # ---- helpers

    def _tell_end(self, record: RunRecord) -> None:
        took = record.seconds or 0.0
        message = f"{record.command} {record.run_id}: {record.outcome.value}, {duration(took)}"
        fields = {"command": record.command, "outcome": record.outcome.value, "exit_code": record.exit_code}
        tell(log, Event.RUN_ENDED, message, quiet=True, **fields, partitions=len(record.days), seconds=round(took, 3))

    def _name_next(self, record: RunRecord, error: TrafficAggrError) -> None:
        """Puts the command to type next into the record and the error, and what it will do into the record."""
        if isinstance(error, PartitionListError) and {"--dates", "--month"} & set(record.typed.command):
            return  # the mistake is in the command itself
        resumed = bool(record.steps)
        command = record.typed.of(*error.command) if error.command else record.typed.again(resumed=resumed)
        record.name_next(Next(command))
        error.next = command
        if record.command == "run" and record.partitions and not error.command:
            flag = record.flag if resumed else self.edge.flag()
            from_step = None if resumed else self.typed.from_step
            found = next_run(self.store, flag, record.mode, Step[from_step.upper()] if from_step else None)
            record.name_next(Next(command, found.after(record)))

    def _concerned(self, record: RunRecord) -> RunRecord:
        """Returns the run whose record says where the data is: ``record``, or an earlier one that is not settled."""
        if record.settled_earlier_runs or not record.publication.settled:
            return record
        try:
            earlier = [each for each in self.store.unsettled() if not each.publication.settled]
        except (TrafficAggrError, OSError) as exc:
            log.error("could not look for interrupted runs: %s", exc)
            return record
        return earlier[0] if earlier else record

    def _failures_before(self, record: RunRecord) -> list[str]:
        """Returns the ids of the failed runs since the last success, oldest first. One of them raised the ticket."""
        failures: list[str] = []
        for each in self.store.newest_first():
            if each.outcome is Outcome.SUCCESS and each.run_id != record.run_id:
                break
            if each.outcome in (Outcome.FAILED, Outcome.REFUSED) and each.exit_code != LockHeldError.exit_code:
                failures.insert(0, each.run_id)
        return failures

    def _write_report(self, record: RunRecord) -> None:
        files = report_files(record, self.config.publish.keep_days, self.store.run_before(record))
        self.store.write_report(record.run_id, files)

    def _attempt(self, what: str, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as exc:  # whatever it is, it must not hide what came of the run
            log.error("could not %s: %s", what, exc)
            log.debug("the traceback", exc_info=exc)

    def _time(self) -> str:
        return timestamp(self.now())


def _outcome(error: TrafficAggrError) -> Outcome:
    if isinstance(error, Interrupted):
        return Outcome.STOPPED
    return Outcome.REFUSED if error.exit_code in (2, 3) else Outcome.FAILED
