"""
What the metastore knows: tables, and where their partitions are. ``cache.py`` decides when the coordinator asks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional, Protocol
from urllib.parse import unquote, urlparse

PARQUET = "parquet"
TEXT = "text"
HDFS = "hdfs://"
STRING = "string"


@dataclass(frozen=True)
class TableInfo:
    """
    A table as the metastore describes it.

    ``columns`` are (name, type) without the partition columns, in the table's order. ``format`` is ``parquet`` or
    ``text``. ``location`` is a path as in ``storage.py``. ``serde`` holds the serde's properties (``field.delim``,
    ...). ``partition_types`` has the types of those partition columns that are not strings.
    """

    columns: tuple[tuple[str, str], ...]
    format: str
    location: str
    partition_columns: tuple[str, ...] = ()
    serde: Mapping[str, str] = field(default_factory=dict)
    partition_types: Mapping[str, str] = field(default_factory=dict)


class Catalog(Protocol):
    """The metastore as of now: each call asks it again."""

    def tables(self) -> set[tuple[str, str]]:
        """Returns each table as (database, name), in lower case."""

    def table(self, database: str, name: str) -> Optional[TableInfo]:
        """Returns the table, or None when it does not exist."""

    def partitions(self, database: str, name: str) -> dict[str, str]:
        """Returns the path of each partition by its values, joined by slashes. An unpartitioned table has none."""


class InMemoryCatalog:
    """A metastore that a test fills by hand, by changing ``infos`` and ``locations``."""

    def __init__(self) -> None:
        self.infos: dict[tuple[str, str], TableInfo] = {}
        self.locations: dict[tuple[str, str], dict[str, str]] = {}

    def create(self, database: str, name: str, info: TableInfo) -> dict[str, str]:
        """
        Adds a table, or replaces its info. Returns its partitions (value -> path) for the caller to fill.

        A new table has no partitions; a replaced one keeps its own.
        """
        self.infos[database, name] = info
        return self.locations.setdefault((database, name), {})

    def drop(self, database: str, name: str) -> None:
        """Removes a table and its partitions."""
        del self.infos[database, name]
        self.locations.pop((database, name), None)

    def tables(self) -> set[tuple[str, str]]:
        return set(self.infos)

    def table(self, database: str, name: str) -> Optional[TableInfo]:
        return self.infos.get((database, name))

    def partitions(self, database: str, name: str) -> dict[str, str]:
        return dict(self.locations.get((database, name), {}))


def local_path(uri: str, *, quoted: bool) -> str:
    """
    Returns the path of a ``file:`` URI or of a bare path.

    ``quoted`` says that percent escapes are to be undone, as in a URI of Java but not in a Path. Raises ValueError for
    any other file system.
    """
    if uri.startswith("/"):
        return uri
    parsed = urlparse(uri)
    if parsed.scheme != "file":
        raise ValueError(f"not a local file: {uri}")
    path = uri[len("file:") :]
    if path.startswith("//"):
        path = "/" + path[2:].partition("/")[2]
    return unquote(path) if quoted else path


def path_of(uri: str, *, quoted: bool) -> str:
    """
    Returns the path, as in ``storage.py``, of a location from the metastore; ``quoted`` is as for ``local_path``.

    Raises ValueError for a file system that the stand-in cannot read.
    """
    if uri.startswith(HDFS):
        return unquote(uri) if quoted else uri
    return local_path(uri, quoted=quoted)


def data_format(input_format: str) -> str:
    """Returns ``parquet`` or ``text`` by the name of the input format class."""
    return PARQUET if "parquet" in input_format.lower() else TEXT
