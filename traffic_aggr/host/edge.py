"""
What of a run belongs to the edge node: the run lock, the shared status file, the service desk, the metrics,
the site's hooks.

The driver has them where it runs on the edge node. In YARN's cluster mode the launcher has them, and the driver, on
some other host, says in its record alone what the launcher then shows.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timezone
from typing import Optional, Protocol

from traffic_aggr.config.config import Config
from traffic_aggr.errors import StatusFlagError
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.host import notify
from traffic_aggr.host.holder import Holder
from traffic_aggr.host.hooks import run_after_load
from traffic_aggr.host.lock import FileLock
from traffic_aggr.host.metrics import write_metrics
from traffic_aggr.host.notify import Notifier, failure_alert, recovery_alert
from traffic_aggr.host.status_file import FAILURE, RUNNING, STEP_NAMES, SUCCESS, StatusFile
from traffic_aggr.run.plan import Step
from traffic_aggr.run.record import Publication, RunRecord
from traffic_aggr.run.result import days_in_words

log = logging.getLogger(__name__)


class RunLock(Protocol):
    """What a run does with its lock once it has it."""

    def name_jvm(self, pid: int, application_id: Optional[str] = None) -> None:
        """Adds the run's JVM to what others can see of the holder."""
        ...

    def assert_held(self) -> None:
        """Raises LockHeldError when the lock is lost."""
        ...


class Edge(Protocol):
    """The edge node's side of a run."""

    def lock(self, holder: Holder) -> AbstractContextManager[RunLock]:
        """Holds the run lock. Raises LockHeldError."""
        ...

    def flag(self) -> int:
        """The step that the status file says to start from. Raises StatusFlagError, StateError."""
        ...

    def begin(self) -> None:
        """Shows that a run is at work."""
        ...

    def mark(self, step: Step) -> None:
        """Shows the step in progress; a run that dies is resumed from it."""
        ...

    def succeeded(self, record: RunRecord, failures: Callable[[], list[str]]) -> None:
        """Shows success; the desk hears of it only if it has a ticket, for one of the runs that ``failures`` finds."""
        ...

    def after_load(self, run_id: str) -> None:
        """Runs the site's hooks."""
        ...

    def failed(self) -> None:
        """Shows failure."""
        ...

    def raise_ticket(self, record: RunRecord, concerned: RunRecord) -> None:
        """One ticket an incident; ``concerned`` is the run that says where the data is."""
        ...

    def leave_metrics(self, record: RunRecord, concerned: RunRecord) -> None:
        """Tells monitoring of a run that has ended; ``concerned`` is the run that says where the data is."""
        ...

    def left_to_holder(self) -> None:
        """Shows what was shown before: another run has the lock, and nothing was touched."""
        ...

    def recovered(self, flag: int) -> None:
        """Shows that days were made whole, and where the next run starts."""
        ...


class EdgeNode:
    """
    This host. ``runs`` asks the resource manager whether an application has not ended; ``log_tail`` gives the last
    lines of the log, secrets removed; ``now`` the time.
    """

    def __init__(
        self,
        config: Config,
        notifier: Notifier,
        *,
        runs: Callable[[str], bool] = lambda application_id: False,
        log_tail: Callable[[], list[str]] = list,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
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
        with suppress(StatusFlagError):
            self._status_before = self._status_file.read().job_status
        self._status_file.update(job_status=RUNNING, ran_time=self._ran_time(), process_id=os.getpid())

    def mark(self, step: Step) -> None:
        self._status_file.update(flag=int(step), process_name=STEP_NAMES[step])

    def succeeded(self, record: RunRecord, failures: Callable[[], list[str]]) -> None:
        ticket_open = self._status_file.ticket_created()
        self._status_file.update(flag=0, job_status=SUCCESS, ran_time=self._ran_time(), ticket_created=False)
        if ticket_open:
            job = self._config.job
            self._notifier.send(
                recovery_alert(
                    job=job.name,
                    script_name=job.script_name,
                    run_id=record.run_id,
                    failure_run_ids=failures(),
                    host=record.host,
                    partitions=record.partitions,
                    day_states=[days_in_words(record)],
                    data_state=record.data_state,
                )
            )

    def after_load(self, run_id: str) -> None:
        run_after_load(self._config.hooks.after_load, run_id)

    def failed(self) -> None:
        self._status_file.update(job_status=FAILURE, ran_time=self._ran_time(), process_id=os.getpid())

    def raise_ticket(self, record: RunRecord, concerned: RunRecord) -> None:
        if self._status_file.ticket_created():
            log.info("a ticket for this failure is open already: no further mail")
            return
        job = self._config.job
        sent = self._notifier.send(
            failure_alert(
                job=job.name,
                script_name=job.script_name,
                run_id=record.run_id,
                host=record.host,
                step=record.steps[-1].name if record.steps else "preflight",
                error=record.error or "",
                partitions=concerned.partitions or list(concerned.days) or record.partitions,
                data_state=concerned.data_state,
                day_states=[days_in_words(concerned), *day_states(concerned)],
                log_tail=self._log_tail(),
                next_command=record.next.command if record.next else record.typed.of("status"),
                next_does=record.next.does if record.next else "",
            )
        )
        if sent:
            self._status_file.update(ticket_created=True)

    def resend_alerts(self) -> tuple[int, int]:
        """
        Mails the alerts that wait; how many were mailed, and how many are left. Where the last one is a failure that
        lasts, its ticket is open now: no other follows, and a recovery will answer it. Raises OSError, StateError.
        """
        sent, left = self._notifier.resend()
        if sent and sent[-1].kind == notify.FAILURE and self._status_file.job_status() == FAILURE:
            self._status_file.update(ticket_created=True)
        return len(sent), left

    def leave_metrics(self, record: RunRecord, concerned: RunRecord) -> None:
        textfile = self._config.metrics.textfile
        if textfile is not None and record.command == "run":
            write_metrics(textfile, self._config.job.name, record, concerned)

    def left_to_holder(self) -> None:
        before = self._status_before if self._status_before in (RUNNING, SUCCESS, FAILURE) else FAILURE
        self._status_file.update(job_status=before)

    def recovered(self, flag: int) -> None:
        self._status_file.update(flag=flag, job_status=FAILURE, ran_time=self._ran_time())

    def _ran_time(self) -> str:
        return f"{self._now().astimezone():%Y-%m-%d %H:%M:%S}"


class NoEdgeNode:
    """A driver on another host than the edge node, started with the ``flag`` that the status file had."""

    def __init__(self, flag: int) -> None:
        self._flag = flag

    @contextmanager
    def lock(self, holder: Holder) -> Iterator[RunLock]:
        """The launcher holds it."""
        yield self

    def name_jvm(self, pid: int, application_id: Optional[str] = None) -> None: ...

    def assert_held(self) -> None: ...

    def flag(self) -> int:
        return self._flag

    def begin(self) -> None: ...

    def mark(self, step: Step) -> None: ...

    def succeeded(self, record: RunRecord, failures: Callable[[], list[str]]) -> None: ...

    def after_load(self, run_id: str) -> None: ...

    def failed(self) -> None: ...

    def raise_ticket(self, record: RunRecord, concerned: RunRecord) -> None: ...

    def leave_metrics(self, record: RunRecord, concerned: RunRecord) -> None: ...

    def left_to_holder(self) -> None: ...

    def recovered(self, flag: int) -> None: ...


def day_states(record: RunRecord) -> Sequence[str]:
    """Each day of the plan with what the table holds for it now."""
    return [
        *_changed_day_states(record),
        *(f"{partition}: kept as before" for partition in record.kept),
        *(f"{partition}: refused, as before" for partition in record.refused if partition not in record.days),
    ]


def _changed_day_states(record: RunRecord) -> Sequence[str]:
    if record.publication is Publication.PUBLISHED and not record.rolled_back_by:
        return [f"{partition}: {'new data' if day.new else 'cleared'}" for partition, day in record.days.items()]
    if record.publication.settled:
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
    refused = "refused, " if partition in record.refused else ""
    return f"{refused}{'old data' if record.days[partition].before else 'no data, as before'}"
