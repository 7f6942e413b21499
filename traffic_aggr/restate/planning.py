"""
Plans: looks at the tables, and decides what a run would do with each day. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from typing import Optional

from traffic_aggr.files.local import Files
from traffic_aggr.hive.catalog import TableFacts
from traffic_aggr.hive.layout import Placement, normal
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.restate import guards, totals
from traffic_aggr.restate.context import JobContext
from traffic_aggr.restate.publish import fingerprint
from traffic_aggr.restate.sources import Sources, open_sources, raw_partitions
from traffic_aggr.restate.tables import table_names
from traffic_aggr.restate.warehouse import Warehouse
from traffic_aggr.restate.writers import find_writers
from traffic_aggr.run.next_run import settling_notes, unfinished
from traffic_aggr.run.plan import FoundDay, Plan, PlanRequest, RunArguments, TableState, build_plan
from traffic_aggr.run.record import Input, RunRecord
from traffic_aggr.run.totals import Totals
from traffic_aggr.spark import progress
from traffic_aggr.spark.engine import refuse_unreachable_files
from traffic_aggr.spark.queries import both

LOOKING = "looking at the tables"


def plan(context: JobContext, ask: RunArguments) -> Plan:
    """Returns what ``run`` would do now. Changes no table and no state."""
    flag = context.journal.edge.flag()
    with context.session() as spark:
        warehouse = context.open(spark)
        with progress.shown(spark, LOOKING), sources_of(context, warehouse, ask) as sources:
            plan, _ = make_plan(context, warehouse, sources, ask, flag)
    return plan


def sources_of(context: JobContext, warehouse: Warehouse, ask: RunArguments) -> AbstractContextManager[Sources]:
    """
    Opens raw and the lookups of the listed days, once no table promises what the job does not keep.

    A run settles interrupted runs before this check: a table's new promises must not keep old data out of it.
    """
    days, tables = ask.partitions.partitions, warehouse.tables
    guards.refuse_tables(context.job, tables)
    refuse_unreachable_files(warehouse.spark, [warehouse.final_root, *(facts.location for facts in tables.read)])
    read = raw_partitions(warehouse.catalog, context.job, tables.raw, days)
    guards.refuse_partitions(context.job, warehouse.catalog, tables, days, read)
    return open_sources(warehouse.catalog, context.job, tables, read, warehouse.files_of)


def make_plan(
    context: JobContext, warehouse: Warehouse, sources: Sources, ask: RunArguments, flag: int
) -> tuple[Plan, Optional[RunRecord]]:
    """Returns the plan, and the record of the last run, from which this one may resume."""
    config, files, tables, job = context.config, warehouse.files, warehouse.tables, context.job
    partitions = ask.partitions.partitions
    inputs = sources.inputs
    raw, (placements, old, notes) = both(
        lambda: totals.raw_totals(job, sources.aggregation, partitions),
        lambda: totals.old_totals(job, warehouse.catalog, tables.final, files, partitions),
    )
    final = warehouse.catalog.table(tables.final) if tables.final else None
    unsettled, last = unfinished(context.journal.store)
    request = PlanRequest(
        job=job,
        partitions=ask.partitions,
        mode=config.publish.mode,
        tables=context.tables,
        empty_source=config.partitions.empty_source,
        max_change_pct=config.audit.max_change_pct,
        from_step=ask.from_step,
    )
    names = table_names(config.tables, job)
    directories = dict(sources.directories)
    directories.update({f"{warehouse.final_root}/{partition.directory}": partition for partition in partitions})
    directories.update({where.location: partition for partition, where in placements.items()})
    writing, left_by_writers = find_writers(files, warehouse.final_root, directories, context.journal.now())
    found = TableState(
        days=_found_days(raw, inputs, placements, old, files),
        read=sources.read,
        flag=flag,
        refusals=(
            *guards.refuse_duplicate_keys(job, sources.lookups),
            *guards.refuse_shared_directories(final, partitions),
            *guards.refuse_partition_discovery(config, final, files, [day for day in raw if raw[day].rows == 0]),
            *guards.refuse_unsafe_text(
                job,
                sources.aggregation,
                tables,
                replace_with_space=config.tables.replaces_delimiters,
                in_bytes=config.impala.enabled,
            ),
            *writing,
        ),
        staged_matches=last is not None and _staged_matches(files, tables.staging, last, raw),
        creates=tuple(str(names[role]) for role in ("staging", "final") if getattr(tables, role) is None),
        notes=(
            *settling_notes(unsettled),
            *notes,
            *sources.notes,
            *left_by_writers,
            *_changed_since(last, request, raw),
        ),
        final_root=warehouse.final_root,
        free_bytes=files.free_bytes(warehouse.final_root),
        rewritten=tables.rewritten,
    )
    return build_plan(request, found, last), last


def _found_days(
    raw: Mapping[Partition, Totals],
    inputs: Mapping[Partition, Input],
    placements: Mapping[Partition, Placement],
    old: Mapping[Partition, Totals],
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


def _changed_since(last: Optional[RunRecord], request: PlanRequest, raw: Mapping[Partition, Totals]) -> list[str]:
    """Returns a note on the days whose raw totals have changed since the run to resume staged them, if any."""
    same_work = last is not None and last.same_work(request.tables, request.mode, request.partitions.digest)
    if last is None or last.staged is None or not same_work:
        return []
    changed = [partition for partition, totals in raw.items() if last.totals_of(partition).raw != totals]
    return [f"raw of {', '.join(changed)} has changed since run {last.run_id} staged it"] if changed else []


def _staged_matches(
    files: Files, staging: Optional[TableFacts], record: RunRecord, raw: Mapping[Partition, object]
) -> bool:
    """Whether the files that ``record`` staged are unchanged and raw still has the totals they were made from."""
    if record.staged is None or not files.is_directory(record.staged.directory):
        return False
    if not record.staged.partitioned and (staging is None or staging.location != normal(record.staged.directory)):
        return False
    same_raw = all(partition in record.totals and record.totals[partition].raw == now for partition, now in raw.items())
    return same_raw and fingerprint(files, record.staged.directory) == record.staged.fingerprint
