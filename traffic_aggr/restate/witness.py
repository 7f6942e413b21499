"""
Impala as the second witness: compares its own totals of raw and final, from the same files, with Spark's.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Callable

from traffic_aggr.errors import (
    GuardError,
    ImpalaError,
    ImpalaMismatchError,
    ImpalaRejectedError,
    ReconciliationError,
)
from traffic_aggr.hive import sql
from traffic_aggr.hive.catalog import TableFacts
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.sql import TableName
from traffic_aggr.impala.refresh import NO_OPTIONS, ImpalaRefresher, SentStatement
from traffic_aggr.impala.session import Row
from traffic_aggr.run.impala_totals import queries_of_final, queries_of_raw, within
from traffic_aggr.run.reconcile import Difference, reconcile_impala, reconcile_impala_raw
from traffic_aggr.run.record import RunRecord
from traffic_aggr.run.totals import ROWS, Totals, measured
from traffic_aggr.text import some_of

log = logging.getLogger(__name__)

_BY_NAME = {"PARQUET_FALLBACK_SCHEMA_RESOLUTION": "name"}
"""Raw's files may have their columns in any order, and Hive and Spark resolve columns by name."""

Save = Callable[[RunRecord], None]


def send(impala: ImpalaRefresher, record: RunRecord, statements: Sequence[str]) -> None:
    """Sends a batch to Impala. ``record`` keeps the statements sent, whether they succeeded or failed."""
    sent: Sequence[SentStatement] = ()
    try:
        sent = impala.execute(statements)
    except ImpalaError as exc:
        sent = exc.sent
        raise
    finally:
        record.note_statements(map(dataclasses.asdict, sent))


def prove_raw(
    impala: ImpalaRefresher, record: RunRecord, raw: TableFacts, read: Sequence[Partition], save: Save
) -> None:
    """
    Compares Impala's totals of raw with Spark's totals in ``record``, for every listed partition.

    ``read`` are raw's partitions that were read.

    Impala may not know new files yet: if its totals differ or it rejects the query, the run sends REFRESH and asks once
    more. Raises ReconciliationError when the totals still differ, GuardError when Impala rejects a statement again.
    """
    try:
        differences = _differences_after_refresh(impala, record, raw, read)
    finally:
        save(record)
    if differences:
        partition = sql.partition_spec(within(differences[0].partition, read)[0])
        raise ReconciliationError(
            f"Spark and Impala read {raw.name} differently: {some_of(differences)}",
            hint="If raw was being loaded, wait for it; otherwise compare its files with those that Impala lists: "
            f"SHOW FILES IN {raw.name} {partition}",
        )
    log.info("raw of %s has the same totals in Impala", record.job.partition.counted(len(record.totals)))


def _differences_after_refresh(
    impala: ImpalaRefresher, record: RunRecord, raw: TableFacts, read: Sequence[Partition]
) -> list[Difference]:
    try:
        differences = _raw_differences(impala, record, raw.name, read)
        if not differences:
            return []
        differing = dict.fromkeys(each.partition for each in differences)
        stale = [each for partition in differing for each in within(partition, read)]
        why, statements = some_of(differences), _refreshes(raw, record, stale)
    except ImpalaRejectedError as exc:
        why, statements = exc.message, [sql.refresh(raw.name), *_refreshes(raw, record, read)]
    log.warning("Impala's metadata of raw may be stale: %s; refreshing it and asking once more", why)
    try:
        send(impala, record, statements)
        return _raw_differences(impala, record, raw.name, read)
    except ImpalaRejectedError as exc:
        raise GuardError(
            f"Impala cannot confirm the totals of {raw.name}: {exc.message}",
            hint="Fix what Impala names (the job's user needs SELECT and REFRESH on the table) or set"
            " impala.verify_raw: false",
        ) from exc


def _raw_differences(
    impala: ImpalaRefresher, record: RunRecord, raw: TableName, read: Sequence[Partition]
) -> list[Difference]:
    job = record.job
    by_spark = {partition: totals.raw for partition, totals in record.totals.items() if totals.raw is not None}
    queries = queries_of_raw(job, raw, read)
    seen = _totals(impala, record, list(by_spark), queries, job.raw_expressions, _BY_NAME)
    differences: list[Difference] = []
    for partition, totals in by_spark.items():
        record.set_totals(partition, dataclasses.replace(record.totals_of(partition), impala_raw=seen[partition]))
        differences += reconcile_impala_raw(partition, totals, seen[partition])
    return differences


def _refreshes(raw: TableFacts, record: RunRecord, partitions: Sequence[Partition]) -> list[str]:
    """Returns the statements that make Impala reload raw's ``partitions``, wherever they point now."""
    if raw.partition_columns != (record.job.source.name,):
        return [sql.refresh(raw.name)]
    return sql.refresh_moved(raw.name, partitions)


def prove_final(impala: ImpalaRefresher, record: RunRecord, final: TableName, save: Save) -> None:
    """
    Compares Impala's totals of final with Spark's totals in ``record``, for every changed partition.

    Raises ImpalaMismatchError when they differ.
    """
    job, days = record.job, list(record.days)
    differences: list[Difference] = []
    try:
        seen = _totals(impala, record, days, queries_of_final(job, final, days), job.final_expressions)
        for partition in days:
            of_day = record.totals_of(partition)
            record.set_totals(partition, dataclasses.replace(of_day, impala=seen[partition]))
            differences += reconcile_impala(partition, of_day.final_after or Totals(), seen[partition])
    finally:
        save(record)
    if differences:
        raise ImpalaMismatchError(
            f"Impala does not see what was loaded: {some_of(differences)}",
            hint="The new data is in place",
        )


def _totals(
    impala: ImpalaRefresher,
    record: RunRecord,
    partitions: Sequence[Partition],
    queries: Sequence[str],
    expressions: Mapping[str, str],
    options: Mapping[str, str] = NO_OPTIONS,
) -> Mapping[Partition, Totals]:
    """
    Returns Impala's totals by partition, as its answers to ``queries`` have them: each total by its expression.

    Those of a month's days are added up. A partition that the answers lack has zeros.
    """
    names, scales = (ROWS, *expressions), {name: record.job.scales[name] for name in expressions}
    found = dict.fromkeys(partitions, measured(None, scales))
    for query in queries:
        for partition, *values in _ask(impala, record, query, options):
            found[record.job.partition.around(partition)] += measured(dict(zip(names, values)), scales)
    return found


def _ask(impala: ImpalaRefresher, record: RunRecord, statement: str, options: Mapping[str, str]) -> list[Row]:
    sent: list[SentStatement] = []
    try:
        return impala.query(statement, options, sent)
    finally:
        record.note_statements(map(dataclasses.asdict, sent))
