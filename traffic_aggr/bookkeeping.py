"""
What a run tells the outside: its record and report, the shared status file, the service desk, and who holds the lock.
"""

from __future__ import annotations

import getpass
import logging
import os
import shlex
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Optional

from traffic_aggr.config import Config
from traffic_aggr.errors import Interrupted, LockHeldError, StatusFlagError, TrafficAggrError
from traffic_aggr.lock import FileLock, Holder, process_start_time
from traffic_aggr.notify import Notifier, failure_alert, recovery_alert
from traffic_aggr.partitions import Partition
from traffic_aggr.plan import Step
from traffic_aggr.report import render_report
from traffic_aggr.runrecord import Outcome, Publication, RunRecord
from traffic_aggr.state import RecordStore
from traffic_aggr.statusfile import FAILURE, RUNNING, STEP_NAMES, SUCCESS, StatusFile

log = logging.getLogger(__name__)


@dataclass
class Bookkeeping:
    """
    The records of one configuration. ``log_tail`` gives the last lines of the log, secrets removed;
    ``now`` the time.
    """

    config: Config
    store: RecordStore
    status_file: StatusFile
    notifier: Notifier
    log_tail: Callable[[], list[str]] = list
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    _status_before: Optional[str] = None

    def new_record(self, command: str, tables: dict[str, str], run_id: str) -> RunRecord:
        """The record of a command that begins now, in this process; not on disk yet."""
        return RunRecord(
            run_id=run_id,
            command=command,
            started=self._time(),
            host=socket.gethostname(),
            user=getpass.getuser(),
            process_id=os.getpid(),
            process_started=process_start_time(os.getpid()),
            config_digest=self.config.digest,
            mode=self.config.publish.mode,
            tables=tables,
        )

    # ---- locks

    @contextmanager
    def lock(self, record: RunRecord) -> Iterator[FileLock]:
        """Holds the run lock. Raises LockHeldError."""
        with self.table_lock(str(self.config.state.lock_file), record) as lock:
            yield lock

    @contextmanager
    def table_lock(self, path: str, record: RunRecord) -> Iterator[FileLock]:
        """Holds the lock file at ``path`` in the name of the record's process. Raises LockHeldError."""
        holder = Holder.this_process(record.run_id, record.command, record.started)
        with FileLock(path, holder) as lock:
            yield lock

    # ---- the course of a run

    def save(self, record: RunRecord) -> None:
        self.store.save(record)

    def begin(self, record: RunRecord) -> None:
        """Shows the run as running."""
        self.save(record)
        with suppress(StatusFlagError):
            self._status_before = self.status_file.read().job_status
        self.status_file.update(job_status=RUNNING, ran_time=self._ran_time(), process_id=os.getpid())

    def mark(self, step: Step) -> None:
        """Shows the step in progress; a run that dies is resumed from it."""
        self.status_file.update(flag=int(step), process_name=STEP_NAMES[step])

    def succeed(self, record: RunRecord) -> None:
        """Closes the record and the status file; the desk hears of it only if it has a ticket."""
        record.outcome, record.exit_code, record.ended, record.flag = Outcome.SUCCESS, 0, self._time(), 0
        self.save(record)
        self._write_report(record)
        ticket_open = self.status_file.ticket_created()
        self.status_file.update(flag=0, job_status=SUCCESS, ran_time=self._ran_time(), ticket_created=False)
        if ticket_open:
            self.notifier.send(
                recovery_alert(
                    job=self.config.job.name,
                    script_name=self.config.job.script_name,
                    run_id=record.run_id,
                    failure_run_id=self._last_failure(record),
                    host=record.host,
                    partitions=list(record.days),
                    data_state=record.data_state,
                )
            )

    def fail(self, record: RunRecord, error: TrafficAggrError) -> None:
        """
        Closes the record, sets Failure, and opens one ticket an incident. A failure to tell is logged and
        does not hide ``error``, which is told where the data is.
        """
        if isinstance(error, LockHeldError):
            self._leave_to_holder(record, error)
            return
        concerned = self._concerned(record)
        whose = f"run {concerned.run_id}: " if concerned is not record else ""
        error.message = f"{error.message}; {whose}{concerned.data_state}"
        record.error, record.exit_code, record.ended = str(error), error.exit_code, self._time()
        record.outcome = _outcome(error)
        self._attempt("write the run record", lambda: self.save(record))
        self._attempt("write the report", lambda: self._write_report(record))
        self._attempt(
            "update the status file",
            lambda: self.status_file.update(job_status=FAILURE, ran_time=self._ran_time(), process_id=os.getpid()),
        )
        if not isinstance(error, Interrupted):
            self._attempt("raise the ticket", lambda: self._raise_ticket(record, concerned))

    def _leave_to_holder(self, record: RunRecord, error: LockHeldError) -> None:
        """
        Nothing was touched, so status and desk stay as they were. A run that lost its lock meanwhile leaves even its
        own record alone: whoever has the lock now has settled the run, or will.
        """
        if record.steps or record.publication is not Publication.UNTOUCHED:
            log.error("run %s has lost its lock and changes nothing more", record.run_id)
            return
        record.error, record.exit_code, record.ended = str(error), error.exit_code, self._time()
        record.outcome = Outcome.REFUSED
        self._attempt("write the run record", lambda: self.save(record))
        before = self._status_before if self._status_before in (RUNNING, SUCCESS, FAILURE) else FAILURE
        self._attempt("update the status file", lambda: self.status_file.update(job_status=before))

    def recovered(self, settled: list[RunRecord]) -> None:
        """Leaves the flag so that the next run starts afresh, or only refreshes and verifies what is loaded."""
        newest = settled[0]
        newest.flag = int(Step.LOAD) if newest.publication is Publication.PUBLISHED else 0
        self.save(newest)
        self.status_file.update(flag=newest.flag, job_status=FAILURE, ran_time=self._ran_time())

    # ---- parts

    def _concerned(self, record: RunRecord) -> RunRecord:
        """The run that says where the data is: ``record``, or an earlier one that died and is not settled yet."""
        if record.settled_earlier_runs or not record.publication.settled:
            return record
        try:
            earlier = [each for each in self.store.unsettled() if not each.publication.settled]
        except (TrafficAggrError, OSError) as exc:
            log.error("could not look for runs that died: %s", exc)
            return record
        return earlier[0] if earlier else record

    def _raise_ticket(self, record: RunRecord, concerned: RunRecord) -> None:
        if self.status_file.ticket_created():
            log.info("a ticket for this failure is open already: no further mail")
            return
        sent = self.notifier.send(
            failure_alert(
                job=self.config.job.name,
                script_name=self.config.job.script_name,
                run_id=record.run_id,
                host=record.host,
                step=record.steps[-1].name if record.steps else "preflight",
                error=record.error or "",
                partitions=list(concerned.days) or record.partitions,
                data_state=concerned.data_state,
                day_states=day_states(concerned),
                log_tail=self.log_tail(),
                next_command=self.next_command(),
            )
        )
        if sent:
            self.status_file.update(ticket_created=True)

    def next_command(self) -> str:
        """The command that resumes the job with this configuration."""
        program = os.environ.get("TRAFFIC_AGGR_PROGRAM", "traffic-aggr")
        return f"{shlex.quote(program)} run --config {shlex.quote(str(self.config.path))}"

    def _last_failure(self, record: RunRecord) -> Optional[str]:
        failures = (each for each in self.store.newest_first() if each.exit_code and each.run_id != record.run_id)
        return next((each.run_id for each in failures), None)

    def _write_report(self, record: RunRecord) -> None:
        self.store.write_report(record.run_id, render_report(record))

    def _attempt(self, what: str, action: Callable[[], object]) -> None:
        try:
            action()
        except (TrafficAggrError, OSError) as exc:
            log.error("could not %s: %s", what, exc)

    def _time(self) -> str:
        return self.now().astimezone(timezone.utc).isoformat(timespec="milliseconds")

    def _ran_time(self) -> str:
        return f"{self.now().astimezone():%Y-%m-%d %H:%M:%S}"


def _outcome(error: TrafficAggrError) -> Outcome:
    if isinstance(error, Interrupted):
        return Outcome.STOPPED
    return Outcome.REFUSED if error.exit_code in (2, 3) else Outcome.FAILED


def day_states(record: RunRecord) -> list[str]:
    """Each changed day with what the table holds for it now."""
    if record.publication is Publication.PUBLISHED:
        return [f"{partition}: new data" for partition in record.days]
    if record.publication in (Publication.UNTOUCHED, Publication.RESTORED):
        return [f"{partition}: {_old_state(record, partition)}" for partition in record.days]
    if record.mode == "swap":
        return [
            f"{partition}: {f'old data kept in {day.before.location}' if day.before else 'had no data before'}"
            for partition, day in record.days.items()
        ]
    return [f"{partition}: old data kept in {day.kept}" for partition, day in record.days.items()]


def _old_state(record: RunRecord, partition: Partition) -> str:
    if partition in record.lost:
        return "old data is gone"
    return "old data" if record.days[partition].before else "no data, as before"
