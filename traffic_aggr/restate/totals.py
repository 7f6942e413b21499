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
from traffic_aggr.run.totals import Totals, measured

MAX_VALUES = 100_000
"""Limit on the values of all dimensions for which the driver breaks usage down."""


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

    None when there are more values than a driver should hold.
    """
    found: dict[str, dict[Optional[str], Totals]] = {}
    counts = aggregation.usage(rows, new=new).limit(MAX_VALUES + 1).collect()
    if len(counts) > MAX_VALUES:
        return None
    for row in counts:
        found.setdefault(row["dimension"], {})[row["value"]] = measured(row.asDict(), job.scales)
    return found
