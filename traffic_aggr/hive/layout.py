"""
Where a partition's data is and in which format: facts that the metastore and the run record share.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Optional

RUN_ROOT = ".traffic_aggr"
"""Hidden directory under a table's root for run directories: same file system, quota and encryption zone."""

UNCOMMITTED = ("_temporary", ".hive-staging", ".spark-staging", "_impala_insert_staging")
"""How Spark, Hive and Impala begin the names of directories that hold uncommitted rows."""

PARQUET_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
TEXT_SERDE = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"

_SCHEME_AND_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://[^/]*)?")


@dataclass(frozen=True)
class RowFormat:
    """How rows are laid out in files: the serde, its properties, and the file formats."""

    serde: str
    input_format: str
    output_format: str
    serde_properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_parquet(self) -> bool:
        return self.serde == PARQUET_SERDE

    @property
    def is_delimited_text(self) -> bool:
        return self.serde == TEXT_SERDE


@dataclass(frozen=True)
class Placement:
    """
    A partition's directory, and what else the metastore stores about the partition.

    ``row_format`` is set only where it differs from the table's. ``parameters`` is None in a record of an earlier
    version, which did not keep them. ``created`` and ``accessed`` are in milliseconds since 1970 UTC.
    """

    location: str
    row_format: Optional[RowFormat] = None
    parameters: Optional[Mapping[str, str]] = field(default_factory=dict)
    created: int = 0
    accessed: int = 0


def normal(location: str) -> str:
    """One spelling for each directory: ``file:///a/``, ``file:/a``, ``/a`` and ``/a//./b/..`` are the same."""
    if location.startswith("/"):
        location = f"file:{location}"
    scheme, separator, rest = location.partition(":")
    if scheme == "file":
        rest = "/" + rest.lstrip("/")
    location = f"{scheme}{separator}{rest}"
    path = _without_host(location)
    return (location.removesuffix(path) + (path and posixpath.normpath("/" + path.lstrip("/")))).rstrip("/")


def plain_path(location: str) -> str:
    """
    The path of a location in one spelling, without scheme and host.

    Engines spell them differently, and a cluster has several names: the nameservice, each NameNode with or without its
    port, viewfs.
    """
    return _without_host(normal(location))


def _without_host(location: str) -> str:
    return _SCHEME_AND_HOST.sub("", location, count=1)


class Directories:
    """
    Some directories, to ask which others overlap them.

    Compares plain paths. Directories with one path on two file systems are taken for one, so ask only where a wrong yes
    harms nobody.
    """

    def __init__(self, locations: Iterable[str]) -> None:
        self._paths = set(map(plain_path, locations))
        self._around = {parent for path in self._paths for parent in parents(path)}

    def __contains__(self, location: str) -> bool:
        return plain_path(location) in self._paths

    def overlap(self, location: str) -> bool:
        """Whether ``location`` is one of the directories, contains one or lies in one."""
        return self.are_in(location) or not self._paths.isdisjoint(parents(plain_path(location)))

    def are_in(self, location: str) -> bool:
        """Whether ``location`` is one of the directories or contains one."""
        path = plain_path(location)
        return path in self._paths or path in self._around


def parents(path: str) -> list[str]:
    """The paths of the directories around a plain path, the root first."""
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def run_directory(table_root: str, run_id: str) -> str:
    """The directory of one run under a table's root."""
    return f"{table_root.rstrip('/')}/{RUN_ROOT}/{run_id}"


@dataclass(frozen=True)
class TextHazards:
    """
    What a delimited text table cannot hold.

    That is one of ``characters`` within a value, or a value equal to one of ``null_markers``.
    """

    characters: str
    null_markers: tuple[str, ...]


def text_hazards(row_formats: Iterable[RowFormat]) -> TextHazards:
    """
    The hazards of all delimited text among ``row_formats``.

    A delimiter in a value shifts every column after it (domain.md). ``escape.delim`` makes the field delimiter safe, a
    NULL marker if it contains the escape character, and line ends if ``serialization.escape.crlf`` is true.
    """
    characters: dict[str, None] = {}
    null_markers: dict[str, None] = {}
    for row_format in row_formats:
        if not row_format.is_delimited_text:
            continue
        properties = row_format.serde_properties
        escape = properties.get("escape.delim", "")
        if not escape:
            default = properties.get("serialization.format", "\x01")
            characters[delimiter(properties.get("field.delim", default))] = None
        if not escape or properties.get("serialization.escape.crlf", "").lower() != "true":
            characters.update(dict.fromkeys("\n\r"))
        marker = properties.get("serialization.null.format", r"\N")
        if not escape or delimiter(escape) not in marker:
            null_markers[marker] = None
    return TextHazards("".join(characters), tuple(null_markers))


def delimiter(text: str) -> str:
    """
    The delimiter as LazySimpleSerDe reads it: a number is a byte value.

    Of other text it takes the first character, and of empty text control-A.
    """
    try:
        return chr(int(text) % 256)
    except ValueError:
        return text[:1] or "\x01"
