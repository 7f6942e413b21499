"""
Wires the parts together for the commands that need Spark. No other module does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, Optional

from pyspark.sql import SparkSession

from traffic_aggr.config.config import Config, is_uri
from traffic_aggr.errors import TrafficAggrError
from traffic_aggr.files.local import files_for
from traffic_aggr.hive.catalog import HiveCatalog
from traffic_aggr.restate import cleanup, guards, recovery, restatement, rollback
from traffic_aggr.restate.check import (
    ProbeResult,
    exit_code,
    probe,
    probe_compression,
    probe_executors,
    probe_impala,
    probe_list,
    probe_metrics,
    probe_smtp,
    probe_state,
)
from traffic_aggr.restate.context import JobContext
from traffic_aggr.restate.journal import RunJournal
from traffic_aggr.restate.preflight import table_names
from traffic_aggr.restate.sample_data import SampleData, generate
from traffic_aggr.restate.warehouse import files_of
from traffic_aggr.run.plan import Plan, RunArguments
from traffic_aggr.run.record import RunRecord
from traffic_aggr.spark.hadoop import Hadoop
from traffic_aggr.spark.shipping import interpreter, with_packages


class App:
    """The commands of one configuration. Each starts and stops Spark, unless ``spark`` is given."""

    def __init__(
        self,
        config: Config,
        journal: RunJournal,
        secrets: Mapping[str, str],
        hadoop: Hadoop,
        spark: Optional[SparkSession] = None,
    ) -> None:
        self._config = config
        self._context = JobContext(config, journal, secrets, hadoop, spark)

    def plan(self, ask: RunArguments) -> Plan:
        """Returns what ``run`` would do now. Changes no table and no state."""
        return restatement.plan(self._context, ask)

    def run(self, ask: Callable[[], RunArguments], run_id: str) -> RunRecord:
        """
        Restates the days that ``ask()`` names and returns the run's record.

        Raises TrafficAggrError. A run that fails while it changes the table, or whose published data differs from
        staging, puts the old data back first.
        """
        return restatement.run(self._context, ask, run_id)

    def recover(self, run_id: str) -> list[RunRecord]:
        """Settles interrupted runs: every day ends up all new or all old. Returns those runs, newest first."""
        return recovery.recover(self._context, run_id)

    def rollback(self, target: str, run_id: str) -> RunRecord:
        """Puts the partitions back as they were before the run ``target``. Returns the rollback's record."""
        return rollback.rollback(self._context, target, run_id)

    def cleanup(self, run_id: str, *, dry_run: bool) -> list[str]:
        """
        Deletes what runs kept or left behind and nothing needs any more.

        Returns what it deleted, or would delete with ``dry_run``.
        """
        return cleanup.cleanup(self._context, run_id, dry_run=dry_run)

    def check(
        self, ask: Callable[[], object], show: Callable[[str], object], before: Iterable[ProbeResult] = ()
    ) -> int:
        """
        Probes everything that a run needs, shows a line for each probe and returns the exit code.

        The results in ``before`` are shown first and count towards the exit code.
        """
        findings: list[ProbeResult] = []

        def found(each: Iterable[ProbeResult]) -> None:
            for finding in each:
                findings.append(finding)
                show(str(finding))

        config = self._config
        show(f"ok    config {config.path}")
        found(before)
        found([probe_list(config, ask)])
        found(probe_state(config, lambda location: files_for(location, lambda: self._context.hadoop.files)))
        found(probe_metrics(config))
        found(probe_impala(config, self._context.impala_password))
        found(probe_smtp(config))
        try:
            with self._probing_session() as spark:
                found([ProbeResult(f"Spark {spark.version} on {spark.sparkContext.master}", None)])
                found([probe_compression(spark)])
                if config.spark.master == "yarn":
                    where = interpreter(config.spark.conf)
                    found([probe_executors(spark, where, config.impala.auth.mechanism)])
                catalog = HiveCatalog(spark)
                found([probe("metastore", lambda: catalog.facts(table_names(config.tables)["raw"]))])
                tables = probe(f"tables of {config.tables.database}", lambda: self._probe_tables(spark))
                found([tables])
                if tables.error is None:
                    found(
                        ProbeResult(str(orphan), None, warning=True) for orphan in cleanup.orphans(self._context, spark)
                    )
        except TrafficAggrError as exc:
            found([ProbeResult("Spark", exc)])
        return exit_code(findings)

    def _probe_tables(self, spark: SparkSession) -> None:
        guards.refuse_tables(self._context.open(spark).tables)

    @contextmanager
    def _probing_session(self) -> Iterator[SparkSession]:
        """Yields a session; on YARN its executors get the packages that the job ships."""
        with ExitStack() as held:
            conf = None
            if self._config.spark.master == "yarn":
                directory = held.enter_context(TemporaryDirectory(prefix="traffic_aggr-"))
                conf = with_packages(self._config.spark.conf, Path(directory))
            yield held.enter_context(self._context.session(conf))

    def sample_data(self, out: str, days: int, rows_per_day: int, seed: int, final_format: str) -> SampleData:
        """Creates sample tables in the configured database, with their files under ``out``, a local path or a URI."""
        location = out if is_uri(out) else f"file:{os.path.abspath(out)}"
        with self._context.session() as spark:
            return generate(
                spark,
                self._config.tables,
                files_of(spark, location),
                location.rstrip("/"),
                days=days,
                rows_per_day=rows_per_day,
                seed=seed,
                final_format=final_format,
            )
