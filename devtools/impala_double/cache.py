"""
What the coordinator knows: tables, partitions and files as of the last REFRESH or INVALIDATE METADATA of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from devtools.impala_double.catalog import Catalog, TableInfo
from devtools.impala_double.storage import Storage

UNPARTITIONED = ""
"""Name of the one partition of a table that has no partition columns."""


class AnalysisError(Exception):
    """The statement is refused; the message is worded like Impala's."""


class QueryError(Exception):
    """The statement failed while it ran; the message is worded like Impala's."""


@dataclass(frozen=True)
class CachedPartition:
    """A partition's directory and its files (path -> size in bytes) when they were last listed."""

    location: str
    files: dict[str, int]
    storage: Storage

    @classmethod
    def of(cls, location: str, storage: Storage) -> CachedPartition:
        """
        List ``location`` now: its visible files at any depth that are not empty; a missing directory has none.

        Raises AnalysisError when it cannot be listed.
        """
        try:
            found = storage.list(location)
        except OSError as exc:
            raise AnalysisError(
                f"TableLoadingException: Loading file and block metadata of {location} failed: {exc}"
            ) from exc
        sizes = {path: each.size for path, each in sorted(found.items()) if each.size}
        visible = {path: size for path, size in sizes.items() if not _is_hidden(path[len(location) :])}
        return cls(location, visible, storage)

    def checked_files(self) -> list[str]:
        """
        Local paths at which to read the cached files, each still as it was listed.

        Raises QueryError for one that is gone, has another size or cannot be had.
        """
        return [self._checked_file(path, size) for path, size in self.files.items()]

    def _checked_file(self, path: str, size: int) -> str:
        uri = f"file:{path}" if path.startswith("/") else path
        try:
            now = self.storage.stamp(path)
            if now.size == size:
                return self.storage.readable(path, now)
        except FileNotFoundError:
            raise QueryError(
                f"Disk I/O error on 127.0.0.1:27000: Failed to open HDFS file {uri}\nError(2): No such file or "
                f"directory\nRoot cause: FileNotFoundException: File {uri} does not exist"
            ) from None
        except OSError as exc:
            raise QueryError(f"Disk I/O error on 127.0.0.1:27000: {exc}") from exc
        raise QueryError(
            f"Tried to read {size} bytes but could only read {now.size} bytes. This may indicate data file corruption. "
            f"(file {uri}, byte offset: 0)"
        )


def _is_hidden(below: str) -> bool:
    """Whether a part of the path ``below`` a partition's directory is a hidden name, or the file one still copied."""
    return any(name.startswith((".", "_")) for name in below.split("/")) or below.lower().endswith((".tmp", ".copying"))


@dataclass
class CachedTable:
    """A loaded table; ``partitions`` maps the partition column's value to what is known of that partition."""

    info: TableInfo
    partitions: dict[str, CachedPartition] = field(default_factory=dict)


class CoordinatorCache:
    """
    The coordinator's view of a ``catalog``, and of the files in ``storage``.

    It learns the names of the tables when it starts, loads a table at its first use, and then asks the catalog again
    only as far as REFRESH and INVALIDATE METADATA tell it to. Callers serialise their calls.
    """

    def __init__(self, catalog: Catalog, storage: Storage) -> None:
        self._catalog = catalog
        self._storage = storage
        self._tables: dict[tuple[str, str], Optional[CachedTable]] = dict.fromkeys(catalog.tables())

    def names(self, database: str) -> list[str]:
        """The known tables of ``database``."""
        return sorted(name for owner, name in self._tables if owner == database)

    def table(self, database: str, name: str) -> CachedTable:
        """
        The table as cached, loaded now where this is its first use.

        Raises AnalysisError for a table that this coordinator has not heard of.
        """
        if (database, name) not in self._tables:
            raise AnalysisError(f"AnalysisException: Could not resolve table reference: '{database}.{name}'")
        return self._tables[database, name] or self._load(database, name)

    def require(self, database: str, name: str) -> None:
        """Raises AnalysisError, as REFRESH does, for a table that this coordinator has not heard of."""
        if (database, name) in self._tables:
            return
        if database != "default" and not self.names(database):
            raise AnalysisError(f"AnalysisException: Database does not exist: {database}")
        raise AnalysisError(f"AnalysisException: Table does not exist: {database}.{name}")

    def refresh(self, database: str, name: str, *, moved: bool = False) -> None:
        """
        Notice added and dropped partitions, and changed files in the locations known: a partition that is cached keeps
        its location, unless those ``moved`` are asked for. An unpartitioned table takes its present location.
        """
        cached = self._tables[database, name]
        if cached is None:
            self._load(database, name)
            return
        info = self._info(database, name)
        if info.partition_columns:
            now = self._catalog.partitions(database, name)
            known = {value: cached.partitions[value].location for value in now if value in cached.partitions}
            locations = now if moved else {**now, **known}
        else:
            locations = {UNPARTITIONED: info.location}
        self._tables[database, name] = self._listed(info, locations)

    def refresh_partition(self, database: str, name: str, value: str) -> None:
        """
        Reload one partition with its present location. One that the metastore lacks is forgotten, silently.
        """
        cached = self.table(database, name)
        location = self._catalog.partitions(database, name).get(value)
        if location is None:
            cached.partitions.pop(value, None)
        else:
            cached.partitions[value] = CachedPartition.of(location, self._storage)

    def invalidate(self, database: str, name: str) -> None:
        """Forget what is known of the table; the next use loads it. Also hears of a table new in the metastore."""
        was_known = (database, name) in self._tables
        if self._catalog.table(database, name) is not None:
            self._tables[database, name] = None
        elif was_known:
            del self._tables[database, name]
        else:
            raise AnalysisError(f"TableNotFoundException: Table not found: {database}.{name}")

    def invalidate_all(self) -> None:
        """Forget everything, and learn the names of all tables again."""
        self._tables = dict.fromkeys(self._catalog.tables())

    def _info(self, database: str, name: str) -> TableInfo:
        info = self._catalog.table(database, name)
        if info is None:
            raise AnalysisError(
                f"TableLoadingException: Table {database}.{name} no longer exists in the Hive MetaStore. "
                f"Run 'invalidate metadata {database}.{name}' to update the Impala catalog."
            )
        return info

    def _load(self, database: str, name: str) -> CachedTable:
        info = self._info(database, name)
        partitioned = bool(info.partition_columns)
        locations = self._catalog.partitions(database, name) if partitioned else {UNPARTITIONED: info.location}
        table = self._listed(info, locations)
        self._tables[database, name] = table
        return table

    def _listed(self, info: TableInfo, locations: dict[str, str]) -> CachedTable:
        of, storage = CachedPartition.of, self._storage
        return CachedTable(info, {value: of(location, storage) for value, location in locations.items()})
