"""
What a run finds before it changes anything: tables and columns, lookup keys, raw rows and old totals per day.

Problems that can be known in advance are found here, in ``guards`` and in ``writers``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Optional

from py4j.protocol import Py4JError
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from traffic_aggr.config.config import TablesConfig
from traffic_aggr.errors import TableError
from traffic_aggr.files.local import FileInfo, Files
from traffic_aggr.hive import promises
from traffic_aggr.hive.catalog import Directory, HiveCatalog, HiveTable, TableFacts
from traffic_aggr.hive.footers import refuse_unreadable
from traffic_aggr.hive.layout import Placement, RowFormat
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.scan import open_scan, refuse_unread
from traffic_aggr.hive.sql import TableName
from traffic_aggr.run import breakdown
from traffic_aggr.run.breakdown import Usage, UsageBy
from traffic_aggr.run.plan import FoundDay, Refusal
from traffic_aggr.run.reconcile import AggregatedTotals, RawTotals, totals_from_mapping
from traffic_aggr.run.record import Input
from traffic_aggr.text import some_of
from traffic_aggr.traffic import aggregation
from traffic_aggr.traffic import columns as contract

EXAMPLES = 5
MAX_VALUES = 100_000
"""Limit on the customers, countries and other values for which the driver breaks usage down."""


@dataclass(frozen=True)
class Tables:
    """The tables of a run as the metastore has them. Staging and final may not exist yet."""

    raw: TableFacts
    organisations: TableFacts
    countries: TableFacts
    staging: Optional[TableFacts]
    final: Optional[TableFacts]

    @property
    def text_formats(self) -> list[RowFormat]:
        """Row formats of staging and final, where they are delimited text."""
        written = [facts.effective_format for facts in (self.final, self.staging) if facts is not None]
        return [row_format for row_format in written if row_format.is_delimited_text]

    @property
    def rewritten(self) -> bool:
        """Whether rows are written twice: to staging, and again in the final table's own format."""
        staging, final = self.staging, self.final
        by_day = staging is None or (bool(staging.partition_columns) and staging.row_format.is_parquet)
        return not (by_day and (final is None or final.row_format.is_parquet))


def table_names(config: TablesConfig) -> dict[str, TableName]:
    """Returns the configured tables by role: raw, staging, final, org_details, country_lookup."""
    roles = ("raw", "staging", "final", "org_details", "country_lookup")
    return {role: TableName(config.database, getattr(config, role)) for role in roles}


def describe_tables(catalog: HiveCatalog, config: TablesConfig) -> Tables:
    """
    Finds the tables and checks their columns and partitioning.

    Raises TableError naming everything that is missing or of a wrong type, GuardError for the first table of a kind
    that the job does not support.
    """
    names = table_names(config)
    found = {role: catalog.facts(name) for role, name in names.items()}
    for role, facts in found.items():
        written = role in ("staging", "final")
        problem = promises.kind_problem(facts, written=written) if facts is not None else None
        if facts is not None and problem is not None:
            raise promises.refusal(facts, [problem], written=written)
    problems = []
    for role, required in (
        ("raw", contract.RAW_COLUMNS),
        ("org_details", contract.ORG_DETAILS_COLUMNS),
        ("country_lookup", contract.COUNTRY_LOOKUP_COLUMNS),
    ):
        facts = found[role]
        if facts is None:
            problems.append(f"there is no table {names[role]} ({role})")
        else:
            problems += contract.check_columns(str(names[role]), facts.columns, required)
    for role in ("final", "staging"):
        facts = found[role]
        if facts is None:
            if not config.create_missing:
                problems.append(f"there is no table {names[role]} ({role}), and tables.create_missing is false")
            continue
        problems += contract.check_layout(str(names[role]), facts.columns)
        by_day = facts.partition_columns == (contract.PARTITION_COLUMN,)
        if not by_day and (role == "final" or facts.partition_columns):
            how = ", ".join(facts.partition_columns) or "nothing"
            problems.append(f"{names[role]} is partitioned by {how}, not by {contract.PARTITION_COLUMN} alone")
    if problems:
        raise TableError("; ".join(problems), hint="Fix the tables or the names under tables: in the config")
    raw, organisations, countries = found["raw"], found["org_details"], found["country_lookup"]
    assert raw is not None
    assert organisations is not None
    assert countries is not None
    return Tables(raw, organisations, countries, found["staging"], found["final"])


@dataclass(frozen=True)
class Sources:
    """
    What the aggregation reads: the raw rows of the listed days and the two lookups.

    ``repeated`` is what ``aggregation.repeated_cdrids`` finds in ``raw``; Spark persists it. ``inputs`` sums up the
    files of each listed day of raw. ``notes`` name columns that some of the tables' files lack.
    """

    raw: DataFrame
    repeated: DataFrame
    organisations: DataFrame
    countries: DataFrame
    inputs: Mapping[Partition, Input]
    notes: Sequence[str]


@contextmanager
def open_sources(
    catalog: HiveCatalog, tables: Tables, partitions: Sequence[Partition], files_of: Callable[[str], Files]
) -> Iterator[Sources]:
    """
    Yields the source tables as they are now. ``files_of`` returns the file system of a location.

    Raises GuardError when Spark would read other files than Hive and Impala do, or when Parquet footers show that it
    cannot read a file.
    """
    needed = (
        (tables.raw, contract.RAW_COLUMNS),
        (tables.organisations, contract.ORG_DETAILS_COLUMNS),
        (tables.countries, contract.COUNTRY_LOOKUP_COLUMNS),
    )
    scans, notes = [], []
    for facts, columns in needed:
        files = files_of(facts.location)
        scan = open_scan(catalog, facts, files, partitions)
        refuse_unread(scan, files)
        notes += refuse_unreadable(scan, columns)
        scans.append(scan)
    raw, organisations, countries = (aggregation.as_declared(scan.rows, scan.facts.columns) for scan in scans)
    raw = aggregation.select_days(raw, partitions)
    sources = Sources(
        raw=raw,
        repeated=aggregation.repeated_cdrids(raw).persist(),
        organisations=organisations,
        countries=countries,
        inputs=_inputs(scans[0].directories, scans[0].found) if _is_by_day(tables.raw) else {},
        notes=notes,
    )
    try:
        yield sources
    finally:
        with suppress(Py4JError, OSError):  # a lost JVM may be what ended the run
            sources.repeated.unpersist()


def refuse_duplicate_keys(sources: Sources) -> list[Refusal]:
    """Refuses a lookup with two rows for one key, which would double usage."""
    lookups = {"orgno": ("org_details", sources.organisations), "mcc": ("country_lookup", sources.countries)}
    found = _collected(
        *(aggregation.duplicate_keys(lookup, key).limit(EXAMPLES + 1) for key, (_, lookup) in lookups.items())
    )
    refusals = []
    for (key, (name, _)), rows in zip(lookups.items(), found):
        keys = [str(row[0]) for row in rows]
        if keys:
            shown = ", ".join(sorted(keys)[:EXAMPLES]) + (" and more" if len(keys) > EXAMPLES else "")
            refusals.append(
                Refusal("lookup_keys", f"{name} has more than one row for {key} {shown}", f"Leave one row a {key}")
            )
    return refusals


def raw_totals(sources: Sources, partitions: Iterable[Partition]) -> dict[Partition, RawTotals]:
    """Returns raw's control totals per day, taken before any join or grouping. A day without rows has zeros."""
    sums_by_day, repeats_by_day = _collected(
        aggregation.raw_totals(sources.raw), aggregation.repeats_by_day(sources.repeated)
    )
    found = {row["partition_date"]: row.asDict() for row in sums_by_day}
    repeats = {row["partition_date"]: row for row in repeats_by_day}
    for day, sums in found.items():
        extra, repeated = (repeats[day]["extra_rows"], repeats[day]["repeated_cdrs"]) if day in repeats else (0, 0)
        sums |= {"distinct_cdrs": sums["cdrs"] - extra, "repeated_cdrs": repeated}
    return {partition: totals_from_mapping(RawTotals, found.get(partition, {})) for partition in partitions}


def _collected(*frames: DataFrame) -> list[list[Row]]:
    """Collects small results in parallel, since each leaves processors idle while Spark plans it and as it ends."""
    with ThreadPoolExecutor(len(frames)) as pool:
        return list(pool.map(DataFrame.collect, frames))


def aggregated_totals(rows: DataFrame, partitions: Iterable[Partition]) -> dict[Partition, AggregatedTotals]:
    """Returns the control totals per day of staging's or final's ``rows``. A day without rows has zeros."""
    wanted = list(partitions)
    listed = rows.where(F.col(contract.PARTITION_COLUMN).isin(*wanted)) if wanted else rows.limit(0)
    found: Mapping[str, Mapping[str, Any]] = {
        row["partition_date"]: row.asDict() for row in aggregation.staged_totals(listed).collect()
    }
    return {partition: totals_from_mapping(AggregatedTotals, found.get(partition, {})) for partition in wanted}


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


def raw_inputs(table: HiveTable, files: Files, partitions: Sequence[Partition]) -> dict[Partition, Input]:
    """
    Sums up the files of each listed day of raw. A day without a directory has no entry.

    Empty unless raw is partitioned by ``partition_date`` alone.
    """
    if not _is_by_day(table.facts):
        return {}
    directories = [each for each in table.directories() if each.spec[contract.PARTITION_COLUMN] in partitions]
    return _inputs(directories, files.visible_files([each.location for each in directories]))


def _is_by_day(facts: TableFacts) -> bool:
    return facts.partition_columns == (contract.PARTITION_COLUMN,)


def _inputs(directories: Sequence[Directory], found: Mapping[str, Sequence[FileInfo]]) -> dict[Partition, Input]:
    return {
        Partition(each.spec[contract.PARTITION_COLUMN]): Input(
            each.location,
            len(infos),
            sum(info.size for info in infos),
            max((info.modified for info in infos), default=0),
        )
        for each in directories
        if (infos := found.get(each.location)) is not None
    }


def found_days(
    raw: Mapping[Partition, RawTotals],
    inputs: Mapping[Partition, Input],
    placements: Mapping[Partition, Placement],
    old: Mapping[Partition, AggregatedTotals],
    files: Files,
) -> dict[Partition, FoundDay]:
    """Joins the findings for each listed day."""
    sizes = {}
    for partition, where in placements.items():
        with suppress(FileNotFoundError):
            sizes[partition] = files.usage(where.location).bytes
    return {
        partition: FoundDay(
            raw=totals,
            old=old.get(partition),
            location=placements[partition].location if partition in placements else None,
            input=inputs.get(partition),
            old_bytes=sizes.get(partition, 0),
        )
        for partition, totals in raw.items()
    }


def refuse_shared_directories(table: Optional[HiveTable], partitions: Sequence[Partition]) -> list[Refusal]:
    """Refuses when an unlisted partition lies in a listed day's directory, which a run moves aside as a whole."""
    others = table.others_in(partitions) if table else {}
    if not others:
        return []
    shown = some_of([f"{partition} in {location}" for partition, location in others.items()], EXAMPLES, ", ")
    return [
        Refusal(
            "shared_directory",
            f"partitions that are not listed lie in a listed day's standard directory: {shown}",
            "Point them elsewhere with ALTER TABLE ... SET LOCATION, or list them as well",
        )
    ]
