"""Recovery: settles interrupted runs."""

from __future__ import annotations

from traffic_aggr.restate.context import JobContext
from traffic_aggr.run.record import RunRecord


def recover(context: JobContext, run_id: str) -> list[RunRecord]:
    """Settles interrupted runs: every day ends up all new or all old. Returns those runs, newest first."""
    record = context.journal.new_record("recover", context.tables, run_id)
    with context.recorded(record) as (stop, lock), context.session() as spark:
        context.name_session(record, lock, spark)
        with context.table_lock(context.open(spark), record, lock) as warehouse:

            def tell(settled: list[RunRecord]) -> None:
                context.journal.recovered(settled)
                record.take_place_of(settled[0])

            settled = context.settle(warehouse, tell)
            stop.check()
    return settled
