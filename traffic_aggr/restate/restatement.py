"""
Restates days: has the plan made, and runs it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Callable, Optional

from pyspark.sql import SparkSession

from traffic_aggr.errors import GuardError
from traffic_aggr.events import Event, tell
from traffic_aggr.hive.catalog import TableFacts
from traffic_aggr.hive.layout import Placement, run_directory
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.scan import open_scan
from traffic_aggr.hive.sql import TableName
from traffic_aggr.host.edge import RunLock
from traffic_aggr.restate import execute, totals, witness
from traffic_aggr.restate.context import Follow, JobContext, nothing_follows
from traffic_aggr.restate.planning import LOOKING, make_plan, sources_of
from traffic_aggr.restate.signals import Stop
from traffic_aggr.restate.sources import Sources
from traffic_aggr.restate.steps import Work
from traffic_aggr.restate.tables import table_names
from traffic_aggr.restate.warehouse import LockedWarehouse, Warehouse
from traffic_aggr.run.breakdown import UsageBy
from traffic_aggr.run.plan import Plan, RunArguments, Step
from traffic_aggr.run.record import Day, DayTotals, RunRecord
from traffic_aggr.spark import progress

log = logging.getLogger(__name__)


def run(
    context: JobContext,
    ask: Callable[[], RunArguments],
    run_id: str,
    *,
    caused_by: Optional[str] = None,
    follow: Follow = nothing_follows,
) -> RunRecord:
    """
    Restates the days that ``ask()`` names and returns the run's record. Then ``follow`` restates what depends on them.

    Raises TrafficAggrError. A run that fails while it changes the table, or whose published data differs from staging,
    puts the old data back first. ``caused_by`` is the run that this one follows.
    """
    record = context.journal.new_record("run", context.tables, run_id, caused_by=caused_by)
    with context.recorded(record) as (stop, lock):
        flag = context.journal.edge.flag()
        asked = ask()
        record.take_list(asked.partitions, flag)
        context.journal.begin(record)
        with context.session() as spark:
            context.name_session(record, lock, spark)
            stop.cancel = spark.sparkContext.cancelAllJobs
            _run(context, spark, record, asked, stop, lock)
            context.journal.succeed(record)
            context.journal.edge.after_load(record)
            failure = stop.reason() or follow(record, spark)
    if failure is not None:
        raise failure
    return record


def _run(
    context: JobContext, spark: SparkSession, record: RunRecord, ask: RunArguments, stop: Stop, lock: RunLock
) -> None:
    warehouse = context.open(spark)
    record.find_table(warehouse.final_root)
    with context.table_lock(warehouse, record, lock) as locked:
        context.settle(locked)
        record.note_settled()
        context.journal.save(record)
        stop.check()
        with sources_of(context, warehouse, ask) as sources:
            _restate(context, locked, record, sources, ask, stop)


def _restate(
    context: JobContext,
    warehouse: LockedWarehouse,
    record: RunRecord,
    sources: Sources,
    ask: RunArguments,
    stop: Stop,
) -> None:
    with progress.shown(warehouse.spark, LOOKING):
        plan, last = make_plan(context, warehouse, sources, ask, record.flag)
    _take_over(context, record, plan, last, warehouse)
    _log_plan(plan)
    stop.check()
    _refuse(plan)
    impala = context.impala(stop)
    if impala is not None and context.config.impala.verify_raw and not plan.verify_only:
        witness.prove_raw(impala, record, warehouse.tables.raw, sources.read, context.journal.save)
    if not record.days:
        log.info("nothing to restate")
        return
    if impala is not None:
        impala.probe()
    warehouse.assert_locked()
    staging, final, created = _create_missing(context, warehouse)
    work = Work(
        warehouse=warehouse,
        sources=sources,
        staging=staging,
        final=final,
        created=created,
        plan=plan,
        record=record,
        publisher=context.publisher(warehouse, final.name, record.mode),
        old_usage=_old_usage(warehouse, sources, plan),
        impala=impala,
        config=context.config,
        stop=stop,
        save=context.journal.save,
    )
    if not plan.verify_only:
        context.journal.note_dependants(plan.changed)
    execute.execute(work, lambda step: _mark(context, record, step, last))


def _old_usage(warehouse: Warehouse, sources: Sources, plan: Plan) -> Optional[UsageBy]:
    """Returns the usage of the old days, which must be read before the drop step takes them out of the table."""
    with_rows = [partition for partition in plan.changed if (old := plan.days[partition].old) is not None and old.rows]
    final = warehouse.tables.final
    if final is None or Step.STAGE not in plan.steps or not with_rows:
        return UsageBy({})
    scan = open_scan(warehouse.catalog, final, warehouse.files, plan.job.partition.name, with_rows)
    return totals.usage_by(plan.job, sources.aggregation, scan.restricted, new=False)


def _mark(context: JobContext, record: RunRecord, step: Step, last: Optional[RunRecord]) -> None:
    context.journal.mark(step)
    if last is not None and last.run_id == record.resumes and last.continued_by is None:
        # Not before this run starts a step of its own, from which a later run would resume.
        last.note_continued(record.run_id)
        context.journal.save(last)


def _take_over(
    context: JobContext, record: RunRecord, plan: Plan, last: Optional[RunRecord], warehouse: Warehouse
) -> None:
    """Saves the plan in the record: the days to change, the findings, and what the run resumes from ``last``."""
    record.note(*plan.notes)
    record.take_findings(
        {partition: DayTotals(raw=day.raw, final_before=day.old) for partition, day in plan.days.items()},
        {partition: day.input for partition, day in plan.days.items() if day.input is not None},
        kept=plan.kept,
        refused=plan.refused,
    )
    if plan.verify_only and last is not None:
        record.take_published(last)
    else:
        aside = f"{run_directory(warehouse.final_root, record.run_id)}/old"
        placements = _placements(context, warehouse, plan.changed)
        record.take_days(
            {
                partition: Day(
                    home=f"{warehouse.final_root}/{partition.directory}",
                    kept=f"{aside}/{partition.directory}",
                    before=placements.get(partition),
                )
                for partition in plan.changed
            }
        )
    if plan.resumes is not None:
        record.resume(plan.resumes)
    if plan.reuses_staged and last is not None:
        record.take_staged(last, plan.restated)
    context.journal.save(record)


def _placements(
    context: JobContext, warehouse: Warehouse, partitions: Sequence[Partition]
) -> Mapping[Partition, Placement]:
    final = warehouse.tables.final
    return warehouse.catalog.table(final).partitions(partitions) if final else {}


def _create_missing(context: JobContext, warehouse: Warehouse) -> tuple[TableFacts, TableFacts, tuple[TableName, ...]]:
    created = []
    found = {}
    for role in ("staging", "final"):
        facts = getattr(warehouse.tables, role)
        if facts is None:
            name = table_names(context.config.tables, context.job)[role]
            location = warehouse.catalog.default_location(name)
            column = context.job.partition.name
            facts = warehouse.catalog.create_partitioned(name, context.job.final, column, location)
            created.append(name)
            log.info("created %s as Parquet in %s", name, location)
        found[role] = facts
    return found["staging"], found["final"], tuple(created)


def _log_plan(plan: Plan) -> None:
    for note in plan.notes:
        log.info("%s", note)
    labels = [step.label for step in plan.steps]
    tell(log, Event.PLANNED, f"plan: {' -> '.join(labels)}; {plan.summary}", steps=labels, partitions=len(plan.changed))


def _refuse(plan: Plan) -> None:
    if plan.refusals:
        text = "; ".join(f"{refusal.guard}: {refusal.message}" for refusal in plan.refusals)
        raise GuardError(text, hint=". ".join(dict.fromkeys(refusal.hint for refusal in plan.refusals)))
