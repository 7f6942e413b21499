"""
The edge node's part of a run: lock, status file, service desk, metrics, hooks.

A driver on the edge node uses ``EdgeNode``. In YARN's cluster mode the launcher uses it instead. The driver, on another
host, uses ``Edge``, which shows nothing: it only writes its run record, and the launcher shows what it reads there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from typing import Optional, Protocol

from traffic_aggr.clock import utc_now
from traffic_aggr.config.config import Config
from traffic_aggr.errors import StatusFlagError
from traffic_aggr.host import alerts
from traffic_aggr.host.alerts import failure_alert, recovery_alert
from traffic_aggr.host.holder import Holder
from traffic_aggr.host.hooks import run_after_load
from traffic_aggr.host.lock import FileLock
from traffic_aggr.host.metrics import write_metrics
from traffic_aggr.host.notify import Notifier
from traffic_aggr.host.status_file import FAILURE, RUNNING, SUCCESS, StatusFile
from traffic_aggr.run.plan import Step
from traffic_aggr.run.record import RunRecord

log = logging.getLogger(__name__)


class RunLock(Protocol):
    """What a run can do with the lock that it holds."""

    def name_jvm(self, pid: int, application_id: Optional[str] = None) -> None:
        """Adds the run's JVM to the holder that other processes see."""
        ...

    def assert_held(self) -> None:
        """Raises LockHeldError when the lock is lost."""
        ...


class _HeldElsewhere:
    """The lock as a driver on another host has it: the launcher holds it."""

    def name_jvm(self, pid: int, application_id: Optional[str] = None) -> None: ...

    def assert_held(self) -> None: ...


class Edge:
    """
    The edge node's side of a run.

    This class shows nothing and locks nothing, for a driver on another host. ``flag`` is the status file's.
    """

    def __init__(self, flag: int = 0) -> None:
        self._flag = flag

    def lock(self, holder: Holder) -> AbstractContextManager[RunLock]:
        """Holds the run lock. Raises LockHeldError."""
        return nullcontext(_HeldElsewhere())

    def flag(self) -> int:
        """The status file's flag: 0, or the step to start from. Raises StatusFlagError, StateError."""
        return self._flag

    def begin(self) -> None:
        """Shows that a run is in progress."""

    def mark(self, step: Step, name: str) -> None:
        """Shows the step in progress by its ``name``; the next run resumes an interrupted one from there."""

    def succeeded(self, record: RunRecord, failures: Callable[[], list[str]]) -> None:
        """
        Shows success and, if a ticket is open, mails the service desk a recovery notice.

        ``failures`` returns the ids of the failed runs that may have opened the ticket; it is called only for a notice.
        """

    def after_load(self, record: RunRecord) -> None:
        """Runs the site's ``hooks.after_load``."""

    def failed(self) -> None:
        """Shows failure."""

    def raise_ticket(self, record: RunRecord, concerned: RunRecord) -> None:
        """
        Opens one ticket per incident.

        ``concerned`` is the run whose record says where the data is: ``record``, or an earlier unsettled run.
        """

    def leave_metrics(self, record: RunRecord, concerned: RunRecord) -> None:
        """Writes the metrics of a run that has ended; ``concerned`` is as in ``raise_ticket``."""

    def left_to_holder(self) -> None:
        """
        Restores the job status that ``begin`` replaced, if it was called.

        For a run that touched nothing because another run holds the lock.
        """

    def recovered(self, flag: int) -> None:
        """Shows failure after interrupted runs were settled; the next run starts from ``flag``."""


class EdgeNode(Edge):
    """
    This host as the edge node.

    ``runs`` asks the resource manager whether an application has not ended, ``log_tail`` returns the last lines of
    the log, with secrets redacted, and ``now`` returns the current time.
    """

    def __init__(
        self,
        config: Config,
        notifier: Notifier,
        *,
        runs: Callable[[str], bool] = lambda application_id: False,
        log_tail: Callable[[], list[str]] = list,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._config = config
        self._notifier = notifier
        self._runs = runs
        self._log_tail = log_tail
        self._now = now
        self._status_file = StatusFile(str(config.state.status_file))
        self._status_before: Optional[str] = None

    def lock(self, holder: Holder) -> AbstractContextManager[RunLock]:
        return FileLock(str(self._config.state.lock_file), holder, runs=self._runs)

    def flag(self) -> int:
        return self._status_file.read().flag

    def begin(self) -> None:
        self._status_before = FAILURE
        with suppress(StatusFlagError):
            found = self._status_file.read().job_status
            if found in (RUNNING, SUCCESS):
                self._status_before = found
        self._status_file.update(job_status=RUNNING, ran_time=self._ran_time(), process_id=os.getpid())

    def mark(self, step: Step, name: str) -> None:
        self._status_file.update(flag=int(step), process_name=name)

    def succeeded(self, record: RunRecord, failures: Callable[[], list[str]]) -> None:
        ticket_open = self._status_file.ticket_created()
        self._status_file.update(flag=0, job_status=SUCCESS, ran_time=self._ran_time(), ticket_created=False)
        if ticket_open:
            self._notifier.send(recovery_alert(self._config.job, record, failures()))

    def after_load(self, record: RunRecord) -> None:
        run_after_load(self._config.hooks.after_load, record.run_id, record.days)

    def failed(self) -> None:
        self._status_file.update(job_status=FAILURE, ran_time=self._ran_time(), process_id=os.getpid())

    def raise_ticket(self, record: RunRecord, concerned: RunRecord) -> None:
        if self._status_file.ticket_created():
            log.info("a ticket for this failure is open already: no further mail")
            return
        sent = self._notifier.send(failure_alert(self._config.job, record, concerned, self._log_tail()))
        if sent:
            self._status_file.update(ticket_created=True)

    def resend_alerts(self) -> tuple[int, int]:
        """
        Mails the unsent alerts. Returns how many were mailed and how many are left.

        If the last one mailed is a failure and the job still shows failure, its ticket is now open: no second ticket
        follows, and a recovery notice will answer it. Raises OSError, StateError.
        """
        sent, left = self._notifier.resend()
        if sent and sent[-1].kind == alerts.FAILURE and self._status_file.job_status() == FAILURE:
            self._status_file.update(ticket_created=True)
        return len(sent), left

    def leave_metrics(self, record: RunRecord, concerned: RunRecord) -> None:
        textfile = self._config.metrics.textfile
        if textfile is not None and record.command == "run":
            write_metrics(textfile, self._config.job.name, record, concerned)

    def left_to_holder(self) -> None:
        if self._status_before is not None:
            self._status_file.update(job_status=self._status_before)

    def recovered(self, flag: int) -> None:
        self._status_file.update(flag=flag, job_status=FAILURE, ran_time=self._ran_time())

    def _ran_time(self) -> str:
        return f"{self._now().astimezone():%Y-%m-%d %H:%M:%S}"
