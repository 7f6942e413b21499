"""
Taking back: recovery of runs that died, and rollback of runs that succeeded.
"""

from __future__ import annotations

import logging
from copy import deepcopy

from pyspark.sql import SparkSession

from traffic_aggr import preflight
from traffic_aggr.controls import reconcile_final, summary
from traffic_aggr.edge import RunLock
from traffic_aggr.errors import StepError
from traffic_aggr.rollback import refuse_rollback
from traffic_aggr.runrecord import RunRecord
from traffic_aggr.sql import TableName
from traffic_aggr.stop import Stop
from traffic_aggr.units import counted
from traffic_aggr.workplace import Warehouse, Workplace

log = logging.getLogger(__name__)


def recover(place: Workplace, run_id: str) -> list[RunRecord]:
    """Takes interrupted runs forward or back until their days are whole; those runs, newest first."""
    record = place.books.new_record("recover", place.tables, run_id)
    with place.recorded(record) as (stop, lock), place.session() as spark:
        place.name_session(record, lock, spark)
        warehouse = place.open(spark)
        with place.table_lock(warehouse, record, lock) as still_locked:

            def tell(settled: list[RunRecord]) -> None:
                place.books.recovered(settled)
                record.days, record.publication = settled[0].days, settled[0].publication

            settled = place.settle(warehouse, still_locked, tell)
            stop.check()
    return settled


def rollback(place: Workplace, target: str, run_id: str) -> RunRecord:
    """Puts back the partitions as they were before the run ``target``; the record of the rollback."""
    record = place.books.new_record("rollback", place.tables, run_id)
    record.rolls_back = target
    with place.recorded(record) as (stop, lock):
        place.books.begin(record)
        with place.session() as spark:
            place.name_session(record, lock, spark)
            _rollback(place, spark, record, stop, lock)
        place.books.succeed(record)
    return record


def _rollback(place: Workplace, spark: SparkSession, record: RunRecord, stop: Stop, lock: RunLock) -> None:
    warehouse = place.open(spark)
    record.final_root = warehouse.final_root
    with place.table_lock(warehouse, record, lock) as still_locked:
        place.settle(warehouse, still_locked)
        record.settled_earlier_runs = True
        assert record.rolls_back is not None
        target = refuse_rollback(place.books.store, record.rolls_back, place.tables["final"])
        name = TableName.parse(target.tables["final"])
        publisher = place.publisher(warehouse, name, target.mode, still_locked)
        publisher.refuse_unless_published(target)
        stop.check()
        # From here on this record can be settled like any other: it names the same days, to be taken back.
        record.mode, record.days, record.partitions = target.mode, deepcopy(target.days), list(target.days)
        record.totals = {partition: totals for partition, totals in target.totals.items() if partition in target.days}
        publisher.restore(record)
        place.books.note_rolled_back(target, record)
        log.info("the old data of %s is back", counted(len(target.days), "partition"))
        _prove_old(warehouse, target)
        place.refresh_final(record, list(target.days))


def _prove_old(warehouse: Warehouse, target: RunRecord) -> None:
    final = warehouse.tables.final
    if final is None:
        return
    _, now, _ = preflight.old_totals(warehouse.catalog, final, warehouse.files, list(target.days))
    differences = [
        difference
        for partition, totals in now.items()
        for before in [target.totals_of(partition).final_before]
        if before is not None
        for difference in reconcile_final(partition, before, totals, "final now")
    ]
    if differences:
        raise StepError(f"the old data is not what it was: {summary(differences)}", hint="Look at its files")
