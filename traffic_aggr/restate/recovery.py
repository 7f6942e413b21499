"""Recovery: takes interrupted runs forward or back."""

from __future__ import annotations

from traffic_aggr.restate.context import JobContext
from traffic_aggr.run.record import RunRecord


def recover(context: JobContext, run_id: str) -> list[RunRecord]:
    """Takes interrupted runs forward or back until their days are whole; those runs, newest first."""
    record = context.journal.new_record("recover", context.tables, run_id)
    with context.recorded(record) as (stop, lock), context.session() as spark:
        context.name_session(record, lock, spark)
        warehouse = context.open(spark)
        with context.table_lock(warehouse, record, lock) as assert_locked:

            def tell(settled: list[RunRecord]) -> None:
                context.journal.recovered(settled)
                record.days, record.publication = settled[0].days, settled[0].publication

            settled = context.settle(warehouse, assert_locked, tell)
            stop.check()
    return settled
