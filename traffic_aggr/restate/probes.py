"""
Probes everything that a run needs, each thing by itself, so that all failures show at once.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import smtplib
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from traffic_aggr.config.config import Config
from traffic_aggr.errors import ConfigError, ImpalaRejectedError, StateError, TrafficAggrError
from traffic_aggr.files.local import Files, temporary_name
from traffic_aggr.hive import sql
from traffic_aggr.host.status_file import StatusFile
from traffic_aggr.impala.answers import Kind
from traffic_aggr.impala.kerberos_login import kerberos_login
from traffic_aggr.impala.outcomes import was_rejected_as
from traffic_aggr.impala.refresh import ImpalaRefresher
from traffic_aggr.restate.tables import table_names
from traffic_aggr.run.definition import JobDefinition
from traffic_aggr.spark.errors import spark_says
from traffic_aggr.spark.queries import on_executor
from traffic_aggr.text import first_line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_NATIVE_CODECS = {
    "Snappy": "org.xerial.snappy.Snappy",
    "Zstandard": "com.github.luben.zstd.ZstdOutputStreamNoFinalizer",
}


@dataclass(frozen=True)
class ProbeResult:
    """
    What one probe found; ``error`` is None when all is well.

    A ``warning`` stops no run, but somebody should look at it.
    """

    what: str
    error: Optional[TrafficAggrError]
    warning: bool = False

    @property
    def state(self) -> str:
        return "FAIL" if self.error else "warn" if self.warning else "ok"

    def __str__(self) -> str:
        return f"{self.state:4}  {self.what}{f': {self.error}' if self.error else ''}"


def probe(what: str, action: Callable[[], object]) -> ProbeResult:
    """Runs one probe. Turns an error that is not a TrafficAggrError into one line."""
    try:
        action()
    except TrafficAggrError as exc:
        return ProbeResult(what, exc)
    except Exception as exc:  # any error is the probe's result, and must not stop the other probes
        line = spark_says(exc) or first_line(exc)
        return ProbeResult(what, StateError(line))
    return ProbeResult(what, None)


def exit_code(findings: Sequence[ProbeResult]) -> int:
    """Returns 0 when all is well, 2 when input is wrong, else 3 when a guard would refuse, else 1."""
    codes = {finding.error.exit_code for finding in findings if finding.error}
    return next((code for code in (2, 3, 1) if code in codes), 0)


def probe_state(config: Config, files: Callable[[str], Files]) -> Iterator[ProbeResult]:
    """
    Probes whether this user can write the state directories and read the status file.

    ``files`` returns the file system of a location.
    """
    where = config.state.dir
    yield probe(f"state.dir {where} can be written", lambda: _write_somewhere(files(where), where))
    directories = {
        "state.status_file": config.state.status_file.parent,
        "state.lock_file": config.state.lock_file.parent,
        "logs.dir": config.logs.dir,
        "notify.alert_file": config.notify.alert_file.parent,
    }
    for key, directory in directories.items():
        yield probe(f"{key} {directory} can be written", partial(_write_into, directory))
    status_file = StatusFile(str(config.state.status_file))
    yield probe(f"status file {config.state.status_file}", status_file.read)


def _write_somewhere(files: Files, directory: str) -> None:
    while not files.is_directory(directory):
        directory = _parent(directory)
    path = f"{directory.rstrip('/')}/{temporary_name('check')}"
    try:
        files.create_exclusive(path, b"")
        files.delete_tree(path)
    except OSError as exc:
        raise ConfigError(f"{directory}: {exc.strerror}", hint="Make it writable for this user") from exc


def _parent(directory: str) -> str:
    """Returns the directory above; the root of a file system keeps its slash."""
    above = directory.rpartition("/")[0]
    return f"{above}/" if re.fullmatch(r"(\w+:(//[^/]*)?)?", above) else above


def probe_metrics(config: Config) -> Iterator[ProbeResult]:
    """Probes whether the metrics can be written. A failure is only a warning, as it is in a run."""
    if config.metrics.textfile is None:
        return
    directory = config.metrics.textfile.parent
    found = probe(f"metrics.textfile {directory} can be written", partial(_write_there, directory))
    yield ProbeResult(f"{found.what}: {found.error}", None, warning=True) if found.error else found


def _write_into(directory: Path) -> None:
    _write_there(next(each for each in (directory, *directory.parents) if each.exists()))


def _write_there(directory: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as exc:
        raise ConfigError(f"{directory}: {exc.strerror}", hint="Make it writable for this user") from exc


def probe_impala(config: Config, job: JobDefinition, password: Optional[str]) -> Iterator[ProbeResult]:
    """
    Probes whether each coordinator opens a session, then has one plan the queries of both totals.

    Asks no coordinator when a password is configured and ``password`` is missing.
    """
    if not config.impala.enabled:
        return
    if config.impala.auth.password is not None and password is None:
        yield ProbeResult("Impala was not probed, for want of impala.auth.password", None, warning=True)
        return
    once = dataclasses.replace(config.impala, retry=dataclasses.replace(config.impala.retry, attempts=1))
    try:
        impala = ImpalaRefresher(once, password, login=kerberos_login(config.impala.auth, config.spark))
    except ConfigError as exc:
        yield ProbeResult("Impala", exc)
        return
    sessions = impala.probe_each()
    for host, error in sessions:
        yield ProbeResult(f"Impala {host}", error)
    if not any(error for _, error in sessions):
        yield from _probe_totals(config, job, impala)


def _probe_totals(config: Config, job: JobDefinition, impala: ImpalaRefresher) -> Iterator[ProbeResult]:
    """Probes whether Impala knows the columns behind the totals and lets this user read them."""
    names, source, final = table_names(config.tables, job), job.source, job.partition
    if config.impala.verify_raw:
        totals = sql.totals_by_partition(names["raw"], source.name, [source.example], job.raw_expressions.values())
        yield probe(f"Impala's totals of {names['raw']}", partial(_explain, impala, totals))
    if config.impala.verify:
        totals = sql.totals_by_partition(names["final"], final.name, [final.example], job.final_expressions.values())
        yield probe(f"Impala's totals of {names['final']}", partial(_explain, impala, totals))


def _explain(impala: ImpalaRefresher, query: str) -> None:
    """
    Has Impala plan a query, which reads no data.

    Accepts a table that Impala does not know yet, since a run has Impala load it.
    """
    try:
        impala.query(f"EXPLAIN {query}")
    except ImpalaRejectedError as exc:
        if not was_rejected_as(exc, Kind.UNKNOWN):
            raise


def probe_smtp(config: Config) -> Iterator[ProbeResult]:
    """Probes whether the mail server answers. Sends no mail."""
    smtp = config.notify.smtp
    if smtp.host is None:
        return

    def greet() -> None:
        connect = smtplib.SMTP_SSL if smtp.tls == "ssl" else smtplib.SMTP
        try:
            with connect(smtp.host or "", smtp.port, timeout=smtp.timeout_s) as server:
                server.noop()
        except (OSError, smtplib.SMTPException, socket.timeout) as exc:
            raise StateError(str(exc), hint="Check notify.smtp; alerts go to notify.alert_file meanwhile") from exc

    yield probe(f"SMTP {smtp.host}:{smtp.port}", greet)


def probe_executors(spark: SparkSession, interpreter: str, mechanism: str) -> ProbeResult:
    """
    Probes whether Python on an executor can import the packages that the job ships.

    Includes ``kerberos`` if ``mechanism`` is GSSAPI. In cluster mode the driver finds the same Python and packages.
    """
    modules = ("impala.dbapi", "bitarray", "yaml", "tenacity", *(("kerberos",) if mechanism == "GSSAPI" else ()))
    context = spark.sparkContext
    context.pythonExec = interpreter

    def look() -> None:
        wrong = context.range(1, numSlices=1).mapPartitions(partial(_missing, modules)).collect()
        if wrong:
            raise StateError("; ".join(wrong), hint="Set spark.conf, spark.pyspark.python to a Python that suits")

    return probe(f"packages on an executor, by {interpreter}", look)


def probe_compression(spark: SparkSession) -> ProbeResult:
    """
    Probes whether an executor can load Snappy and Zstandard, which Parquet has no pure Java code for.

    Java unpacks their native libraries into java.io.tmpdir and cannot load them from a file system mounted noexec. LZ4
    and Netty fall back on pure Java.
    """
    where = "driver" if str(spark.sparkContext.master).startswith("local") else "executor"

    def load() -> None:
        for codec, needed in _NATIVE_CODECS.items():
            try:
                on_executor(spark, "java.lang.Class", "forName", needed)
            except (Py4JError, PySparkException) as exc:
                reason = re.findall(r"UnsatisfiedLinkError: (?:.*: )?(/[^:\n]+: [^:\n]+)", str(exc))
                raise StateError(
                    f"Java cannot load {codec}, which Parquet files need: {reason[0] if reason else 'see the log'}",
                    hint=f"Set spark.conf, spark.{where}.extraJavaOptions: -Djava.io.tmpdir=DIR, to a directory whose "
                    "file system is not mounted noexec",
                ) from exc

    return probe("Snappy and Zstandard in Java", load)


def _missing(modules: Sequence[str], _: object) -> Iterator[str]:
    """Yields each module that an executor cannot import, with the reason."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as exc:
            yield f"{socket.gethostname()} cannot import {name}: {exc}"


def probe_list(config: Config, read: Callable[[], object]) -> ProbeResult:
    """Probes whether the partition list exists and is well-formed."""
    return probe(f"partition list {os.fspath(config.partitions.file)}", read)
