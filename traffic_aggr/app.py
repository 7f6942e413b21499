"""
The only place that wires the parts together: the commands that work on the tables.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import pyspark
from pyspark.sql import SparkSession

from traffic_aggr import __version__, preflight, runner, steps
from traffic_aggr.bookkeeping import Bookkeeping
from traffic_aggr.check import Finding, exit_code, probe, probe_impala, probe_list, probe_smtp, probe_state
from traffic_aggr.config import Config
from traffic_aggr.controls import reconcile_final, summary
from traffic_aggr.errors import GuardError, StateError, StepError, TrafficAggrError
from traffic_aggr.files import Files, HadoopFiles, LocalFiles, files_for
from traffic_aggr.hive import HiveCatalog, TableFacts
from traffic_aggr.hooks import run_after_load
from traffic_aggr.impala_refresh import ImpalaRefresher
from traffic_aggr.layout import RUN_ROOT, Placement, run_directory
from traffic_aggr.lock import FileLock
from traffic_aggr.partitions import Partition, PartitionList
from traffic_aggr.plan import Found, Plan, Request, Step, build_plan
from traffic_aggr.preflight import Tables, table_names
from traffic_aggr.publish import Publisher
from traffic_aggr.runrecord import Day, Publication, RunRecord
from traffic_aggr.sample_data import SampleData, generate
from traffic_aggr.session import explain_start_failure, jvm_process_id, start_session, stop_session
from traffic_aggr.sql import TableName
from traffic_aggr.state import adopt_copies, copy_beside_table
from traffic_aggr.steps import Work
from traffic_aggr.stop import Stop
from traffic_aggr.swap import SwapPublisher
from traffic_aggr.tables import FINAL_COLUMNS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ask:
    """What the command line asked of a run: the list, which step to start from, and the run id if one was chosen."""

    partitions: PartitionList
    from_step: Optional[Step] = None


@dataclass(frozen=True)
class Warehouse:
    """The tables and files of a command, once Spark is there."""

    spark: SparkSession
    catalog: HiveCatalog
    files: Files
    tables: Tables
    final_root: str


class App:
    """
    The commands of one configuration. ``spark`` is given where a session is there already; otherwise each
    command starts one and stops it.
    """

    def __init__(
        self,
        config: Config,
        bookkeeping: Bookkeeping,
        secrets: Mapping[str, str],
        spark: Optional[SparkSession] = None,
    ) -> None:
        self._config = config
        self._books = bookkeeping
        self._secrets = secrets
        self._given_spark = spark
        self._tables = {role: str(name) for role, name in table_names(config.tables).items()}

    # ---- commands

    def plan(self, ask: Ask) -> Plan:
        """What ``run`` would do now. Changes no table and no state."""
        flag = self._books.status_file.read().flag
        with self._session() as spark:
            warehouse = self._open(spark)
            plan, _, _ = self._plan(warehouse, ask, flag)
        return plan

    def run(self, ask: Callable[[], Ask], run_id: str) -> RunRecord:
        """Restates the days that ``ask`` names, or raises a TrafficAggrError after putting old data back."""
        record = self._books.new_record("run", self._tables, run_id)
        with self._recorded(record) as (stop, lock):
            flag = self._books.status_file.read().flag
            asked = ask()
            record.partitions = list(asked.partitions.partitions)
            record.partitions_digest = asked.partitions.digest
            record.partitions_source = asked.partitions.source
            record.skipped_lines = [f"line {line.number}: {line.text}" for line in asked.partitions.skipped]
            record.flag = flag
            self._books.begin(record)
            with self._session() as spark:
                self._name_session(record, lock, spark)
                stop.cancel = spark.sparkContext.cancelAllJobs
                self._run(spark, record, asked, flag, stop, lock)
            self._books.succeed(record)
            run_after_load(self._config.hooks.after_load, record.run_id)
        return record

    def recover(self, run_id: str) -> list[RunRecord]:
        """Takes interrupted runs forward or back until their days are whole; those runs, newest first."""
        record = self._books.new_record("recover", self._tables, run_id)
        with self._recorded(record) as (stop, lock), self._session() as spark:
            self._name_session(record, lock, spark)
            warehouse = self._open(spark)
            with self._table_lock(warehouse, record, lock) as still_locked:
                settled = self._settle(warehouse, still_locked)
                stop.check()
            if settled:
                self._refresh_final(record, [day for each in settled for day in each.days])
                self._books.recovered(settled)
        return settled

    def rollback(self, target: str, run_id: str) -> RunRecord:
        """Puts back the partitions as they were before the run ``target``; the record of the rollback."""
        record = self._books.new_record("rollback", self._tables, run_id)
        record.rolls_back = target
        with self._recorded(record) as (stop, lock):
            self._books.begin(record)
            with self._session() as spark:
                self._name_session(record, lock, spark)
                self._rollback(spark, record, stop, lock)
            self._books.succeed(record)
        return record

    def check(self, ask: Callable[[], object], show: Callable[[str], object]) -> int:
        """Probes everything that a run needs and shows a line each; the exit code."""
        findings: list[Finding] = []

        def found(each: Iterable[Finding]) -> None:
            for finding in each:
                findings.append(finding)
                show(str(finding))

        config = self._config
        show(f"ok    config {config.path}")
        found([probe_list(config, ask)])
        found(probe_state(config))
        found(probe_impala(config, self._secrets.get("impala.auth.password")))
        found(probe_smtp(config))
        try:
            with self._session() as spark:
                found([Finding(f"Spark {spark.version} on {spark.sparkContext.master}", None)])
                catalog = HiveCatalog(spark)
                found([probe("metastore", lambda: catalog.facts(table_names(config.tables)["raw"]))])
                found([probe(f"tables of {config.tables.database}", lambda: self._open(spark))])
        except TrafficAggrError as exc:
            found([Finding("Spark", exc)])
        return exit_code(findings)

    def sample_data(self, out: Path, days: int, rows_per_day: int, seed: int, final_format: str) -> SampleData:
        """Makes sample tables in the configured database, their files under ``out``."""
        with self._session() as spark:
            return generate(
                spark,
                self._config.tables,
                out,
                days=days,
                rows_per_day=rows_per_day,
                seed=seed,
                final_format=final_format,
            )

    # ---- run

    def _run(self, spark: SparkSession, record: RunRecord, ask: Ask, flag: int, stop: Stop, lock: FileLock) -> None:
        warehouse = self._open(spark)
        record.final_root = warehouse.final_root
        with self._table_lock(warehouse, record, lock) as still_locked:
            self._settle(warehouse, still_locked)
            record.settled_earlier_runs = True
            self._books.save(record)
            stop.check()
            plan, last, sources = self._plan(warehouse, ask, flag)
            self._take_over(record, plan, last, warehouse)
            self._log_plan(plan)
            stop.check()
            _refuse(plan)
            if not record.days:
                log.info("nothing to restate")
                return
            impala = self._impala(stop)
            if impala is not None:
                impala.probe()
            staging, final, created = self._create_missing(warehouse)
            work = Work(
                spark=spark,
                catalog=warehouse.catalog,
                files=warehouse.files,
                tables=warehouse.tables,
                sources=sources,
                staging=staging,
                final=final,
                created=created,
                plan=plan,
                record=record,
                publisher=self._publisher(warehouse, final.name, record.mode, still_locked),
                impala=impala,
                verify_impala=self._config.impala.verify,
                replace_delimiters=self._config.tables.delimiter_in_text == "space",
                stop=stop,
                save=self._books.save,
            )
            runner.execute(work, lambda step: self._mark(record, step, last))

    def _mark(self, record: RunRecord, step: Step, last: Optional[RunRecord]) -> None:
        self._books.mark(step)
        if last is not None and last.run_id == record.resumes and last.continued_by is None:
            # Only now is there a step in this run's own record, from which a later one would resume.
            last.continued_by = record.run_id
            self._books.save(last)

    def _plan(self, warehouse: Warehouse, ask: Ask, flag: int) -> tuple[Plan, Optional[RunRecord], preflight.Sources]:
        config, files, tables = self._config, warehouse.files, warehouse.tables
        partitions = ask.partitions.partitions
        sources = preflight.open_sources(warehouse.catalog, tables, partitions)
        raw = preflight.raw_totals(sources.raw, partitions)
        final = warehouse.catalog.table(tables.final) if tables.final else None
        placements, old, notes = preflight.old_totals(final, files, partitions)
        last = self._books.store.last_worked()
        if last is not None and last.finished:
            last = None
        names = table_names(config.tables)
        found = Found(
            days=preflight.found_days(raw, placements, old),
            flag=flag,
            refusals=(
                *preflight.refuse_duplicate_keys(sources),
                *preflight.refuse_shared_directories(final, partitions),
                *preflight.refuse_unsafe_text(
                    sources, tables, replace_with_space=config.tables.delimiter_in_text == "space"
                ),
            ),
            staged_matches=last is not None and steps.staged_matches(files, tables.staging, last, raw),
            creates=tuple(str(names[role]) for role in ("staging", "final") if getattr(tables, role) is None),
            notes=tuple(notes),
            final_root=warehouse.final_root,
        )
        request = Request(
            partitions=ask.partitions,
            mode=config.publish.mode,
            tables=self._tables,
            empty_source=config.partitions.empty_source,
            max_change_pct=config.audit.max_change_pct,
            from_step=ask.from_step,
        )
        return build_plan(request, found, last), last, sources

    def _take_over(self, record: RunRecord, plan: Plan, last: Optional[RunRecord], warehouse: Warehouse) -> None:
        """Enters the plan into the record: the days to change, what was found, what an earlier run left."""
        record.resumes = plan.resumes
        record.notes += plan.notes
        for partition, day in plan.days.items():
            totals = record.totals_of(partition)
            totals.raw, totals.final_before = day.raw, day.old
        if plan.verify_only and last is not None:
            record.days, record.publication = last.days, last.publication
            record.totals, record.staged = last.totals, last.staged
        else:
            aside = f"{run_directory(warehouse.final_root, record.run_id)}/old"
            placements = self._placements(warehouse, plan.changed)
            record.days = {
                partition: Day(
                    home=f"{warehouse.final_root}/{partition.directory}",
                    kept=f"{aside}/{partition.directory}",
                    before=placements.get(partition),
                )
                for partition in plan.changed
            }
        if plan.reuses_staged and last is not None:
            record.staged = last.staged
            for partition in plan.restated:
                record.totals_of(partition).staging = last.totals_of(partition).staging
        self._books.save(record)

    def _placements(self, warehouse: Warehouse, partitions: Sequence[Partition]) -> Mapping[Partition, Placement]:
        final = warehouse.tables.final
        return warehouse.catalog.table(final).partitions(partitions) if final else {}

    def _create_missing(self, warehouse: Warehouse) -> tuple[TableFacts, TableFacts, tuple[TableName, ...]]:
        created = []
        found = {}
        for role in ("staging", "final"):
            facts = getattr(warehouse.tables, role)
            if facts is None:
                name = table_names(self._config.tables)[role]
                location = warehouse.catalog.default_location(name)
                facts = warehouse.catalog.create_partitioned(name, FINAL_COLUMNS, location)
                created.append(name)
                log.info("created %s as Parquet in %s", name, location)
            found[role] = facts
        return found["staging"], found["final"], tuple(created)

    def _log_plan(self, plan: Plan) -> None:
        for note in plan.notes:
            log.info("%s", note)
        log.info(
            "plan: %s for %d partitions%s",
            " -> ".join(step.label for step in plan.steps),
            len(plan.changed),
            f", {len(plan.kept)} kept as they are since raw has no rows for them" if plan.kept else "",
        )

    # ---- rollback

    def _rollback(self, spark: SparkSession, record: RunRecord, stop: Stop, lock: FileLock) -> None:
        warehouse = self._open(spark)
        record.final_root = warehouse.final_root
        with self._table_lock(warehouse, record, lock) as still_locked:
            self._settle(warehouse, still_locked)
            record.settled_earlier_runs = True
            assert record.rolls_back is not None
            target = self._books.store.load(record.rolls_back)
            self._refuse_rollback(target)
            name = TableName(*target.tables["final"].split("."))
            publisher = self._publisher(warehouse, name, target.mode, still_locked)
            publisher.refuse_unless_published(target)
            stop.check()
            record.partitions = list(target.days)
            record.totals = {
                partition: totals for partition, totals in target.totals.items() if partition in target.days
            }
            self._books.save(record)
            self._books.mark(Step.LOAD)
            publisher.restore(target)
            target.rolled_back_by = record.run_id
            self._books.save(target)
            log.info("the old data of %d partitions is back", len(target.days))
            self._prove_old(warehouse, target)
            self._refresh_final(record, list(target.days))

    def _refuse_rollback(self, target: RunRecord) -> None:
        if target.tables.get("final") != self._tables["final"]:
            raise GuardError(
                f"run {target.run_id} changed {target.tables.get('final')}, not {self._tables['final']}",
                hint="Use the config of that run",
            )
        if target.rolled_back_by:
            raise GuardError(f"run {target.run_id} was rolled back by {target.rolled_back_by}", hint="Nothing to do")
        if target.continued_by:
            raise GuardError(
                f"run {target.run_id} was continued by {target.continued_by}", hint=f"Roll back {target.continued_by}"
            )
        if target.publication is not Publication.PUBLISHED:
            raise GuardError(f"run {target.run_id} published nothing", hint="`history` lists the runs")
        for newer in self._books.store.newest_first():
            if newer.run_id == target.run_id:
                return
            overlap = newer.publication is Publication.PUBLISHED and set(newer.days) & set(target.days)
            if overlap and not newer.rolled_back_by:
                raise GuardError(
                    f"run {newer.run_id} restated {min(overlap)} after run {target.run_id}",
                    hint=f"Roll back {newer.run_id} first",
                )

    def _prove_old(self, warehouse: Warehouse, target: RunRecord) -> None:
        final = warehouse.tables.final
        if final is None:
            return
        table = warehouse.catalog.table(final)
        _, now, _ = preflight.old_totals(table, warehouse.files, list(target.days))
        differences = [
            difference
            for partition, totals in now.items()
            for before in [target.totals_of(partition).final_before]
            if before is not None
            for difference in reconcile_final(partition, before, totals, "final now")
        ]
        if differences:
            raise StepError(f"the old data is not what it was: {summary(differences)}", hint="Look at its files")

    # ---- parts

    @contextmanager
    def _recorded(self, record: RunRecord) -> Iterator[tuple[Stop, FileLock]]:
        """Holds the run lock and listens to signals; what goes wrong inside is recorded, and told to the desk."""
        with ExitStack() as held:
            stop = held.enter_context(Stop().listening())
            lock = held.enter_context(self._books.lock(record))
            try:
                yield stop, lock
            except Exception as exc:  # whatever it is, the operator gets one line and the log the traceback
                error = _translated(exc, stop)
                log.debug("the run failed", exc_info=True)
                self._books.fail(record, error)
                raise error from exc

    @contextmanager
    def _session(self) -> Iterator[SparkSession]:
        if self._given_spark is not None:
            yield self._given_spark
            return
        spark = start_session(self._config.spark, self._config.job.name, log_dir=self._config.logs.dir)
        try:
            yield spark
        finally:
            stop_session(spark)

    def _name_session(self, record: RunRecord, lock: FileLock, spark: SparkSession) -> None:
        record.application_id = spark.sparkContext.applicationId
        record.jvm_process_id = jvm_process_id(spark)
        record.versions = {"traffic_aggr": __version__, "spark": spark.version, "pyspark": pyspark.__version__}
        lock.name_jvm(record.jvm_process_id, record.application_id)

    def _open(self, spark: SparkSession) -> Warehouse:
        catalog = HiveCatalog(spark)
        tables = preflight.describe_tables(catalog, self._config.tables)
        final = table_names(self._config.tables)["final"]
        root = tables.final.location if tables.final else catalog.default_location(final)
        return Warehouse(spark, catalog, _files(spark, root), tables, root)

    @contextmanager
    def _table_lock(self, warehouse: Warehouse, record: RunRecord, lock: FileLock) -> Iterator[Callable[[], None]]:
        """
        The lock of the final table, so that two configs cannot work on it; yields the check of both locks.

        It lies beside the data, where every local config finds it.
        """
        hidden = f"{warehouse.final_root}/{RUN_ROOT}"
        if not isinstance(warehouse.files, LocalFiles):
            yield lock.assert_held
            return
        warehouse.files.make_directories(hidden, warehouse.final_root if warehouse.tables.final else None)
        with self._books.table_lock(f"{hidden}/lock", record) as table_lock:

            def still_locked() -> None:
                lock.assert_held()
                table_lock.assert_held()

            yield still_locked

    def _settle(self, warehouse: Warehouse, still_locked: Callable[[], None]) -> list[RunRecord]:
        adopt_copies(self._books.store, warehouse.files, warehouse.final_root)

        def publisher_for(record: RunRecord) -> Publisher:
            return self._publisher(warehouse, TableName(*record.tables["final"].split(".")), record.mode, still_locked)

        settled = runner.settle_earlier(self._books.store, publisher_for)
        for record in settled:
            steps.forget_shadow(warehouse.spark, record)
        return settled

    def _publisher(
        self, warehouse: Warehouse, name: TableName, mode: str, still_locked: Callable[[], None]
    ) -> Publisher:
        facts = warehouse.catalog.facts(name)
        if facts is None:
            raise StateError(f"the table {name} of an earlier run is gone", hint="Make it again, then run `recover`")

        def save(record: RunRecord) -> None:
            self._books.save(record)
            copy_beside_table(record, warehouse.files)

        kind = SwapPublisher if mode == "swap" else Publisher
        return kind(warehouse.catalog.table(facts), warehouse.files, save, still_locked)

    def _impala(self, stop: Stop) -> Optional[ImpalaRefresher]:
        if not self._config.impala.enabled:
            return None
        return ImpalaRefresher(
            self._config.impala, self._secrets.get("impala.auth.password"), sleep=stop.sleep, checkpoint=stop.check
        )

    def _refresh_final(self, record: RunRecord, partitions: Sequence[Partition]) -> None:
        """Has Impala reload the final table after its old data was put back."""
        impala = self._impala(Stop())
        if impala is None:
            return
        name = table_names(self._config.tables)["final"]
        steps.send(impala, record, steps.refresh_final_statements(name, partitions))


def _refuse(plan: Plan) -> None:
    if plan.refusals:
        text = "; ".join(f"{refusal.guard}: {refusal.message}" for refusal in plan.refusals)
        raise GuardError(text, hint=". ".join(dict.fromkeys(refusal.hint for refusal in plan.refusals)))


def _files(spark: SparkSession, root: str) -> Files:
    context = spark.sparkContext
    return files_for(root, lambda: HadoopFiles(context._jvm, context._jsc.hadoopConfiguration()))


def _translated(exc: Exception, stop: Stop) -> TrafficAggrError:
    """What the operator is told: a signal that cancelled the work counts before the error it caused."""
    interrupted = stop.reason()
    if interrupted is not None:
        return interrupted
    if isinstance(exc, TrafficAggrError):
        return exc
    explained = explain_start_failure(exc)
    if explained is not None:
        return explained
    first_line = str(exc).strip().splitlines()[0] if str(exc).strip() else ""
    return StepError(f"{type(exc).__name__}: {first_line}", hint="The log has the details; run again to resume")
