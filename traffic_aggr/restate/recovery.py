"""Recovery: settles interrupted runs."""

from __future__ import annotations

from typing import Callable, Optional

from pyspark.sql import SparkSession

from traffic_aggr.errors import TrafficAggrError
from traffic_aggr.restate.context import JobContext
from traffic_aggr.run.record import RunRecord

FollowSettled = Callable[[list[RunRecord], RunRecord, SparkSession], Optional[TrafficAggrError]]


def recover(context: JobContext, run_id: str, follow: FollowSettled) -> list[RunRecord]:
    """
    Settles interrupted runs: every day ends up all new or all old. Returns those runs, newest first.

    Then ``follow``, which is given these runs and the record of the recovery, restates what depends on changed days.
    """
    record = context.journal.new_record("recover", context.tables, run_id)
    with context.recorded(record) as (stop, lock), context.session() as spark:
        context.name_session(record, lock, spark)
        with context.table_lock(context.open(spark), record, lock) as warehouse:

            def tell(settled: list[RunRecord]) -> None:
                context.journal.recovered(settled)
                record.take_place_of(settled[0])

            settled = context.settle(warehouse, tell)
            stop.check()
        failure = stop.reason() or follow(settled, record, spark)
    if failure is not None:
        raise failure
    return settled
