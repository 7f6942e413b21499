"""
The control totals of raw, staging and final per day, and the usage that a change is broken down by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Optional

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from traffic_aggr.files.local import Files
from traffic_aggr.hive.catalog import HiveCatalog, TableFacts
from traffic_aggr.hive.footers import refuse_unreadable
from traffic_aggr.hive.layout import Placement
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.scan import open_scan
from traffic_aggr.restate.sources import Sources
from traffic_aggr.run import breakdown
from traffic_aggr.run.breakdown import Usage, UsageBy
from traffic_aggr.run.reconcile import AggregatedTotals, RawTotals, totals_from_mapping
from traffic_aggr.traffic import aggregation
from traffic_aggr.traffic import columns as contract

MAX_VALUES = 100_000
"""Limit on the customers, countries and other values for which the driver breaks usage down."""


def raw_totals(sources: Sources, partitions: Iterable[Partition]) -> dict[Partition, RawTotals]:
    """Returns raw's control totals per day, taken before any join or grouping. A day without rows has zeros."""
    sums_by_day, repeats_by_day = collected(
        aggregation.raw_totals(sources.raw), aggregation.repeats_by_day(sources.repeated)
    )
    found = {row["partition_date"]: row.asDict() for row in sums_by_day}
    repeats = {row["partition_date"]: row for row in repeats_by_day}
    for day, sums in found.items():
        extra, repeated = (repeats[day]["extra_rows"], repeats[day]["repeated_cdrs"]) if day in repeats else (0, 0)
        sums |= {"distinct_cdrs": sums["cdrs"] - extra, "repeated_cdrs": repeated}
    return {partition: totals_from_mapping(RawTotals, found.get(partition, {})) for partition in partitions}


def aggregated_totals(rows: DataFrame, partitions: Iterable[Partition]) -> dict[Partition, AggregatedTotals]:
    """Returns the control totals per day of staging's or final's ``rows``. A day without rows has zeros."""
    wanted = list(partitions)
    listed = rows.where(F.col(contract.PARTITION_COLUMN).isin(*wanted)) if wanted else rows.limit(0)
    found: Mapping[str, Mapping[str, Any]] = {
        row["partition_date"]: row.asDict() for row in aggregation.staged_totals(listed).collect()
    }
    return {partition: totals_from_mapping(AggregatedTotals, found.get(partition, {})) for partition in wanted}


def old_totals(
    catalog: HiveCatalog, facts: Optional[TableFacts], files: Files, partitions: Sequence[Partition]
) -> tuple[dict[Partition, Placement], dict[Partition, AggregatedTotals], list[str]]:
    """
    Returns the placements of final's listed partitions, their totals, and notes on missing directories.

    Raises GuardError when Parquet footers show that Spark cannot read the old data.
    """
    if facts is None:
        return {}, {}, []
    placements = catalog.table(facts).partitions(partitions)
    readable = [partition for partition, where in placements.items() if files.is_directory(where.location)]
    notes = [
        f"the old partition {partition} has no directory {where.location}: it counts as empty"
        for partition, where in placements.items()
        if partition not in readable
    ]
    totals = dict.fromkeys(placements, AggregatedTotals())
    if readable:
        scan = open_scan(catalog, facts, files, readable)
        refuse_unreadable(scan, contract.FINAL_COLUMNS, lacking=True)
        totals.update(aggregated_totals(scan.rows, readable))
    return placements, totals, notes


def collected(*frames: DataFrame) -> list[list[Row]]:
    """Collects small results in parallel, since each leaves processors idle while Spark plans it and as it ends."""
    with ThreadPoolExecutor(len(frames)) as pool:
        return list(pool.map(DataFrame.collect, frames))


def old_usage(rows: DataFrame, partitions: Sequence[Partition]) -> Optional[UsageBy]:
    """
    Returns the usage in final's ``partitions`` by customer, country, call type and late ``calldate``.

    None when there are more than ``MAX_VALUES`` values.
    """
    listed = rows.where(F.col(contract.PARTITION_COLUMN).isin(*partitions))
    return _usage(aggregation.usage_by(listed, _dimensions())) if partitions else {}


def new_usage(staged: DataFrame, sources: Sources) -> Optional[UsageBy]:
    """Returns the usage of the staged rows, as ``old_usage`` does, and by the keys that the lookups lack."""
    found = aggregation.with_lookups(
        staged,
        aggregation.lookup_names(sources.organisations),
        aggregation.lookup_countries(sources.countries),
    )
    dimensions = {
        **_dimensions(),
        breakdown.UNNAMED_CUSTOMER: aggregation.by_unnamed("tcl_secs_id", "_orgname"),
        breakdown.UNNAMED_COUNTRY: aggregation.by_unnamed("mcc", "_country"),
    }
    return _usage(aggregation.usage_by(found, dimensions))


def _dimensions() -> dict[str, Column]:
    return {
        breakdown.CUSTOMER: aggregation.by_value("customername"),
        breakdown.COUNTRY: aggregation.by_value("country"),
        breakdown.CALLTYPE: aggregation.by_value("calltype"),
        breakdown.LATE: aggregation.by_late_calldate(),
    }


def _usage(usage: DataFrame) -> Optional[UsageBy]:
    """Collects ``usage``. Returns None when there are more values than a driver should hold."""
    rows = usage.limit(MAX_VALUES + 1).collect()
    if len(rows) > MAX_VALUES:
        return None
    found: dict[str, dict[Optional[str], Usage]] = {}
    for dimension, value, *counts in rows:
        found.setdefault(dimension, {})[value] = Usage(*map(int, counts))
    return found
