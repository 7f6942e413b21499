"""
What the commands that touch the tables share: Spark, the tables, the locks, the publisher and Impala.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Callable, Optional

import pyspark
from pyspark.sql import SparkSession

from traffic_aggr import __version__
from traffic_aggr.config.config import Config, is_uri
from traffic_aggr.errors import InputError, StateError, StepError, TrafficAggrError
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.hive.catalog import HiveCatalog
from traffic_aggr.hive.layout import RUN_ROOT
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.sql import TableName
from traffic_aggr.host.edge import RunLock
from traffic_aggr.host.lock import FileLock
from traffic_aggr.host.owner import OwnerFile
from traffic_aggr.impala.kerberos_login import kerberos_login, login_settings
from traffic_aggr.impala.refresh import ImpalaRefresher
from traffic_aggr.restate import execute, steps, witness
from traffic_aggr.restate.journal import RunJournal
from traffic_aggr.restate.publish import Publisher
from traffic_aggr.restate.signals import Stop
from traffic_aggr.restate.swap import SwapPublisher
from traffic_aggr.restate.tables import describe_tables, table_names
from traffic_aggr.restate.warehouse import LockedWarehouse, Warehouse, files_of
from traffic_aggr.run.record import Publication, RunRecord
from traffic_aggr.run.refreshes import Refreshes
from traffic_aggr.run.store import adopt_copies, copy_beside_table, remove_misleading_copy
from traffic_aggr.spark import progress
from traffic_aggr.spark.engine import VELOX, engine_of, gluten_version
from traffic_aggr.spark.hadoop import Hadoop
from traffic_aggr.spark.session import (
    explain_java_error,
    explain_lost_jvm,
    explain_start_failure,
    jvm_process_id,
    start_session,
    stop_session,
)
from traffic_aggr.text import first_line

log = logging.getLogger(__name__)

Follow = Callable[[RunRecord, SparkSession], Optional[TrafficAggrError]]
"""
Restates what depends on the partitions that a run has changed, in its session, after it has ended.

Returns the error where that fails, since it is not the run's own.
"""


def nothing_follows(record: RunRecord, spark: SparkSession) -> Optional[TrafficAggrError]:
    """No table depends on the partitions."""
    return None


class JobContext:
    """
    What the commands of one configuration share.

    ``spark`` is an existing session to use. Without it, each command starts a session in the JVM of ``hadoop`` and
    stops it.
    """

    def __init__(
        self,
        config: Config,
        journal: RunJournal,
        secrets: Mapping[str, str],
        hadoop: Hadoop,
        spark: Optional[SparkSession] = None,
    ) -> None:
        self.config = config
        self.journal = journal
        self.hadoop = hadoop
        self.job = journal.store.job
        self._names = table_names(config.tables, self.job)
        self.tables = {role: str(name) for role, name in self._names.items()}
        self.impala_password = secrets.get("impala.auth.password")
        self._given_spark = spark
        self._spark_settings: Mapping[str, str] = {}

    @contextmanager
    def recorded(self, record: RunRecord) -> Iterator[tuple[Stop, RunLock]]:
        """
        Holds the run lock and listens for signals.

        Passes any error raised inside to ``RunJournal.fail`` and raises it as a TrafficAggrError. An InputError becomes
        a StepError once the run has begun a step or changed the table.
        """
        with ExitStack() as held:
            stop = held.enter_context(Stop().listening())
            lock = held.enter_context(self.journal.lock(record))
            held.callback(self.hadoop.stop)  # before the lock is released: the next run must not wait for this JVM
            try:
                yield stop, lock
            except Exception as exc:  # the operator gets one line for any error, the log the traceback
                error = stop.reason() or operator_error(exc)
                if isinstance(error, InputError) and (record.steps or record.publication is not Publication.UNTOUCHED):
                    error = StepError(error.message, hint=error.hint)
                self.journal.fail(record, error)
                raise error from exc

    @contextmanager
    def session(self, conf: Optional[Mapping[str, str]] = None) -> Iterator[SparkSession]:
        """Yields Spark's session; ``conf`` replaces the configured ``spark.conf``."""
        if self._given_spark is not None:
            self._spark_settings = login_settings(self._given_spark.conf.get)
            yield self._given_spark
            return
        config = self.config
        settings = config.spark if conf is None else replace(config.spark, conf=conf)
        try:
            with progress.shown(None, "starting Spark"):
                spark = start_session(settings, config.job.name, log_dir=config.logs.dir, gateway=self.hadoop.gateway)
            self._spark_settings = login_settings(spark.conf.get)
            try:
                yield spark
            except Exception as exc:  # translated while the JVM runs: Spark's errors ask it for their text
                raise operator_error(exc) from exc
            finally:
                stop_session(spark, keep_jvm=True)
        finally:
            if not is_uri(config.state.dir):  # else closing the record still needs the JVM
                self.hadoop.stop()

    def name_session(self, record: RunRecord, lock: RunLock, spark: SparkSession) -> None:
        versions = {"traffic_aggr": __version__, "spark": spark.version, "pyspark": pyspark.__version__}
        if engine_of(spark) == VELOX:
            versions["gluten"] = gluten_version(spark)
        application_id, process_id = spark.sparkContext.applicationId, jvm_process_id(spark)
        record.name_session(application_id, process_id, versions)
        lock.name_jvm(process_id, application_id)

    def open(self, spark: SparkSession) -> Warehouse:
        catalog = HiveCatalog(spark)
        tables = describe_tables(catalog, self.config.tables, self.job)
        root = tables.final.location if tables.final else catalog.default_location(self._names["final"])
        return Warehouse(spark, catalog, files_of(spark, root), tables, root)

    @contextmanager
    def table_lock(self, warehouse: Warehouse, record: RunRecord, lock: RunLock) -> Iterator[LockedWarehouse]:
        """
        Holds the final table's lock, so that two configs cannot change the table at once. Yields the locked warehouse.

        Its ``assert_locked`` raises LockHeldError when this lock or the run lock is lost. The table's lock lies beside
        the data, where every config finds it: a ``flock`` on the local file system, else owner files.
        """
        hidden = f"{warehouse.final_root}/{RUN_ROOT}"
        nearest = (warehouse.final_root, warehouse.final_root.rpartition("/")[0])
        like = next((each for each in nearest if warehouse.files.is_directory(each)), None)
        warehouse.files.make_directories(hidden, like)
        holder = self.journal.holder(record).with_jvm(record.jvm_process_id, record.application_id)
        table_lock = (
            FileLock(f"{hidden}/lock", holder)
            if isinstance(warehouse.files, LocalFiles)
            else OwnerFile(hidden, warehouse.files, holder, runs=self.hadoop.runs)
        )
        with table_lock:

            def assert_locked() -> None:
                lock.assert_held()
                table_lock.assert_held()

            yield LockedWarehouse(**vars(warehouse), assert_locked=assert_locked)

    def settle(
        self,
        warehouse: LockedWarehouse,
        tell: Callable[[list[RunRecord]], None] = lambda settled: None,
    ) -> list[RunRecord]:
        """
        Settles interrupted runs, then calls ``tell`` and refreshes Impala. Returns those runs, newest first.

        Closes their records last: if this process is interrupted before that, the next one repeats this for runs that
        are still RUNNING.
        """
        adopt_copies(self.journal.store, warehouse.files, warehouse.final_root)

        def publisher_for(record: RunRecord) -> Publisher:
            return self.publisher(warehouse, TableName.parse(record.tables["final"]), record.mode)

        settled = execute.settle_earlier(self.journal.store, publisher_for)
        for record in settled:
            steps.forget_shadow(warehouse.spark, record)
        if settled:
            tell(settled)
            touched = [each for each in settled if each.publication is not Publication.UNTOUCHED]
            if touched:
                self.journal.note_dependants(day for each in touched for day in each.days)
                self.refresh_final(touched[0], [day for each in touched for day in each.days])
            execute.close_settled(self.journal.store, settled, self.journal.note_rolled_back)
            self.journal.report_settled(settled)
        return settled

    def publisher(self, warehouse: LockedWarehouse, name: TableName, mode: str) -> Publisher:
        facts = warehouse.catalog.facts(name)
        if facts is None:
            raise StateError(f"the table {name} of an earlier run is gone", hint="Make it again")

        def save(record: RunRecord) -> None:
            self.journal.save(record)
            try:
                copy_beside_table(record, warehouse.files)
            except StateError as exc:
                # A full disk must not prevent old data from being put back.
                if record.publication not in (Publication.RESTORING, Publication.RESTORED):
                    raise
                log.warning("%s", exc)
                remove_misleading_copy(record, warehouse.files)

        kind = SwapPublisher if mode == "swap" else Publisher
        return kind(warehouse.catalog.table(facts), warehouse.files, save, warehouse.assert_locked)

    def impala(self, stop: Stop) -> Optional[ImpalaRefresher]:
        if not self.config.impala.enabled:
            return None
        login = kerberos_login(self.config.impala.auth, self.config.spark, self._spark_settings)
        return ImpalaRefresher(
            self.config.impala, self.impala_password, login=login, sleep=stop.sleep, checkpoint=stop.check
        )

    def refresh_final(self, record: RunRecord, partitions: Sequence[Partition]) -> None:
        """Refreshes the final table in Impala after ``partitions`` were put back or published."""
        impala = self.impala(Stop())
        if impala is None:
            return
        witness.send(impala, record, Refreshes(self._names["staging"], self._names["final"]).put_back(partitions))


def operator_error(exc: Exception) -> TrafficAggrError:
    """Translates ``exc`` into the one-line error that the operator sees, and logs its traceback."""
    if isinstance(exc, TrafficAggrError):
        return exc
    log.debug("the command failed", exc_info=exc)
    known = explain_start_failure(exc) or explain_lost_jvm(exc) or explain_java_error(exc)
    if known is not None:
        return known
    line = first_line(exc) if str(exc).strip() else ""
    return StepError(f"{type(exc).__name__}: {line}", hint="The log has the details")
