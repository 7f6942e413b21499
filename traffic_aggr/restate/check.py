"""
Checks everything that a run needs, one probe after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable

from pyspark.sql import Observation, SparkSession

from traffic_aggr.errors import TrafficAggrError
from traffic_aggr.files.local import files_for
from traffic_aggr.hive.catalog import DISCOVERY, HiveCatalog
from traffic_aggr.restate import cleanup, guards
from traffic_aggr.restate.context import JobContext
from traffic_aggr.restate.planning import sources_of
from traffic_aggr.restate.probes import (
    ProbeResult,
    probe,
    probe_compression,
    probe_executors,
    probe_impala,
    probe_list,
    probe_metrics,
    probe_smtp,
    probe_state,
)
from traffic_aggr.restate.staged_rows import aggregated
from traffic_aggr.restate.tables import table_names
from traffic_aggr.run.plan import RunArguments
from traffic_aggr.run.result import engine_in_words
from traffic_aggr.run.totals import Totals
from traffic_aggr.spark.engine import VELOX, aggregating, engine_of, fallbacks
from traffic_aggr.spark.shipping import interpreter, with_packages


def check(
    context: JobContext,
    ask: Callable[[], RunArguments],
    before: Iterable[ProbeResult] = (),
) -> Iterator[ProbeResult]:
    """
    Probes everything that a run needs, one thing after another, as its results are asked for.

    ``ask`` reads the partition list. The results in ``before`` come first.
    """
    yield ProbeResult(f"config {context.config.path}, job {context.job.name} ({context.config.job.definition})", None)
    yield from before
    yield from _probe_host(context, ask)
    yield from _probe_spark(context, ask)


def _probe_host(context: JobContext, ask: Callable[[], RunArguments]) -> Iterator[ProbeResult]:
    config = context.config
    yield probe_list(config, ask)
    yield from probe_state(config, lambda location: files_for(location, lambda: context.hadoop.files))
    yield from probe_metrics(config)
    yield from probe_impala(config, context.job, context.impala_password)
    yield from probe_smtp(config)


def _probe_spark(context: JobContext, ask: Callable[[], RunArguments]) -> Iterator[ProbeResult]:
    config = context.config
    try:
        with _probing_session(context) as spark:
            yield ProbeResult(f"Spark {spark.version} on {spark.sparkContext.master}", None)
            yield probe_compression(spark)
            if config.spark.master == "yarn":
                yield probe_executors(spark, interpreter(config.spark.conf), config.impala.auth.mechanism)
            catalog = HiveCatalog(spark)
            yield probe("metastore", lambda: catalog.facts(table_names(config.tables, context.job)["raw"]))
            tables = probe(
                f"tables of {config.tables.database}",
                lambda: guards.refuse_tables(context.job, context.open(spark).tables),
            )
            yield tables
            if tables.error is None:
                yield from _warn_of_discovery(context, catalog)
                for orphan in cleanup.orphans(context, spark):
                    yield ProbeResult(str(orphan), None, warning=True)
                if engine_of(spark) == VELOX:
                    yield _probe_velox(context, spark, ask)
    except TrafficAggrError as exc:
        yield ProbeResult("Spark", exc)


def _warn_of_discovery(context: JobContext, catalog: HiveCatalog) -> Iterator[ProbeResult]:
    final = catalog.facts(table_names(context.config.tables, context.job)["final"])
    if final is not None and final.discovers_partitions and guards.clears_in_place(context.config):
        yield ProbeResult(f"{final.name} has {DISCOVERY}=true: a run refuses to clear days", None, warning=True)


def _probe_velox(context: JobContext, spark: SparkSession, ask: Callable[[], RunArguments]) -> ProbeResult:
    """Probes what of the aggregation Velox leaves to the JVM. Reads no rows; looks at the list's first partition."""
    job, left = context.job, dict[str, str]()

    def plan() -> None:
        asked = ask()
        first = asked.partitions.partitions[:1]
        if not first:  # partitions.empty_list is ok
            return
        totals = Totals(rows=1, sums=dict.fromkeys((*job.names, *(fact.name for fact in job.facts)), 1))
        one = replace(asked, partitions=replace(asked.partitions, partitions=first))
        with sources_of(context, context.open(spark), one) as sources:
            rows = aggregated(sources.aggregation, job, dict.fromkeys(first, totals), Observation())
            with aggregating(spark):
                left.update(fallbacks(rows))

    found = probe("Velox aggregates", plan)
    return found if found.error else ProbeResult(engine_in_words(VELOX, left), None)


@contextmanager
def _probing_session(context: JobContext) -> Iterator[SparkSession]:
    """Yields a session; on YARN its executors get the packages that the job ships."""
    with ExitStack() as held:
        conf = None
        if context.config.spark.master == "yarn":
            directory = held.enter_context(TemporaryDirectory(prefix="traffic_aggr-"))
            module = context.config.job.definition.partition(":")[0]
            conf = with_packages(context.config.spark.conf, Path(directory), module)
        yield held.enter_context(context.session(conf))
