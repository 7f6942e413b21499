"""Restates the pending partitions of dependants, after `run`, `recover` and `rollback`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Optional

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.output import say
from traffic_aggr.errors import Interrupted, StepError, TrafficAggrError
from traffic_aggr.events import Event, tell
from traffic_aggr.hive.partitions import PartitionList
from traffic_aggr.host import log as logs
from traffic_aggr.report.plan_text import result_lines
from traffic_aggr.run.dependants import Dependant, PendingDependants
from traffic_aggr.run.plan import RunArguments
from traffic_aggr.run.record import RunRecord, new_run_id
from traffic_aggr.run.result import result_document
from traffic_aggr.text import some_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)


def restate(
    invocation: Invocation,
    ask: Callable[[], RunArguments],
    run_id: str,
    caused_by: Optional[str] = None,
) -> RunRecord:
    """Restates what ``ask()`` names, where the configuration says, then what depends on it; tells each result."""

    log_file = invocation.config.logs.dir / logs.FILE_NAME

    def announced() -> RunArguments:
        asked = ask()
        message = f"run {run_id}: {_range(invocation, asked.partitions)}; log: {log_file}"
        tell(log, Event.RUN_STARTED, message, partitions=len(asked.partitions.partitions))
        return asked

    def show(record: RunRecord) -> None:
        if invocation.as_json:
            invocation.told.append(result_document(record))
            return
        for line in result_lines(record, invocation.store().report_path(record.run_id), log_file):
            say(line)

    if invocation.spark is None and invocation.config.spark.deploy_mode == "cluster":
        record = invocation.launcher(run_id).run(announced, run_id, caused_by)
        show(record)
        failure = follow(invocation, record, None)
        if failure is not None:
            raise failure
        return record
    from traffic_aggr.restate import restatement

    def tell_and_follow(record: RunRecord, spark: SparkSession) -> Optional[TrafficAggrError]:
        show(record)
        return follow(invocation, record, spark)

    context = invocation.context(run_id)
    return restatement.run(context, announced, run_id, caused_by=caused_by, follow=tell_and_follow)


def _range(invocation: Invocation, listed: PartitionList) -> str:
    """``30 days, 2021-04-01 to 2021-04-30``."""
    count = invocation.job.partition.counted(len(listed.partitions))
    if len(listed.partitions) < 2:
        return ", ".join((count, *listed.partitions))
    return f"{count}, {min(listed.partitions)} to {max(listed.partitions)}"


def follow(invocation: Invocation, record: RunRecord, spark: Optional[SparkSession]) -> Optional[TrafficAggrError]:
    """
    Restates the pending partitions of each dependant in the session ``spark``, or where its configuration says.

    Returns the error that names what is still pending, if one has failed. They stay pending until they are restated.
    """
    failures = []
    for dependant in invocation.dependants:
        try:
            _follow(invocation, dependant, record, spark)
        except Interrupted as exc:
            return exc
        except TrafficAggrError as exc:
            failures.append(f"{dependant.table}: {exc}")
    if not failures:
        return None
    done = f"{record.data_state}, but " if record.days else ""
    return StepError(
        f"{done}what is made from these days is not restated: {'; '.join(failures)}",
        hint="The next `run` or `recover` restates it",
        command=("recover",),
    )


def _follow(invocation: Invocation, dependant: Dependant, record: RunRecord, spark: Optional[SparkSession]) -> None:
    with _pending(invocation, spark) as state:
        pending = state.of(dependant)
    if not pending:
        return
    log.info("restating %s of %s, which is made from these days", some_of(pending, separator=", "), dependant.table)
    asked = RunArguments(PartitionList(pending, source=f"the days of run {record.run_id}"))
    try:
        restate(invocation.of(dependant, spark), lambda: asked, new_run_id(), record.run_id)
    except TrafficAggrError as exc:
        exc.message = f"{', '.join(pending)}: {exc.message}"
        raise
    finally:
        in_cluster = "impala.auth.password" if spark is None else None  # the driver has it, not the launcher
        invocation.log_to_file(record.run_id, invocation.secrets(but=in_cluster))
    with _pending(invocation, spark) as state:
        state.done(dependant, pending)


@contextmanager
def _pending(invocation: Invocation, spark: Optional[SparkSession]) -> Iterator[PendingDependants]:
    """Yields the state of what is pending. Without a session, a JVM that this needs ends with the block."""
    if spark is not None:
        yield invocation.store().pending
        return
    on_its_own = invocation.again()
    try:
        yield on_its_own.store().pending
    finally:
        on_its_own.close()
