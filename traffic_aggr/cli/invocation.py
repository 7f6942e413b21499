"""
The arguments of one command, and what is made from them: configuration, state and context.

Methods that need Spark import it themselves, so that commands without it answer at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Optional

from traffic_aggr.config.config import Config, is_uri
from traffic_aggr.config.load import load_config
from traffic_aggr.config.secrets import Redactor, SecretRef
from traffic_aggr.errors import PartitionListError
from traffic_aggr.files.local import Files, files_for, local_path
from traffic_aggr.hive.partitions import (
    MAX_BYTES,
    PartitionList,
    parse_partition_list,
    partitions_between,
    partitions_of_month,
)
from traffic_aggr.host import log
from traffic_aggr.host.edge import EdgeNode
from traffic_aggr.host.notify import Notifier
from traffic_aggr.restate.journal import RunJournal
from traffic_aggr.run.command_line import CommandLine, program
from traffic_aggr.run.definition import JobDefinition, load_definition
from traffic_aggr.run.dependants import Dependant, load_dependants
from traffic_aggr.run.plan import RunArguments, Step
from traffic_aggr.run.store import RecordStore
from traffic_aggr.units import data_volume

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from traffic_aggr.cluster.launcher import Launcher
    from traffic_aggr.restate.context import JobContext
    from traffic_aggr.spark.hadoop import Hadoop

_DEFAULTS = (Path(__file__).resolve().parent.parent.parent / "conf" / "local.yaml", Path("conf", "local.yaml"))
"""The configuration of a checkout, as `spark-submit.sh` has it, else that of the current directory."""
LOG_TAIL_LINES = 40


class Invocation:
    """The arguments of one command, and what is made from them: configuration, state and context."""

    def __init__(self, arguments: argparse.Namespace, spark: Optional[SparkSession]) -> None:
        self.arguments = arguments
        self.spark = spark
        self._used_hadoop: Optional[Hadoop] = None
        self.told: list[Mapping[str, Any]] = []

    @property
    def as_json(self) -> bool:
        """Whether the command prints JSON; ``told`` then has the documents of its runs."""
        return bool(vars(self.arguments).get("json"))

    @cached_property
    def config(self) -> Config:
        return load_config(self._config_path, os.environ)

    @property
    def _config_path(self) -> str:
        given = self.arguments.config or os.environ.get("TRAFFIC_AGGR_CONFIG")
        return given or str(next((each for each in _DEFAULTS if each.exists()), _DEFAULTS[-1]))

    @cached_property
    def typed(self) -> CommandLine:
        """The command in a form that works again from any directory."""
        given = vars(self.arguments)
        words = [given["name"]]
        for option in ("dates", "month", "partitions"):
            if given.get(option):
                words += [f"--{option}", _absolute(given[option]) if option == "partitions" else given[option]]
        words += ["--dry-run"] if given.get("dry_run") else []
        words += [given["run"]] if given.get("run") else []
        started = program(sys.argv, os.environ)
        return CommandLine(started, os.path.abspath(self._config_path), tuple(words), given.get("from_step") or "")

    @cached_property
    def job(self) -> JobDefinition:
        """What the configuration restates."""
        return load_definition(self.config.job.definition)

    @cached_property
    def dependants(self) -> Sequence[Dependant]:
        """The tables that have to follow when this job's table changes."""
        return load_dependants(self.config, self.job, os.environ)

    def of(self, dependant: Dependant, spark: Optional[SparkSession]) -> Invocation:
        """
        Returns the invocation that restates ``dependant`` in the session ``spark``.

        What failed is taken up again by `recover`, of the configuration that was typed.
        """
        made = Invocation(argparse.Namespace(name="run", config=dependant.config, json=self.as_json), spark)
        made.told = self.told
        made.typed = CommandLine(self.typed.program, self.typed.config, ("recover",))
        return made

    def again(self) -> Invocation:
        """Returns the same invocation without the JVM that this one may have used and stopped."""
        made = Invocation(self.arguments, self.spark)
        made.told = self.told
        made.typed = self.typed
        return made

    @cached_property
    def hadoop(self) -> Hadoop:
        """Access to Hadoop's files, secrets and applications. The first use of one of them starts a JVM."""
        from traffic_aggr.spark.hadoop import Hadoop

        self._used_hadoop = Hadoop(self.config.spark, self.config.logs.dir, self.spark)
        return self._used_hadoop

    def close(self) -> None:
        if self._used_hadoop is not None:
            self._used_hadoop.stop()

    def files(self, location: str) -> Files:
        return files_for(location, lambda: self.hadoop.files)

    def store(self) -> RecordStore:
        directory = self.config.state.dir
        return RecordStore(directory, self.files(directory), self.job)

    def secrets(self, *, but: Optional[str] = None) -> dict[str, str]:
        """Returns the configured secrets by key, except the one named by ``but``. Raises ConfigError."""
        found: dict[str, str] = {}
        for key, ref in self.config.secret_refs():
            if key != but:
                found[key] = self.reveal(ref)
        return found

    def reveal(self, ref: SecretRef) -> str:
        return ref.reveal(os.environ, lambda alias: self.hadoop.secret(alias))

    def notifier(self, secrets: Optional[Mapping[str, str]] = None) -> Notifier:
        """Returns the notifier that mails the service desk."""
        known = self.secrets() if secrets is None else secrets
        return Notifier(self.config.notify, known.get("notify.smtp.password"), redact=Redactor(known.values()).redact)

    def log_to_file(self, run_id: Optional[str], secrets: Mapping[str, str]) -> None:
        """Starts logging to the log file and standard error."""
        log.configure(self.config.logs, run_id, secrets.values(), console=True)

    def journal(self, secrets: Mapping[str, str]) -> RunJournal:
        """Returns the journal of a command on this host."""
        config = self.config
        log_file = config.logs.dir / log.FILE_NAME
        edge = EdgeNode(
            config,
            self.notifier(secrets),
            runs=lambda application_id: self.hadoop.runs(application_id),
            log_tail=lambda: log.tail(log_file, LOG_TAIL_LINES),
        )
        return RunJournal(config, self.store(), edge, self.typed, dependants=self.dependants)

    def context(self, run_id: Optional[str] = None) -> JobContext:
        """Starts logging; returns what the commands that need Spark share, with the driver in this process."""
        secrets = self.secrets()
        self.log_to_file(run_id, secrets)
        return self.context_of(secrets)

    def context_of(self, secrets: Mapping[str, str]) -> JobContext:
        from traffic_aggr.restate.context import JobContext

        return JobContext(self.config, self.journal(secrets), secrets, self.hadoop, self.spark)

    def launcher(self, run_id: str) -> Launcher:
        """Returns the launcher for a driver in the cluster. That driver fetches Impala's password itself."""
        secrets = self.secrets(but="impala.auth.password")
        self.log_to_file(run_id, secrets)
        from traffic_aggr.cluster.launcher import Launcher
        from traffic_aggr.restate.tables import table_names

        tables = {role: str(name) for role, name in table_names(self.config.tables, self.job).items()}
        return Launcher(self.config, self.journal(secrets), self.hadoop, tables)

    def ask(self) -> RunArguments:
        """Returns the partition list and the first step that the arguments name. Raises PartitionListError."""

        step = getattr(self.arguments, "from_step", None)
        return RunArguments(self._partitions(), Step[step.upper()] if step else None)

    def _partitions(self) -> PartitionList:
        arguments, config, partition = vars(self.arguments), self.config.partitions, self.job.partition
        if arguments.get("dates"):
            found = partitions_between(arguments["dates"], partition)
        elif arguments.get("month"):
            found = partitions_of_month(arguments["month"], partition)
        else:
            found = self._read_list(arguments.get("partitions") or config.file)
        if not found.partitions and config.empty_list == "fail":
            raise PartitionListError(
                f"{found.source} lists no {partition.unit}s", hint=f"Give at least one, such as {partition.example}"
            )
        if len(found.partitions) > config.max_per_run:
            raise PartitionListError(
                f"{found.source} names {partition.counted(len(found.partitions))}, more than {config.max_per_run:,}",
                hint="Split it, or raise partitions.max_per_run",
            )
        return found

    def _read_list(self, path: str) -> PartitionList:
        try:
            if is_uri(path) and not path.startswith("file:"):
                stream: BinaryIO = BytesIO(self._bounded(path))
            else:
                stream = open(local_path(path), "rb")  # noqa: SIM115 - closed just below
            with stream:
                return parse_partition_list(stream, path, self.job.partition)
        except OSError as exc:
            raise PartitionListError(
                f"the partition list {path} cannot be read: {exc.strerror}",
                hint="Check partitions.file, or --partitions",
            ) from exc

    def _bounded(self, uri: str) -> bytes:
        size = self.hadoop.files.usage(uri).bytes
        if size > MAX_BYTES:
            raise PartitionListError(
                f"{uri} has {data_volume(size)}: that is not a partition list", hint="Name another file"
            )
        return self.hadoop.files.read_bytes(uri)


def _absolute(path: str) -> str:
    return path if is_uri(path) else os.path.abspath(path)
