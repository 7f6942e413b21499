"""
The worlds that a command passes through: files and metastore before its first effect, and after each.

A process that dies at some point leaves exactly the world of that instant. So a command needs to run only once, and
each of its worlds can be given to the next process. A change between two effects that nothing recorded fails the test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Optional

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.readwriter import DataFrameWriter

from tests.support.crash.effects import Calls
from tests.support.crash.metastore import Metastore, Tables
from tests.support.crash.trees import DurableTree, Entry, Place, Tree
from traffic_aggr.hive.catalog import HiveCatalog, HiveTable
from traffic_aggr.hive.metastore import MetastoreClient
from traffic_aggr.host.notify import Notifier
from traffic_aggr.impala.refresh import ImpalaRefresher

_TEMPORARY = re.compile(r"(^|/)\.[^/]+\.\d+\.[0-9a-f]{8}\.tmp$")
_OF_THE_JVM: tuple[tuple[type, str], ...] = (
    (HiveTable, "drop"),
    (HiveTable, "add"),
    (HiveTable, "point"),
    (MetastoreClient, "drop"),
    (HiveCatalog, "create_partitioned"),
    (SparkSession, "sql"),
    (DataFrameWriter, "parquet"),
    (DataFrameWriter, "insertInto"),
)
_OF_SERVERS: tuple[tuple[type, str], ...] = (
    (ImpalaRefresher, "execute"),
    (ImpalaRefresher, "query"),
    (Notifier, "send"),
)


@dataclass(frozen=True)
class World:
    """What a process that died at ``point`` left; ``beside`` is the state of servers by then."""

    point: str
    files: Tree
    tables: Tables = field(default_factory=dict)
    beside: Any = None

    def key(self, *, fine: bool) -> object:
        """
        Equal for worlds that hold the same.

        Without ``fine``, it is also equal for worlds that recovery cannot tell apart. It then ignores temporary files,
        modes and reports, and what records say of times, totals and statements.
        """
        files = frozenset(
            (path, entry.mode, entry.content) if fine else (path, _gist(path, entry.content))
            for path, entry in self.files.items()
            if fine or not _TEMPORARY.search(path)
        )
        tables = [(name, table.text, sorted(table.partitions.items(), key=repr)) for name, table in self.tables.items()]
        return files, repr(tables), repr(self.beside)


def distinct(worlds: Sequence[World], *, fine: bool) -> list[World]:
    """Returns each world once, the first of those that are equal."""
    return list({world.key(fine=fine): world for world in reversed(worlds)}.values())[::-1]


@cache
def _gist(path: str, content: Optional[bytes]) -> object:
    name = path.rpartition("/")[2]
    if not content or name not in ("run.json", "recovery.json"):
        return None if name == "report.html" else content
    record = json.loads(content)
    told = ("steps", "changes", "impala", "totals", "inputs", "notes", "versions", "ended", "application_id")
    rest = {key: value for key, value in record.items() if key not in told}
    steps = [(step["name"], step["outcome"]) for step in record["steps"]]
    changes = [(change["what"], change["done"] is None) for change in record["changes"]]
    return json.dumps([rest, steps, changes], sort_keys=True)


class Trail:
    """Collects the worlds of what runs inside ``following``."""

    def __init__(
        self,
        place: Place,
        metastore: Optional[Metastore] = None,
        beside: Callable[[], Any] = lambda: None,
        *,
        power_cuts: bool = False,
    ) -> None:
        self.worlds: list[World] = []
        self.effects = 0
        self._following = False
        self._place = place
        self._metastore = metastore
        self._beside = beside
        self._power_cuts = power_cuts
        self._durable: Optional[DurableTree] = None
        self._unsynced: set[str] = set()
        self._files: dict[str, Entry] = {}
        self._tables: Tables = {}

    @contextmanager
    def following(self) -> Iterator[None]:
        """Records every effect inside, and asserts at the end that nothing changed unseen."""
        with pytest.MonkeyPatch.context() as patch:
            self._files, self._tables = self._place.read(), self._metastore_now()
            self._durable = DurableTree(self._place) if self._power_cuts else None
            self._add("nothing done yet")
            self._calls = Calls(self._place, self, patch)
            if self._metastore is not None:
                for owner, name in _OF_THE_JVM:
                    patch.setattr(owner, name, self._of_jvm(f"{owner.__name__}.{name}", getattr(owner, name)))
                for owner, name in _OF_SERVERS:
                    patch.setattr(owner, name, self._of_server(f"{owner.__name__}.{name}", getattr(owner, name)))
            self._following = True
            try:
                yield
                with self._calls.silence():
                    self._expect_no_change("the end", look_at_tables=True)
            finally:
                self._following = False
                if self._durable is not None:
                    self._durable.close()

    def noticed(self, point: str) -> None:
        """Records that something other than files has changed."""
        if self._following:
            with self._calls.silence():
                self._note(point)

    @contextmanager
    def unfollowed(self, point: str) -> Iterator[None]:
        """Counts all changes inside as one effect, made by another process."""
        if not self._following:
            yield
            return
        with self._calls.silence():
            yield
            self._note(point)

    # ---- system calls

    def before(self, call: str, paths: list[str]) -> None:
        point = self._named(call, paths)
        self._expect_no_change(point)
        if self._durable is not None and call in ("rename", "replace"):
            self._durable.renaming(*paths)

    def after(self, call: str, paths: list[str]) -> None:
        point = self._named(call, paths)
        if call == "open":
            self._unsynced.add(str(self._place.relative(paths[0])))
        if call in ("fsync", "fdatasync"):
            self._unsynced.discard(str(self._place.relative(paths[0])))
            if self._durable is not None:
                self._durable.synced(paths[0])
        self._note(point)

    def _named(self, call: str, paths: list[str]) -> str:
        return " ".join([call, *(path[len(self._place.root) + 1 :] for path in paths)])

    # ---- calls of the JVM and of servers

    def _of_jvm(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def told(target: Any, *arguments: Any, **options: Any) -> Any:
            point = f"{name}({', '.join(map(str, arguments))})"[:200]
            with self._calls.silence():
                self._expect_no_change(point, look_at_tables=True)
                files, tables = self._files, self._tables
            result = call(target, *arguments, **options)
            with self._calls.silence():
                found = World(point, self._place.read(), self._metastore_now(), self._beside())
                self.worlds += between(World(point, files, tables, found.beside), found)
                self._note(point, look_at_tables=True)
            return result

        return told

    def _of_server(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def told(target: Any, *arguments: Any, **options: Any) -> Any:
            with self._calls.silence():
                self._expect_no_change(name)
            result = call(target, *arguments, **options)
            with self._calls.silence():
                self._note(name)
            return result

        return told

    # ---- worlds

    def _metastore_now(self) -> Tables:
        return self._metastore.tables() if self._metastore is not None else {}

    def _note(self, point: str, *, look_at_tables: bool = False) -> None:
        self.effects += 1
        self._files = self._place.read()
        if look_at_tables:
            self._tables = self._metastore_now()
        self._add(f"after {point}")

    def _add(self, point: str) -> None:
        self.worlds.append(World(point, self._files, self._tables, self._beside()))
        if self._durable is not None:
            left = World(f"power cut {point}", self._durable.tree(), self._tables, self._beside())
            self.worlds.append(left)

    def _expect_no_change(self, point: str, *, look_at_tables: bool = False) -> None:
        found = self._place.read()
        changed = {path for path in {*found, *self._files} if found.get(path) != self._files.get(path)}
        assert changed <= self._unsynced, f"changed by nothing that is followed, before {point}: {sorted(changed)}"
        if changed:  # data that is being written is visible before it is synced
            self._files = found
            self._add(f"written before {point}")
        if look_at_tables:
            now = self._metastore_now()
            assert now == self._tables, f"the metastore was changed by nothing that is followed, before {point}"


def between(before: World, after: World) -> Iterable[World]:
    """
    Yields worlds in the middle of one call of the JVM.

    Files come before metadata. A statement about many partitions is no transaction, unless it is ``point``. What a
    writer has not committed is in ``_temporary``.
    """
    point = f"in the middle of {after.point}"
    written = [path for path in after.files if path not in before.files and after.files[path].content is not None]
    data = [path for path in written if not path.rsplit("/", 1)[-1].startswith((".", "_"))]
    if data:
        yield World(point, {**before.files, **_begun(data[0], after.files, data)}, before.tables, after.beside)
        if len(data) > 1:
            kept = {path: entry for path, entry in after.files.items() if not _of_second_half(path, data)}
            kept.update(_begun(data[-1], after.files, data))
            yield World(point, kept, before.tables, after.beside)
    if after.files != before.files and after.tables != before.tables:
        yield World(point, after.files, before.tables, after.beside)
    if ".point(" in after.point:
        return
    for name, table in after.tables.items():
        old = before.tables.get(name)
        if old is None or old.partitions == table.partitions:
            continue
        days = sorted({*old.partitions, *table.partitions})
        changed = [day for day in days if old.partitions.get(day) != table.partitions.get(day)]
        for half in {1, len(changed) // 2} - {0, len(changed)}:
            first = set(changed[:half])
            partitions = {
                day: where
                for day in days
                for where in [(table if day in first or day not in changed else old).partitions.get(day)]
                if where is not None
            }
            mixed = type(table)(table.text, partitions, table.java)
            yield World(point, after.files, {**after.tables, name: mixed}, after.beside)


def _of_second_half(path: str, data: list[str]) -> bool:
    name = path.rsplit("/", 1)[-1]
    gone = data[len(data) // 2 :]
    return name == "_SUCCESS" or path in gone or any(path == _checksum(each) for each in gone)


def _checksum(path: str) -> str:
    directory, _, name = path.rpartition("/")
    return f"{directory}/.{name}.crc"


def _begun(path: str, files: Tree, data: list[str]) -> dict[str, Entry]:
    """Returns half a file of a task at work below the writer's directory, and the directories around it."""
    top = path.rpartition("/")[0]
    while not all(each.startswith(f"{top}/") for each in data):
        top = top.rpartition("/")[0]
    if "partition_date=" in top.rsplit("/", 1)[-1]:
        top = top.rpartition("/")[0]
    attempt = f"{top}/_temporary/0/_temporary/attempt_0"
    parts = attempt.split("/")
    around = {"/".join(parts[:length]) for length in range(1, len(parts) + 1)}
    content = files[path].content or b""
    begun = {each: Entry(0o755, None) for each in sorted(around) if each not in files}
    begun.update({each: files[each] for each in sorted(around) if each in files})
    begun[f"{attempt}/{path.rsplit('/', 1)[-1]}"] = Entry(0o644, content[: len(content) // 2])
    return begun
