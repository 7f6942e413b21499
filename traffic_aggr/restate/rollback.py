"""Rollback: puts the days that a run published back as they were before it."""

from __future__ import annotations

import logging

from pyspark.sql import SparkSession

from traffic_aggr.errors import StepError
from traffic_aggr.hive.sql import TableName
from traffic_aggr.host.edge import RunLock
from traffic_aggr.restate import totals
from traffic_aggr.restate.context import Follow, JobContext, nothing_follows
from traffic_aggr.restate.signals import Stop
from traffic_aggr.restate.warehouse import Warehouse
from traffic_aggr.run.reconcile import reconcile_final
from traffic_aggr.run.record import RunRecord
from traffic_aggr.run.rollback_rules import refuse_rollback
from traffic_aggr.text import some_of
from traffic_aggr.units import counted

log = logging.getLogger(__name__)


def rollback(context: JobContext, target: str, run_id: str, *, follow: Follow = nothing_follows) -> RunRecord:
    """
    Puts the partitions back as they were before the run ``target``. Returns the rollback's record.

    Then ``follow`` restates what depends on them.
    """
    record = context.journal.new_record("rollback", context.tables, run_id, rolls_back=target)
    with context.recorded(record) as (stop, lock):
        context.journal.begin(record)
        with context.session() as spark:
            context.name_session(record, lock, spark)
            _rollback(context, spark, record, target, stop, lock)
            context.journal.succeed(record)
            failure = stop.reason() or follow(record, spark)
    if failure is not None:
        raise failure
    return record


def _rollback(
    context: JobContext, spark: SparkSession, record: RunRecord, target_id: str, stop: Stop, lock: RunLock
) -> None:
    warehouse = context.open(spark)
    record.find_table(warehouse.final_root)
    with context.table_lock(warehouse, record, lock) as locked:
        context.settle(locked)
        record.note_settled()
        target = refuse_rollback(context.journal.store, target_id, context.tables["final"])
        name = TableName.parse(target.tables["final"])
        publisher = context.publisher(locked, name, target.mode)
        publisher.refuse_unless_published(target)
        stop.check()
        context.journal.note_dependants(target.days)
        record.take_rolled_back(target)
        publisher.restore(record)
        context.journal.note_rolled_back(target, record)
        log.info("the old data of %s is back", counted(len(target.days), "partition"))
        _prove_old(warehouse, target)
        context.refresh_final(record, list(target.days))


def _prove_old(warehouse: Warehouse, target: RunRecord) -> None:
    final = warehouse.tables.final
    if final is None:
        return
    _, now, _ = totals.old_totals(target.job, warehouse.catalog, final, warehouse.files, list(target.days))
    differences = [
        difference
        for partition, found in now.items()
        for before in [target.totals_of(partition).final_before]
        if before is not None
        for difference in reconcile_final(target.job.totals, partition, before, found, "final now")
    ]
    if differences:
        raise StepError(f"the old data is not what it was: {some_of(differences)}", hint="Look at its files")
