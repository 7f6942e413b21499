"""
Impala as the second witness: compares its own totals of raw and final, from the same files, with Spark's.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
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
from traffic_aggr.hive.partitions import PARTITION_COLUMN, Partition
from traffic_aggr.hive.sql import TableName
from traffic_aggr.impala.refresh import NO_OPTIONS, ImpalaRefresher, SentStatement
from traffic_aggr.impala.session import Row
from traffic_aggr.run.reconcile import Difference, reconcile_impala, reconcile_impala_raw
from traffic_aggr.run.record import RunRecord
from traffic_aggr.run.totals import ROWS, Totals, measured
from traffic_aggr.text import some_of
from traffic_aggr.units import counted

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


def prove_raw(impala: ImpalaRefresher, record: RunRecord, raw: TableFacts, save: Save) -> None:
    """
    Compares Impala's totals of raw with Spark's totals in ``record``, for every listed day.

    Impala may not know new files yet: if its totals differ or it rejects the query, the run sends REFRESH and asks once
    more. Raises ReconciliationError when the totals still differ, GuardError when Impala rejects a statement again.
    """
    try:
        differences = _differences_after_refresh(impala, record, raw)
    finally:
        save(record)
    if differences:
        day = f"PARTITION ({PARTITION_COLUMN}='{differences[0].partition}')"
        raise ReconciliationError(
            f"Spark and Impala read {raw.name} differently: {some_of(differences)}",
            hint="If raw was being loaded, wait for it; otherwise compare the files of the day with those that Impala"
            f" lists: SHOW FILES IN {raw.name} {day}",
        )
    log.info("raw of %s has the same totals in Impala", counted(len(record.totals), "day"))


def _differences_after_refresh(impala: ImpalaRefresher, record: RunRecord, raw: TableFacts) -> list[Difference]:
    try:
        differences = _raw_differences(impala, record, raw.name)
        if not differences:
            return []
        why, statements = some_of(differences), _refreshes(raw, dict.fromkeys(each.partition for each in differences))
    except ImpalaRejectedError as exc:
        why, statements = exc.message, [sql.refresh(raw.name), *_refreshes(raw, record.totals)]
    log.warning("Impala's metadata of raw may be stale: %s; refreshing it and asking once more", why)
    try:
        send(impala, record, statements)
        return _raw_differences(impala, record, raw.name)
    except ImpalaRejectedError as exc:
        raise GuardError(
            f"Impala cannot confirm the totals of {raw.name}: {exc.message}",
            hint="Fix what Impala names (the job's user needs SELECT and REFRESH on the table) or set"
            " impala.verify_raw: false",
        ) from exc


def _raw_differences(impala: ImpalaRefresher, record: RunRecord, raw: TableName) -> list[Difference]:
    by_spark = {day: totals.raw for day, totals in record.totals.items() if totals.raw is not None}
    seen = _totals(impala, record, raw, list(by_spark), record.job.raw_expressions, _BY_NAME)
    differences: list[Difference] = []
    for partition, totals in by_spark.items():
        record.set_totals(partition, dataclasses.replace(record.totals_of(partition), impala_raw=seen[partition]))
        differences += reconcile_impala_raw(partition, totals, seen[partition])
    return differences


def _refreshes(raw: TableFacts, days: Iterable[Partition]) -> list[str]:
    """Returns the statements that make Impala reload ``days``, wherever their partitions point now."""
    if raw.partition_columns != (PARTITION_COLUMN,):
        return [sql.refresh(raw.name)]
    return sql.refresh_moved(raw.name, list(days))


def prove_final(impala: ImpalaRefresher, record: RunRecord, final: TableName, save: Save) -> None:
    """
    Compares Impala's totals of final with Spark's totals in ``record``, for every changed day.

    Raises ImpalaMismatchError when they differ.
    """
    days = list(record.days)
    differences: list[Difference] = []
    try:
        seen = _totals(impala, record, final, days, record.job.final_expressions)
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
    table: TableName,
    days: Sequence[Partition],
    expressions: Mapping[str, str],
    options: Mapping[str, str] = NO_OPTIONS,
) -> Mapping[Partition, Totals]:
    """Returns Impala's totals by day, each total by its expression; zeros for a day that its answers lack."""
    names, scales = (ROWS, *expressions), {name: record.job.scales[name] for name in expressions}
    found = dict.fromkeys(days, measured(None, scales))
    for batch in sql.batches(days):
        statement = sql.totals_by_partition(table, batch, expressions.values())
        for day, *values in _ask(impala, record, statement, options):
            found[Partition(day)] = measured(dict(zip(names, values)), scales)
    return found


def _ask(impala: ImpalaRefresher, record: RunRecord, statement: str, options: Mapping[str, str]) -> list[Row]:
    sent: list[SentStatement] = []
    try:
        return impala.query(statement, options, sent)
    finally:
        record.note_statements(map(dataclasses.asdict, sent))
