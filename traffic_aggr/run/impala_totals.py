"""
The queries by which Impala tells its own totals of raw and of final.
"""

from __future__ import annotations

from collections.abc import Sequence

from traffic_aggr.hive import sql
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.sql import TableName
from traffic_aggr.run.definition import JobDefinition


def queries_of_raw(job: JobDefinition, raw: TableName, read: Sequence[Partition]) -> list[str]:
    """Returns the queries of raw's totals by its own partitions, those that were ``read``."""
    expressions = job.raw_expressions.values()
    return [sql.totals_by_partition(raw, job.source.name, batch, expressions) for batch in sql.batches(read)]


def queries_of_final(job: JobDefinition, final: TableName, partitions: Sequence[Partition]) -> list[str]:
    """Returns the queries of final's totals by partition."""
    expressions = job.final_expressions.values()
    return [sql.totals_by_partition(final, job.partition.name, batch, expressions) for batch in sql.batches(partitions)]


def within(partition: Partition, read: Sequence[Partition]) -> Sequence[Partition]:
    """Returns raw's partitions that lie in a listed ``partition``: itself, or the days of a month."""
    return [each for each in read if each.startswith(partition)]
