"""
The three steps: drop, stage, load. Each accepts any state of the table, and leaves it consistent or raises.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from pyspark.sql import DataFrame, Observation, SparkSession

from traffic_aggr.config.config import Config
from traffic_aggr.errors import ReconciliationError, StateError, StepError, UnprovenError
from traffic_aggr.hive import sql
from traffic_aggr.hive.catalog import TableFacts
from traffic_aggr.hive.layout import Placement, normal, run_directory, text_hazards
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.scan import open_scan
from traffic_aggr.hive.sql import TableName
from traffic_aggr.impala.refresh import ImpalaRefresher
from traffic_aggr.restate import totals as control
from traffic_aggr.restate import witness
from traffic_aggr.restate.publish import Publisher, fingerprint
from traffic_aggr.restate.signals import Stop
from traffic_aggr.restate.sources import Sources, raw_inputs
from traffic_aggr.restate.staged_rows import aggregated, read_parquet, together_by, write_parquet
from traffic_aggr.restate.warehouse import LockedWarehouse
from traffic_aggr.run.breakdown import UsageBy, compare
from traffic_aggr.run.plan import Plan, Step, steps_of
from traffic_aggr.run.reconcile import Difference, reconcile_final, reconcile_staging
from traffic_aggr.run.record import RunRecord, Staged
from traffic_aggr.run.refreshes import Refreshes
from traffic_aggr.run.totals import Totals
from traffic_aggr.spark.engine import aggregating, engine_of, fallbacks
from traffic_aggr.spark.errors import spark_says
from traffic_aggr.spark.progress import ExpectedRows
from traffic_aggr.spark.queries import both
from traffic_aggr.text import some_of

log = logging.getLogger(__name__)

_DAYS_AT_ONCE = 100
"""Days per aggregation. Each day adds a sum over all rows of its aggregation."""


@dataclass
class Work:
    """What the steps of one run need."""

    warehouse: LockedWarehouse
    sources: Sources
    staging: TableFacts
    final: TableFacts
    created: tuple[TableName, ...]
    plan: Plan
    record: RunRecord
    publisher: Publisher
    old_usage: Optional[UsageBy]
    impala: Optional[ImpalaRefresher]
    config: Config
    stop: Stop
    save: Callable[[RunRecord], None]
    doing: str = ""
    """What the step in progress does, for those who watch it."""

    @property
    def directory(self) -> str:
        return run_directory(self.final.location, self.record.run_id)

    def make_directory(self) -> None:
        """Creates the run's directory before Spark would, so that its name survives a power cut."""
        self.warehouse.files.make_directories(self.directory, self.final.location)

    def refresh(self, statements: Sequence[str]) -> None:
        """Sends a batch to Impala. Saves the statements sent in the record, whether they succeeded or failed."""
        if self.impala is None or not statements:
            return
        self.stop.check()
        self.doing = "refreshing Impala"
        try:
            witness.send(self.impala, self.record, statements)
        finally:
            self.save(self.record)

    def totals(self, rows: DataFrame, partitions: Sequence[Partition]) -> dict[Partition, Totals]:
        """Returns the control totals of rows of staging or final."""
        return control.aggregated_totals(self.plan.job, rows, partitions)

    @property
    def refreshes(self) -> Refreshes:
        return Refreshes(self.staging.name, self.final.name, self.created)


def reading(work: Work, step: Step) -> Optional[ExpectedRows]:
    """Returns the rows that a step will read; None when their number is unknown."""
    plan = work.plan
    if step is Step.STAGE and work.warehouse.tables.raw.partition_columns == (plan.job.source.name,):
        return ExpectedRows(
            sum(plan.days[day].raw.rows for day in plan.restated), "raw row", str(work.warehouse.tables.raw.name)
        )
    if step is Step.LOAD:
        staged = [totals.staging for totals in map(work.record.totals_of, work.record.days) if totals.staging]
        # Rewritten rows are read three times: from staging, from the new files, and from the final table.
        times_read = 3 if not plan.verify_only and _is_rewritten(work) else 1
        return ExpectedRows(times_read * sum(totals.rows for totals in staged))
    return None


def drop(work: Work) -> None:
    """Takes the days to change out of the final table, moves their data aside, and refreshes the table in Impala."""
    work.publisher.withdraw(work.record)
    work.refresh(work.refreshes.after(Step.DROP))


def stage(work: Work) -> None:
    """
    Aggregates raw into a directory of this run, points staging at it, and reconciles staging with raw.

    Raises ReconciliationError when a total differs.
    """
    plan, record = work.plan, work.record
    work.doing = "aggregating"
    directory = f"{work.directory}/staged"
    work.make_directory()
    by_day = bool(work.staging.partition_columns) and work.staging.row_format.is_parquet
    if by_day:
        work.warehouse.files.make_directories(directory, work.final.location)
    else:
        _empty_old_staging(work, directory)
    delimiters = text_hazards(work.warehouse.tables.text_formats).characters
    source_rows: dict[str, int] = {}
    for days in sql.batches(plan.restated, _DAYS_AT_ONCE):
        work.stop.check()
        counts = Observation()
        raw = {day: plan.days[day].raw for day in days}
        rows = aggregated(
            work.sources.aggregation,
            plan.job,
            raw,
            counts,
            delimiters=delimiters if work.config.tables.replaces_delimiters else None,
        )
        with aggregating(work.warehouse.spark):
            record.set_engine(engine_of(work.warehouse.spark), {**record.fallbacks, **fallbacks(rows)})
            if by_day:
                # Where both tables are Parquet, staging's files become final's, so they get final's codec.
                like = work.final if work.final.row_format.is_parquet else work.staging
                write_parquet(rows, plan.job.partition.name, directory, like)
            else:
                rows.write.insertInto(work.staging.name.quoted)
        source_rows |= {day: count or 0 for day, count in counts.get.items()}
    if by_day:
        staged = read_parquet(work.warehouse.spark, directory, plan.job.staging)
        _point_staging(work, directory)
    else:
        staged = work.warehouse.catalog.table(work.staging).rows()
    work.doing = "comparing staging with raw"
    totals, usage = both(lambda: work.totals(staged, plan.restated), lambda: _new_usage(work, staged))
    differences: list[Difference] = []
    for partition in plan.restated:
        with_sources = dataclasses.replace(totals[partition], source_rows=source_rows[partition])
        record.set_totals(partition, dataclasses.replace(record.totals_of(partition), staging=with_sources))
        differences += reconcile_staging(plan.job.totals, partition, plan.days[partition].raw, with_sources)
    if differences:
        raise ReconciliationError(
            f"staging differs from raw: {some_of(differences)}",
            hint="Look whether raw changed while it was read",
        )
    _break_down(work, usage)
    record.set_staged(Staged(directory, by_day, fingerprint(work.warehouse.files, directory)))
    work.save(record)
    work.refresh(work.refreshes.after(Step.STAGE))


def _new_usage(work: Work, staged: DataFrame) -> Optional[UsageBy]:
    if work.old_usage is None:
        return None
    return control.usage_by(work.plan.job, work.sources.aggregation, staged, new=True)


def _break_down(work: Work, new: Optional[UsageBy]) -> None:
    if work.old_usage is None or new is None:
        work.record.note(f"not broken down: there are more than {control.MAX_VALUES:,} values to break it down by")
        return
    work.record.break_down(compare(work.old_usage, new, work.plan.job.names))


def load(work: Work) -> None:
    """
    Publishes what was staged in the final table's own format, reads it back, and compares it with Impala's totals.

    Raises ReconciliationError when rewritten rows differ from staging before they are published; StepError when the
    final table does afterwards; ImpalaMismatchError when Impala's totals differ.
    """
    if not work.plan.verify_only:
        _publish(work)
    _prove_final(work)
    work.refresh(work.refreshes.after(Step.LOAD, moved=_moved(work), verify_only=work.plan.verify_only))
    if work.impala is not None and work.config.impala.verify:
        work.doing = "comparing with Impala"
        witness.prove_final(work.impala, work.record, work.final.name, work.save)


def _publish(work: Work) -> None:
    record, plan = work.record, work.plan
    staged = record.staged
    if staged is None:
        raise StateError(
            f"the record of run {record.run_id} names no staged rows",
            hint="Stage them again",
            command=(*record.typed.command, "--from-step", Step.STAGE.label),
        )
    directory = staged.directory
    if _is_rewritten(work):
        directory = f"{work.directory}/new"
        _rewrite(work, staged, directory)
    work.stop.check()
    for partition in plan.restated:
        new = f"{directory}/{partition.directory}"
        record.set_day(partition, dataclasses.replace(record.days[partition], new=new))
        model = next(
            (each for each in _models(work, partition) if work.warehouse.files.is_directory(each)), work.final.location
        )
        work.warehouse.files.copy_permissions(model, new)
    if plan.restated:  # the whole tree: a power cut must not lose a day's files or its name in the parent
        work.warehouse.files.make_durable(directory)
    if staged.partitioned:
        _forget_staged_partitions(work)
    _notice_changed_raw(work)
    work.publisher.publish(record)


def _is_rewritten(work: Work) -> bool:
    """Whether staged rows are written again in the final table's own format."""
    staged = work.record.staged
    return not (staged is not None and staged.partitioned and work.final.row_format.is_parquet)


def _notice_changed_raw(work: Work) -> None:
    """Notes the days whose raw files changed after they were read, since the published data predates the change."""
    now = raw_inputs(work.warehouse, work.plan.job, work.plan.restated)
    for partition in work.plan.restated:
        read = work.record.inputs.get(partition)
        if read is not None and now.get(partition) != read:
            note = (
                f"raw of {partition} has changed since it was read: {read} then, {now.get(partition) or 'nothing'} now."
                f" The published data predates that change: restate it again"
            )
            work.record.note(note)
            log.warning("%s", note)


def _prove_final(work: Work) -> None:
    catalog, column = work.warehouse.catalog, work.plan.job.partition.name
    work.doing = "reading the new data back"
    published = open_scan(catalog, work.final, work.warehouse.files, column, work.record.days)
    differences = _read_back(work, published.rows, "final", keep=True)
    work.save(work.record)
    if not differences:
        return
    what = f"the final table differs from staging: {some_of(differences)}"
    if work.plan.verify_only:
        raise StepError(
            what,
            hint=f"Another writer changed it after run {work.plan.resumes}: restate them once more",
            command=(*work.record.typed.command, "--from-step", steps_of(work.record.mode)[0].label),
        )
    raise UnprovenError(what, hint="The log has the details")


def _models(work: Work, partition: Partition) -> list[str]:
    """Returns directories whose permissions a partition's new data may take, the preferred one first."""
    day = work.record.days[partition]
    return [day.home, day.kept, *([day.before.location] if day.before else [])]


def _point_staging(work: Work, directory: str) -> None:
    """Replaces staging's partitions with this run's. The files of earlier runs stay."""
    staging = work.warehouse.catalog.table(work.staging)
    work.warehouse.assert_locked()
    staging.clear()
    staging.add({each: Placement(f"{directory}/{each.directory}") for each in work.plan.restated})


def _empty_old_staging(work: Work, directory: str) -> None:
    """Empties a staging table that is not Parquet by day, such as the old job's, and points it at ``directory``."""
    table = work.warehouse.catalog.table(work.staging)
    work.warehouse.assert_locked()
    if work.staging.partition_columns:
        table.clear()
    work.warehouse.spark.sql(sql.set_table_location(work.staging.name, directory))
    work.warehouse.spark.catalog.refreshTable(work.staging.name.quoted)


def _rewrite(work: Work, staged: Staged, directory: str) -> None:
    """
    Writes the staged rows to ``directory`` in the final table's format and reads them back.

    Raises ReconciliationError when their totals differ from staging's.
    """
    work.doing = "writing in the final table's format"
    rows = (
        read_parquet(work.warehouse.spark, staged.directory, work.plan.job.staging)
        if staged.partitioned
        else work.warehouse.catalog.table(work.staging).rows()
    )
    column = work.plan.job.partition.name
    together = together_by(rows.select(work.plan.job.staging_names), column)
    work.make_directory()
    if work.final.row_format.is_parquet:
        write_parquet(together, column, directory, work.final)
        written = read_parquet(work.warehouse.spark, directory, work.plan.job.staging)
    else:
        written = _write_shadow(work, together, directory)
    differences = _read_back(work, written, "the new data", keep=False)
    forget_shadow(work.warehouse.spark, work.record)
    work.save(work.record)
    if differences:
        raise ReconciliationError(
            f"the new data differs from staging: {some_of(differences)}",
            hint="Keep the report and ask the job's maintainer",
        )


def _write_shadow(work: Work, rows: DataFrame, directory: str) -> DataFrame:
    """
    Writes ``rows`` to ``directory`` through a shadow table in final's format, and returns the rows written.

    That way they are laid out as by any other writer of final.
    """
    shadow = TableName(
        work.final.name.database, f"{work.final.name.name}__{work.record.run_id.replace('-', '_').lower()}"
    )
    work.record.set_shadow(str(shadow))
    work.save(work.record)
    work.warehouse.assert_locked()
    types = {name.lower(): type_ for name, type_ in work.final.columns}  # VARCHAR where final has it
    columns = [dataclasses.replace(column, type=types[column.name]) for column in work.plan.job.final]
    facts = work.warehouse.catalog.create_partitioned(
        shadow, columns, work.plan.job.partition.name, directory, like=work.final
    )
    rows.write.insertInto(shadow.quoted)
    return work.warehouse.catalog.table(facts).rows()


def forget_shadow(spark: SparkSession, record: RunRecord) -> None:
    """Drops a run's shadow table from the metastore. It is external without purge, so its files stay."""
    if record.shadow is not None:
        spark.sql(sql.drop_table(TableName.parse(record.shadow)))
        record.set_shadow(None)


def forget_shadow_quietly(work: Work) -> None:
    """Like ``forget_shadow``, for a failed run: only logs an error. ``cleanup`` drops a table that is left over."""
    try:
        forget_shadow(work.warehouse.spark, work.record)
    except Exception as exc:  # a lost JVM may be what failed the run
        log.warning("the table %s is left over: %s", work.record.shadow, spark_says(exc) or exc)


def _read_back(work: Work, rows: DataFrame, name: str, *, keep: bool) -> list[Difference]:
    record = work.record
    partitions = list(record.days)
    totals = work.totals(rows, partitions)
    differences: list[Difference] = []
    for partition in partitions:
        of_day = record.totals_of(partition)
        if keep:
            record.set_totals(partition, dataclasses.replace(of_day, final_after=totals[partition]))
        differences += reconcile_final(record.job.totals, partition, of_day.loaded, totals[partition], name)
    return differences


def _forget_staged_partitions(work: Work) -> None:
    """Drops staging's partitions, which must not point at directories that are about to become the final table's."""
    staging = work.warehouse.catalog.table(work.staging)
    work.warehouse.assert_locked()
    staging.clear()


def _moved(work: Work) -> list[Partition]:
    """Returns the days whose partition points to another directory than before the run."""
    return [
        partition
        for partition, day in work.record.days.items()
        for location in [work.publisher.published_location(day)]
        if day.before is not None and location is not None and normal(day.before.location) != normal(location)
    ]
