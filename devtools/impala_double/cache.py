"""
What the coordinator knows: tables, partitions and files as of each one's last REFRESH or INVALIDATE METADATA.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from devtools.impala_double.catalog import Catalog, TableInfo
from devtools.impala_double.storage import Storage

UNPARTITIONED = ""
"""Name of the single partition of a table without partition columns."""


class AnalysisError(Exception):
    """The coordinator refuses the statement. The message has Impala's wording."""


class QueryError(Exception):
    """The statement failed while it ran. The message has Impala's wording."""


@dataclass(frozen=True)
class CachedPartition:
    """A partition's directory and its files (path -> size in bytes) when they were last listed."""

    location: str
    files: dict[str, int]
    storage: Storage

    @classmethod
    def of(cls, location: str, storage: Storage) -> CachedPartition:
        """
        Lists ``location`` now: its visible files at any depth that are not empty. A missing directory has none.

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
        Returns local paths at which to read the cached files, each still as it was listed.

        Raises QueryError for a file that is gone, has another size or cannot be read.
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
    """
    Whether the path ``below`` a partition's directory has a hidden part or names a file that is still being copied.
    """
    return any(name.startswith((".", "_")) for name in below.split("/")) or below.lower().endswith((".tmp", ".copying"))


@dataclass
class CachedTable:
    """A loaded table; ``partitions`` maps each partition's name to what is known of it."""

    info: TableInfo
    partitions: dict[str, CachedPartition] = field(default_factory=dict)


class CoordinatorCache:
    """
    The coordinator's view of a ``catalog``, and of the files in ``storage``.

    It reads the names of the tables when it starts and loads a table at first use. After that it asks the catalog only
    as far as REFRESH and INVALIDATE METADATA tell it to. Callers serialise their calls.
    """

    def __init__(self, catalog: Catalog, storage: Storage) -> None:
        self._catalog = catalog
        self._storage = storage
        self._tables: dict[tuple[str, str], Optional[CachedTable]] = dict.fromkeys(catalog.tables())

    def names(self, database: str) -> list[str]:
        """Returns the known tables of ``database``."""
        return sorted(name for owner, name in self._tables if owner == database)

    def table(self, database: str, name: str) -> CachedTable:
        """
        Returns the table as cached, and loads it at first use.

        Raises AnalysisError for a table that this coordinator does not know.
        """
        if (database, name) not in self._tables:
            raise AnalysisError(f"AnalysisException: Could not resolve table reference: '{database}.{name}'")
        return self._tables[database, name] or self._load(database, name)

    def require(self, database: str, name: str) -> None:
        """Raises AnalysisError, as REFRESH does, for a table that this coordinator does not know."""
        if (database, name) in self._tables:
            return
        if database != "default" and not self.names(database):
            raise AnalysisError(f"AnalysisException: Database does not exist: {database}")
        raise AnalysisError(f"AnalysisException: Table does not exist: {database}.{name}")

    def refresh(self, database: str, name: str, *, moved: bool = False) -> None:
        """
        Picks up added and dropped partitions, and changed files in known locations.

        A cached partition keeps its known location unless ``moved`` is set. An unpartitioned table takes its current
        location.
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
        Reloads one partition from its current location. Silently forgets one that the metastore lacks.
        """
        cached = self.table(database, name)
        location = self._catalog.partitions(database, name).get(value)
        if location is None:
            cached.partitions.pop(value, None)
        else:
            cached.partitions[value] = CachedPartition.of(location, self._storage)

    def invalidate(self, database: str, name: str) -> None:
        """
        Forgets the table, so that the next use loads it. Also learns of a table that is new in the metastore.

        Raises AnalysisError for a table that neither this coordinator nor the metastore knows.
        """
        was_known = (database, name) in self._tables
        if self._catalog.table(database, name) is not None:
            self._tables[database, name] = None
        elif was_known:
            del self._tables[database, name]
        else:
            raise AnalysisError(f"TableNotFoundException: Table not found: {database}.{name}")

    def invalidate_all(self) -> None:
        """Forgets everything, and reads the names of all tables again."""
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
