"""
Dependants: the tables whose partitions are made from this job's final table, and have to follow when its days change.

A partition is pending from before its days change until it has been restated. ``state.dir/pending.json`` says so, so
that whatever ends a run in between, the next one takes it up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from traffic_aggr.config.config import Config
from traffic_aggr.config.load import load_config
from traffic_aggr.errors import ConfigError, PartitionListError, StateError
from traffic_aggr.files.local import Files
from traffic_aggr.hive.partitions import Partition, PartitionColumn
from traffic_aggr.run.definition import JobDefinition, load_definition

FILE_NAME = "pending.json"


@dataclass(frozen=True)
class Dependant:
    """A table (``db.table``) with its partition column, and the configuration file of the job that restates it."""

    table: str
    partition: PartitionColumn
    config: str

    def around(self, partitions: Iterable[Partition]) -> tuple[Partition, ...]:
        """Returns the partitions of this table that are made from ``partitions``, in order."""
        return tuple(dict.fromkeys(map(self.partition.around, partitions)))


def load_dependants(config: Config, job: JobDefinition, environ: Mapping[str, str]) -> tuple[Dependant, ...]:
    """
    Loads the configurations that ``config`` names as its dependants.

    Raises ConfigError when one of them, or a dependant of theirs, is wrong, is not made from the final table of the
    configuration that names it, or leads back to one.
    """
    return _load(config, job, environ, (config,))


def _load(
    config: Config, job: JobDefinition, environ: Mapping[str, str], above: Sequence[Config]
) -> tuple[Dependant, ...]:
    found = []
    final = _table(config, "final")
    for path in config.dependants:
        dependant = load_config(path, environ)
        definition = load_definition(dependant.job.definition)
        wrong = ""
        if any(dependant.path == each.path or _table(dependant, "final") == _table(each, "final") for each in above):
            wrong = "leads back to it"
        elif _table(dependant, "raw") != final:
            wrong = f"reads {_table(dependant, 'raw')}, not {final}"
        elif definition.source != job.partition:
            wrong = f"reads partitions by {definition.source.name}, not by {job.partition.name}"
        elif any(dependant.state.dir == each.state.dir for each in above):
            wrong = f"has the same state.dir, {dependant.state.dir}"
        if wrong:
            raise ConfigError(f"{config.path}: the dependant {path} {wrong}", hint="Correct dependants, or that file")
        _load(dependant, definition, environ, (*above, dependant))
        found.append(Dependant(_table(dependant, "final"), definition.partition, str(dependant.path)))
    return tuple(found)


def _table(config: Config, role: str) -> str:
    return f"{config.tables.database}.{getattr(config.tables, role)}"


class PendingDependants:
    """The partitions of dependants that are older than their days, kept in the state ``directory``."""

    def __init__(self, directory: str, files: Files) -> None:
        self._path = f"{directory.rstrip('/')}/{FILE_NAME}"
        self._directory = directory
        self._files = files

    def read(self) -> dict[str, list[str]]:
        """Returns the pending partitions by table. Raises StateError."""
        try:
            text = self._files.read_bytes(self._path).decode()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as exc:
            raise self._unreadable(exc) from exc
        try:
            found = json.loads(text)["pending"]
            return {str(table): [str(Partition(each)) for each in partitions] for table, partitions in found.items()}
        except (ValueError, KeyError, TypeError, AttributeError, PartitionListError) as exc:
            raise self._unreadable(exc) from exc

    def of(self, dependant: Dependant) -> tuple[Partition, ...]:
        """Returns the pending partitions of ``dependant``, in order. Raises StateError."""
        return tuple(map(dependant.partition.partition, self.read().get(dependant.table, [])))

    def note(self, dependants: Sequence[Dependant], changing: Iterable[Partition]) -> None:
        """Notes, durably, that partitions of ``dependants`` have to follow ``changing`` ones. Raises StateError."""
        found, days = self.read(), list(changing)
        noted = {each.table: sorted({*found.get(each.table, []), *map(str, each.around(days))}) for each in dependants}
        self._replace(found, {**found, **noted})

    def done(self, dependant: Dependant, partitions: Iterable[Partition]) -> None:
        """Notes that ``partitions`` of ``dependant`` have followed. Raises StateError."""
        found = self.read()
        left = set(found.get(dependant.table, [])).difference(map(str, partitions))
        self._replace(found, {**found, dependant.table: sorted(left)})

    def _replace(self, before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]) -> None:
        pending = {table: partitions for table, partitions in after.items() if partitions}
        if pending == before:
            return
        try:
            self._files.make_directories(self._directory)
            self._files.replace_bytes(self._path, json.dumps({"version": 1, "pending": pending}, indent=2).encode())
        except OSError as exc:
            raise StateError(f"cannot write {self._path} ({exc})", hint="Fix the state directory") from exc

    def _unreadable(self, exc: Exception) -> StateError:
        return StateError(
            f"cannot read {self._path} ({exc})",
            hint="It says which partitions of dependants have to follow: restate those by hand, then delete it",
        )
