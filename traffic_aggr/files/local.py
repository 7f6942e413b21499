"""
The interface to files and directories, and its implementation for the local file system.

``hadoop`` implements it for other file systems, with the same behaviour and the same errors. A failed operation raises
OSError or a subclass of it.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Callable, Optional, Protocol

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


@dataclass(frozen=True)
class FileInfo:
    """A file or directory: ``size`` in bytes, ``modified`` in milliseconds since 1970 UTC."""

    path: str
    size: int
    is_directory: bool
    modified: int


@dataclass(frozen=True)
class DiskUsage:
    """
    How many ``files`` and ``bytes`` lie below a directory, and when it was ``modified``.

    ``modified`` is the time of the directory itself, in milliseconds since 1970 UTC.
    """

    files: int
    bytes: int
    modified: int


class Files(Protocol):
    """What the program does with files. Paths are used as given: nothing is percent-decoded."""

    def exists(self, p: str) -> bool:
        """Whether anything exists at ``p``."""
        ...

    def is_directory(self, p: str) -> bool:
        """Whether ``p`` is a directory; False if nothing exists there."""
        ...

    def list(self, p: str) -> list[FileInfo]:
        """
        Lists a directory by name; each path is ``p``, a slash and the name.

        Raises FileNotFoundError, NotADirectoryError.
        """
        ...

    def walk_files(self, p: str) -> Iterator[FileInfo]:
        """Yields every file below a directory, at any depth, by name. Raises FileNotFoundError."""
        for info in self.list(p):
            if info.is_directory:
                yield from self.walk_files(info.path)
            else:
                yield info

    def visible_files(self, directories: Sequence[str]) -> dict[str, builtins.list[FileInfo]]:
        """
        The files that Hive and Impala read in each of ``directories`` that exists.

        They are at any depth, sorted by name. Names that begin with ``_`` or ``.`` are skipped, with everything below
        them.
        """
        found = {}
        for directory in directories:
            try:
                found[directory] = _visible(self, directory)
            except FileNotFoundError:
                if self.is_directory(directory):  # a sub-directory vanished while it was listed
                    raise
        return found

    def beginning_with(self, p: str, prefixes: Sequence[str]) -> builtins.list[FileInfo]:
        """Entries of a directory whose names begin with one of ``prefixes``; none if it is missing."""
        ...

    def usage(self, p: str) -> DiskUsage:
        """How much a directory holds, at any depth. Raises FileNotFoundError."""
        ...

    def rename(self, src: str, dst: str) -> None:
        """
        Moves a file, or a directory with everything in it, in one step.

        ``dst`` is the new name, never the new parent. Its missing parents are created with the permissions of the
        nearest existing one. Raises FileExistsError when ``dst`` exists and FileNotFoundError when ``src`` does not;
        neither moves anything.
        """
        ...

    def make_directories(self, p: str, like: Optional[str] = None) -> None:
        """
        Creates a directory and its missing parents.

        They get the mode, group and (on HDFS) ACL of ``like``, or are private (0700) without it. Existing directories
        stay as they are. Raises FileExistsError when ``p`` is a file.
        """
        ...

    def read_bytes(self, p: str) -> bytes:
        """Reads a whole file. Raises FileNotFoundError, IsADirectoryError."""
        ...

    def replace_bytes(self, p: str, data: bytes, mode: int = PRIVATE_FILE) -> None:
        """Writes a file atomically and durably; missing parents are created private (0700)."""
        ...

    def create_exclusive(self, p: str, data: bytes) -> None:
        """Like ``replace_bytes``, but raises FileExistsError and changes nothing when ``p`` exists."""
        ...

    def delete_tree(self, p: str) -> None:
        """
        Deletes a file, or a directory with everything in it, without following symbolic links.

        A missing path is no error.
        """
        ...

    def free_bytes(self, p: str) -> int:
        """
        Bytes of data that still fit on the file system of ``p``.

        Replication is taken into account, quotas are not.
        """
        ...

    def make_durable(self, p: str) -> None:
        """Ensures that a directory and everything below it, written by others, survives a power cut."""
        ...

    def copy_permissions(self, src: str, dst: str) -> None:
        """
        Gives ``dst`` and everything below it the mode, group and (on HDFS) ACL of ``src``.

        A file takes a directory's mode without its execute bits and its ACL without its default entries.
        """
        ...


def files_for(uri: str, hadoop: Callable[[], Files]) -> Files:
    """
    The adapter for a path: local for ``file:`` and for no scheme, else ``hadoop()``.

    ``hadoop`` is called only when it is needed.
    """
    return LocalFiles() if _scheme(uri) in ("", "file") else hadoop()


def write_atomic(path: str, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Replaces a local file atomically and durably; missing parents are created private (0700)."""
    with _temporary_beside(path, data, mode) as temporary:
        os.rename(temporary, path)


def _scheme(uri: str) -> str:
    match = _SCHEME.match(uri)
    return match[1].lower() if match else ""


def temporary_name(name: str) -> str:
    return f".{name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"


def temporaries(files: Files, directory: str, name: str) -> list[FileInfo]:
    """
    Temporary files of ``name`` in ``directory``.

    They are leftovers of interrupted writers, or about to be renamed.
    """
    pattern = re.compile(rf"\.{re.escape(name)}\.\d+\.[0-9a-f]{{8}}\.tmp")
    found = files.beginning_with(directory, (f".{name}.",))
    return [info for info in found if pattern.fullmatch(info.path.rsplit("/", 1)[-1])]


def _visible(files: Files, directory: str) -> list[FileInfo]:
    found: list[FileInfo] = []
    for info in files.list(directory):
        if not info.path.rpartition("/")[2].startswith(("_", ".")):
            found += _visible(files, info.path) if info.is_directory else [info]
    return found


def child(parent: str, name: str) -> str:
    return f"{parent.rstrip('/')}/{name}"


def os_error(number: int, path: str) -> OSError:
    """The OSError subclass that belongs to an error number."""
    return OSError(number, os.strerror(number), path)


class LocalFiles(Files):
    """Files on this host; paths are plain, ``file:/x`` or ``file:///x``."""

    def exists(self, p: str) -> bool:
        return os.path.lexists(local_path(p))

    def is_directory(self, p: str) -> bool:
        return os.path.isdir(local_path(p))

    def list(self, p: str) -> builtins.list[FileInfo]:
        found = []
        with os.scandir(local_path(p)) as entries:
            for entry in entries:
                # A file that vanished meanwhile must not make the directory look missing.
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat()
                    found.append(_local_info(child(p, entry.name), status))
        return sorted(found, key=lambda info: info.path)

    def beginning_with(self, p: str, prefixes: Sequence[str]) -> builtins.list[FileInfo]:
        try:
            return [info for info in self.list(p) if os.path.basename(info.path).startswith(tuple(prefixes))]
        except FileNotFoundError:
            return []

    def usage(self, p: str) -> DiskUsage:
        modified = os.stat(local_path(p)).st_mtime_ns // 1_000_000
        sizes = [info.size for info in self.walk_files(p)]
        return DiskUsage(len(sizes), sum(sizes), modified)

    def rename(self, src: str, dst: str) -> None:
        source, target = local_path(src), local_path(dst)
        os.lstat(source)
        if os.path.lexists(target):
            raise os_error(errno.EEXIST, dst)
        parent = os.path.dirname(target)
        _make_directories(parent, os.stat(_nearest_existing(parent)))
        os.rename(source, target)
        for directory in {parent, os.path.dirname(source)}:
            sync_directory(directory)

    def make_directories(self, p: str, like: Optional[str] = None) -> None:
        _make_directories(local_path(p), None if like is None else os.stat(local_path(like)))

    def read_bytes(self, p: str) -> bytes:
        with open(local_path(p), "rb") as source:
            return source.read()

    def replace_bytes(self, p: str, data: bytes, mode: int = PRIVATE_FILE) -> None:
        write_atomic(local_path(p), data, mode)

    def create_exclusive(self, p: str, data: bytes) -> None:
        path = local_path(p)
        with _temporary_beside(path, data, PRIVATE_FILE) as temporary:
            # Unlike a rename, a link never replaces an existing file.
            os.link(temporary, path)

    def delete_tree(self, p: str) -> None:
        path = local_path(p)
        with contextlib.suppress(FileNotFoundError):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
            sync_directory(os.path.dirname(path))

    def free_bytes(self, p: str) -> int:
        return shutil.disk_usage(_nearest_existing(local_path(p))).free

    def make_durable(self, p: str) -> None:
        for info in self.list(p):
            if info.is_directory:
                self.make_durable(info.path)
            else:
                _sync(local_path(info.path))
        sync_directory(local_path(p))

    def copy_permissions(self, src: str, dst: str) -> None:
        model, top = os.stat(local_path(src)), local_path(dst)
        _take_permissions(top, model)
        for parent, directories, files in os.walk(top, onerror=_fail):
            for name in directories + files:
                _take_permissions(os.path.join(parent, name), model)


def local_path(p: str) -> str:
    """
    The absolute path without ``file:`` and trailing slash.

    Raises ValueError for another file system, for a path that names a host, and for an empty path.
    """
    scheme = _scheme(p)
    if scheme not in ("", "file"):
        raise ValueError(f"{p} is not on the local file system")
    path = p[len("file:") :] if scheme else p
    if scheme and path.startswith("//"):
        if not path.startswith("///"):
            raise ValueError(f"{p} names a host; write file:///path")
        path = path[2:]
    if not path:
        raise ValueError("an empty path")
    return os.path.abspath(path)


def _local_info(path: str, status: os.stat_result) -> FileInfo:
    is_directory = stat.S_ISDIR(status.st_mode)
    return FileInfo(path, 0 if is_directory else status.st_size, is_directory, status.st_mtime_ns // 1_000_000)


def _fail(exc: OSError) -> None:
    raise exc


def _nearest_existing(path: str) -> str:
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _make_directories(path: str, model: Optional[os.stat_result] = None) -> None:
    missing = []
    level = path
    while not os.path.isdir(level):
        missing.append(level)
        level = os.path.dirname(level)
    for level in reversed(missing):
        try:
            os.mkdir(level, PRIVATE_DIRECTORY)
        except FileExistsError:
            if os.path.isdir(level):  # another process created it first
                continue
            raise
        if model is not None:
            _take_permissions(level, model)
        sync_directory(os.path.dirname(level))


def _take_permissions(path: str, model: os.stat_result) -> None:
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        return
    mode = stat.S_IMODE(model.st_mode)
    if stat.S_ISDIR(model.st_mode) and not stat.S_ISDIR(found.st_mode):
        mode &= 0o666
    if found.st_gid != model.st_gid:
        os.chown(path, -1, model.st_gid)
    os.chmod(path, mode)


def sync_directory(path: str) -> None:
    """Makes creations, renames and removals in a local directory durable."""
    _sync(path, os.O_DIRECTORY)


def _sync(path: str, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _temporary_beside(path: str, data: bytes, mode: int) -> Iterator[str]:
    """Yields a durable temporary file beside ``path`` for the caller to rename or link, then removes it."""
    directory, name = os.path.split(os.path.abspath(path))
    _make_directories(directory)
    temporary = os.path.join(directory, temporary_name(name))
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    try:
        with open(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    sync_directory(directory)
