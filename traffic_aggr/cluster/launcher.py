"""
The launcher on the edge node, which runs the job in YARN's cluster mode.

It holds the lock, submits the application, shows the progress in the driver's run record, and exits with the driver's
exit code.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Optional

from traffic_aggr.cluster.request import DriverRequest
from traffic_aggr.cluster.submission import submit, tag
from traffic_aggr.config.config import Config
from traffic_aggr.errors import (
    DriverFailedError,
    Interrupted,
    LockHeldError,
    StateError,
    StepError,
    TrafficAggrError,
)
from traffic_aggr.host.edge import RunLock
from traffic_aggr.restate.context import operator_error
from traffic_aggr.restate.journal import RunJournal
from traffic_aggr.restate.signals import Stop
from traffic_aggr.run.plan import RunArguments, Step
from traffic_aggr.run.record import Outcome, RunRecord
from traffic_aggr.spark.hadoop import Hadoop
from traffic_aggr.spark.yarn import Application
from traffic_aggr.units import counted

log = logging.getLogger(__name__)

POLL_S = 1.0
ACCEPTED_WITHIN_S = 60.0
STOPS_WITHIN_S = 180.0
"""How long the driver may take to put old data back before the launcher kills its application."""


class Launcher:
    """Launches one run in the cluster; ``tables`` holds the configured table names by role."""

    def __init__(self, config: Config, journal: RunJournal, hadoop: Hadoop, tables: Mapping[str, str]) -> None:
        self._config = config
        self._journal = journal
        self._hadoop = hadoop
        self._tables = dict(tables)
        self._application_id: Optional[str] = None
        self._shown: Optional[int] = None

    def run(self, ask: Callable[[], RunArguments], run_id: str, caused_by: Optional[str] = None) -> RunRecord:
        """
        Has the driver restate the days that ``ask`` names, and returns the driver's record.

        Raises DriverFailedError with the driver's error and exit code, or another TrafficAggrError when the driver has
        not recorded how it ended.
        """
        record = self._journal.new_record("run", self._tables, run_id, caused_by=caused_by)
        with ExitStack() as held:
            stop = held.enter_context(Stop().listening())
            lock = held.enter_context(self._journal.lock(record))
            held.callback(self._hadoop.stop)
            try:
                application = self._start(record, ask, stop, lock)
                self._follow(application, run_id, stop)
                record = self._record_of(application.id, run_id)
                self._conclude(record, self._application(application.id), stop)
            except DriverFailedError:  # the driver has closed its record, and `_conclude` has shown it
                raise
            except Exception as exc:  # the operator gets one line, the log the traceback
                error = stop.reason() or operator_error(exc)
                self._fail(record, error)
                raise error from exc
            self._journal.edge.after_load(record)
        return record

    def _fail(self, record: RunRecord, error: TrafficAggrError) -> None:
        """
        Closes the record of a run that no driver can close any more.

        Once the application is known, only its driver knows where the data is. While that may still run, or its record
        cannot be read, this writes no record and only shows the failure.
        """
        if self._application_id is None:
            self._journal.fail(record, error)
            return
        try:
            ended = self._application(self._application_id).ended
            record = self._record_of(self._application_id, record.run_id)
        except StateError as exc:
            log.warning("%s", exc)
            ended = False
        if ended:
            self._journal.fail(record, error)
        else:
            record.note_error(f"{error}. {self._application_id} may still be running: see `status`")
            self._journal.show_failure(record)

    def _start(self, record: RunRecord, ask: Callable[[], RunArguments], stop: Stop, lock: RunLock) -> Application:
        flag = self._journal.edge.flag()
        asked = ask()
        record.take_list(asked.partitions, flag)
        self._journal.begin(record)
        dependants = tuple(self._journal.dependants)
        request = DriverRequest(record.run_id, asked, flag, record.typed, record.caused_by, dependants)
        try:
            submit(self._config, request, stop.sleep)
            application = self._submitted(record.run_id, stop)
        except TrafficAggrError:  # YARN may have accepted the application all the same
            self._withdraw(record.run_id)
            raise
        self._application_id = application.id
        lock.name_jvm(self._hadoop.process_id, application.id)
        log.info("run %s is %s: follow it at %s", record.run_id, application.id, application.tracking_url or "YARN")
        log.info("its log, once it has ended: yarn logs -applicationId %s", application.id)
        return application

    def _submitted(self, run_id: str, stop: Stop) -> Application:
        deadline = time.monotonic() + ACCEPTED_WITHIN_S
        while time.monotonic() < deadline:
            application = self._hadoop.applications.tagged(tag(run_id))
            if application is not None:
                return application
            stop.sleep(POLL_S)
        raise StepError(f"YARN does not know the application of run {run_id}", hint="Look into spark.log in logs.dir")

    def _withdraw(self, run_id: str) -> None:
        application = self._hadoop.applications.tagged(tag(run_id))
        if application is not None:
            self._application_id = application.id
            self._hadoop.applications.kill(application.id)

    def _follow(self, application: Application, run_id: str, stop: Stop) -> None:
        """Shows progress until the application has ended; stops it when a signal reaches this launcher."""
        silent = False
        try:
            while True:
                stop.check()
                try:
                    if self._application(application.id).ended:
                        return
                    self._show(self._record_of(application.id, run_id))
                    silent = False
                except Exception as exc:  # the driver goes on, so keep following it
                    if not silent:
                        log.warning("%s: %s is still followed", exc, application.id)
                    silent = True
                stop.sleep(POLL_S)
        except Interrupted as exc:
            self._end(application, run_id, exc)

    def _end(self, application: Application, run_id: str, interrupted: Interrupted) -> None:
        log.warning("%s: telling %s to put old data back and end", interrupted.message, application.id)
        signum = interrupted.exit_code - 128
        deadline = time.monotonic() + STOPS_WITHIN_S
        running = self._record_of(application.id, run_id)
        if running.application_id == application.id:
            self._journal.store.ask_to_stop(running.run_id, signum)
            while time.monotonic() < deadline:
                if self._application(application.id).ended:
                    return
                time.sleep(POLL_S)
        log.warning("%s is ended by force", application.id)
        self._hadoop.applications.kill(application.id)

    def _show(self, record: RunRecord) -> None:
        if record.outcome is Outcome.RUNNING and record.steps and record.flag != self._shown:
            self._shown = record.flag
            step = Step(record.flag)
            self._journal.mark(step)
            log.info("%s: %s", step.label, counted(len(record.days), "partition"))

    def _conclude(self, record: RunRecord, application: Application, stop: Stop) -> None:
        if record.outcome is Outcome.SUCCESS:
            self._journal.show_success(record)
            return
        if record.outcome is Outcome.RUNNING or record.exit_code is None:
            if stop.reason() is not None:
                raise StepError("stopped")  # `run` reports the signal instead
            raise StepError(
                f"{application.id} {application.state.lower()} before its run had ended"
                + (f" ({application.diagnostics})" if application.diagnostics else ""),
                hint=f"`yarn logs -applicationId {application.id}` may say why",
            )
        if record.exit_code == LockHeldError.exit_code:
            self._journal.leave_to_holder()
        else:
            self._journal.show_failure(record)
        raise DriverFailedError(
            record.error or f"the run was {record.outcome.value}",
            record.exit_code,
            next_command=record.next.command if record.next else "",
        )

    def _application(self, application_id: str) -> Application:
        found = self._hadoop.applications.find(application_id)
        if found is None:
            raise StateError(f"YARN no longer knows {application_id}", hint="`status` says where the data is")
        return found

    def _record_of(self, application_id: str, run_id: str) -> RunRecord:
        """Returns the application's newest record. Each attempt has its own; the first attempt's id is ``run_id``."""
        store = self._journal.store
        newer = [store.load(each) for each in store.run_ids() if each > run_id]
        return next((each for each in newer if each.application_id == application_id), store.load(run_id))
