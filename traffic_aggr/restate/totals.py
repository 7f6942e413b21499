"""
The control totals of raw, staging and final per partition, and the usage that a change is broken down by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from traffic_aggr.files.local import Files
from traffic_aggr.hive.catalog import HiveCatalog, TableFacts
from traffic_aggr.hive.footers import refuse_unreadable
from traffic_aggr.hive.layout import Placement
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.scan import open_scan
from traffic_aggr.run.breakdown import UsageBy
from traffic_aggr.run.definition import Aggregation, JobDefinition
from traffic_aggr.run.totals import ROWS, Totals, measured

MAX_VALUES = 100_000
"""Limit on the values of all dimensions for which the driver breaks usage down."""

_PARTITION = "partition"


def raw_totals(
    job: JobDefinition, aggregation: Aggregation, partitions: Iterable[Partition]
) -> dict[Partition, Totals]:
    """Returns raw's control totals and facts, taken before any join or grouping. A partition without rows has zeros."""
    found = aggregation.raw_totals()
    scales = {**job.scales, **{fact.name: 0 for fact in job.facts}}
    return {partition: measured(found.get(partition), scales) for partition in partitions}


def aggregated_totals(job: JobDefinition, rows: DataFrame, partitions: Iterable[Partition]) -> dict[Partition, Totals]:
    """Returns the control totals of staging's or final's ``rows``. A partition without rows has zeros."""
    wanted = list(partitions)
    listed = rows.where(F.col(job.partition.name).isin(*wanted)) if wanted else rows.limit(0)
    found: Mapping[str, Mapping[str, Any]] = {
        row[job.partition.name]: row.asDict() for row in job.totals_of(listed).collect()
    }
    return {partition: measured(found.get(partition), job.scales) for partition in wanted}


def old_totals(
    job: JobDefinition,
    catalog: HiveCatalog,
    facts: Optional[TableFacts],
    files: Files,
    partitions: Sequence[Partition],
) -> tuple[dict[Partition, Placement], dict[Partition, Totals], list[str]]:
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
    totals = dict.fromkeys(placements, measured(None, job.scales))
    if readable:
        scan = open_scan(catalog, facts, files, job.partition.name, readable)
        refuse_unreadable(scan, job.final, lacking=True)
        totals.update(aggregated_totals(job, scan.rows, readable))
    return placements, totals, notes


def usage_by(job: JobDefinition, aggregation: Aggregation, rows: DataFrame, *, new: bool) -> Optional[UsageBy]:
    """
    Returns the totals of final's ``rows`` by each dimension; those for new rows alone are left out unless ``new``.

    Leaves partitions out where there would be more values than a driver should hold; None where there still are.
    """
    usage = aggregation.usage(rows, new=new)
    is_split = _PARTITION in usage.columns
    counts = usage.limit(MAX_VALUES + 1).collect()
    if is_split and len(counts) > MAX_VALUES:
        is_split = False
        sums = (F.sum(name).alias(name) for name in (ROWS, *job.names))
        counts = usage.groupBy("dimension", "value").agg(*sums).limit(MAX_VALUES + 1).collect()
    if len(counts) > MAX_VALUES:
        return None
    found: dict[str, dict[tuple[Optional[str], Optional[str]], Totals]] = {}
    for row in counts:
        partition = row[_PARTITION] if is_split else None
        found.setdefault(row["dimension"], {})[row["value"], partition] = measured(row.asDict(), job.scales)
    return UsageBy(found, is_split=is_split)
