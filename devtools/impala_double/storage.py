"""
Where data files are: on this machine, or on HDFS, which the coordinator reads through WebHDFS.

A path is a local one (``/a/part-0``) or one on HDFS (``hdfs://host:port/a/part-0``), with nothing percent-encoded.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from devtools.impala_double.catalog import HDFS
from devtools.webhdfs import WebHdfs


@dataclass(frozen=True)
class Stamp:
    """Distinguishes a file from an earlier one at its path: ``size`` in bytes, and when it was modified."""

    size: int
    modified: int


class Storage(Protocol):
    """
    Files as of now: each call looks again. Callers take turns.

    Raises FileNotFoundError and other OSErrors.
    """

    def list(self, location: str) -> dict[str, Stamp]:
        """Returns the files in the directory at any depth, hidden ones too, by path. A missing directory has none."""

    def stamp(self, path: str) -> Stamp:
        """Returns the file's current stamp."""

    def readable(self, path: str, stamp: Stamp) -> str:
        """Returns the local path at which to read the file, which still matches ``stamp``."""


class LocalStorage:
    """Files of this machine."""

    def list(self, location: str) -> dict[str, Stamp]:
        try:
            entries = list(os.scandir(_local(location)))
        except FileNotFoundError:
            return {}
        found = {}
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # the file is gone
                if entry.is_dir():
                    found.update(self.list(entry.path))
                else:
                    found[entry.path] = _stamp(entry.stat())
        return found

    def stamp(self, path: str) -> Stamp:
        return _stamp(os.stat(_local(path)))

    def readable(self, path: str, stamp: Stamp) -> str:
        return _local(path)


class HdfsStorage(LocalStorage):
    """
    Files on the one HDFS that ``hdfs`` asks, whatever host a path names, and files of this machine.

    Files read from HDFS stay in the directory ``copies``, so that a file is fetched once for as long as it does not
    change.
    """

    def __init__(self, hdfs: WebHdfs, copies: Path) -> None:
        self._hdfs = hdfs
        self._directory = copies
        self._copies: dict[str, tuple[Stamp, Path]] = {}

    def list(self, location: str) -> dict[str, Stamp]:
        if not location.startswith(HDFS):
            return super().list(location)
        directory = location.rstrip("/")
        try:
            found = self._hdfs.list(_on_hdfs(directory))
        except FileNotFoundError:
            return {}
        files = {}
        for name, status in found.items():
            path = f"{directory}/{name}"
            files.update({path: _hdfs_stamp(status)} if status["type"] == "FILE" else self.list(path))
        return files

    def stamp(self, path: str) -> Stamp:
        return _hdfs_stamp(self._hdfs.status(_on_hdfs(path))) if path.startswith(HDFS) else super().stamp(path)

    def readable(self, path: str, stamp: Stamp) -> str:
        if not path.startswith(HDFS):
            return super().readable(path, stamp)
        copied, copy = self._copies.get(path, (None, self._directory / str(len(self._copies))))
        if copied != stamp:
            content = self._hdfs.read(_on_hdfs(path))
            if len(content) != stamp.size:
                raise OSError(f"{path} has changed while it was read")
            copy.write_bytes(content)
            self._copies[path] = stamp, copy
        return str(copy)


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_size, found.st_mtime_ns)


def _hdfs_stamp(status: Mapping[str, int]) -> Stamp:
    return Stamp(status["length"], status["modificationTime"])


def _local(path: str) -> str:
    if path.startswith(HDFS):
        raise OSError(f"{path} is on HDFS, of which this coordinator has not been told")
    return path


def _on_hdfs(path: str) -> str:
    return "/" + path[len(HDFS) :].partition("/")[2]
