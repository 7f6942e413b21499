"""
Files and directories on the local file system and on Hadoop ones, with the same behaviour and the same errors.

Every operation raises OSError or a subclass of it; Hadoop's own exceptions are translated at this boundary.
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
from typing import Any, Callable, Optional, Protocol

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
class Usage:
    """
    What lies below a directory: number of ``files``, their ``bytes``; and when the directory itself was ``modified``,
    in milliseconds since 1970 UTC.
    """

    files: int
    bytes: int
    modified: int


class Files(Protocol):
    """What the program does with files. Paths are as the caller writes them: nothing is percent-decoded."""

    def exists(self, p: str) -> bool:
        """Whether anything is there."""
        ...

    def is_directory(self, p: str) -> bool:
        """Whether a directory is there; a missing path is none."""
        ...

    def list(self, p: str) -> list[FileInfo]:
        """What lies in a directory, by name; each path is ``p``, a slash and the name. Raises FileNotFoundError."""
        ...

    def walk_files(self, p: str) -> Iterator[FileInfo]:
        """Every file below a directory, at any depth, by name. Raises FileNotFoundError."""
        for info in self.list(p):
            if info.is_directory:
                yield from self.walk_files(info.path)
            else:
                yield info

    def beginning_with(self, p: str, prefixes: Sequence[str]) -> builtins.list[FileInfo]:
        """What lies in a directory under a name that begins with one of ``prefixes``; a missing directory has none."""
        ...

    def usage(self, p: str) -> Usage:
        """How much a directory holds, at any depth. Raises FileNotFoundError."""
        ...

    def rename(self, src: str, dst: str) -> None:
        """
        Moves a file, or a directory with all that is in it, in one step; ``dst`` is the new name, never the new parent.

        Missing parents of ``dst`` are made with the permissions of the nearest one that is there. Raises
        FileExistsError when ``dst`` is there, FileNotFoundError when ``src`` is not; nothing has moved then.
        """
        ...

    def make_directories(self, p: str, like: Optional[str] = None) -> None:
        """
        Makes a directory and its missing parents with mode, group and (on HDFS) ACL of ``like``, else private (0700).

        What is there already stays as it is. Raises FileExistsError when ``p`` is a file.
        """
        ...

    def read_bytes(self, p: str) -> bytes:
        """The whole content. Raises FileNotFoundError, IsADirectoryError."""
        ...

    def replace_bytes(self, p: str, data: bytes, mode: int = PRIVATE_FILE) -> None:
        """Writes a file whole or not at all, durably; missing parents are made private."""
        ...

    def create_exclusive(self, p: str, data: bytes) -> None:
        """Like ``replace_bytes``, but raises FileExistsError, changing nothing, when something is there."""
        ...

    def delete_tree(self, p: str) -> None:
        """Deletes a file, or a directory with all that is in it; symbolic links are not followed. Missing is fine."""
        ...

    def free_bytes(self, p: str) -> int:
        """Bytes of data (replicas accounted for, quotas not) for which the file system of ``p`` has space left."""
        ...

    def make_durable(self, p: str) -> None:
        """Returns when a directory and all below it, as others have written it, would survive a power cut."""
        ...

    def copy_permissions(self, src: str, dst: str, recursive: bool) -> None:
        """
        Gives ``dst`` the mode, group and (on HDFS) ACL of ``src``, and with ``recursive`` all that lies below it.

        Files take a directory's mode without its execute bits and an ACL without its default entries.
        """
        ...


def files_for(uri: str, hadoop: Callable[[], HadoopFiles]) -> Files:
    """The adapter for a path: local for ``file:`` and for no scheme at all; ``hadoop`` is only called for others."""
    return LocalFiles() if _scheme(uri) in ("", "file") else hadoop()


def write_atomic(path: str, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Replaces a local file whole or not at all; it is durable when this returns. Missing parents are made (0700)."""
    with _temporary_beside(path, data, mode) as temporary:
        os.rename(temporary, path)


def _scheme(uri: str) -> str:
    match = _SCHEME.match(uri)
    return match[1].lower() if match else ""


def _temporary_name(name: str) -> str:
    return f".{name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"


def temporaries(files: Files, directory: str, name: str) -> list[FileInfo]:
    """The temporary files that writers of ``name`` in ``directory`` have left there, or are about to rename."""
    pattern = re.compile(rf"\.{re.escape(name)}\.\d+\.[0-9a-f]{{8}}\.tmp")
    found = files.beginning_with(directory, (f".{name}.",))
    return [info for info in found if pattern.fullmatch(info.path.rsplit("/", 1)[-1])]


def _child(parent: str, name: str) -> str:
    return f"{parent.rstrip('/')}/{name}"


def _os_error(number: int, path: str) -> OSError:
    """OSError picks the subclass for the number."""
    return OSError(number, os.strerror(number), path)


# ---- local


class LocalFiles(Files):
    """Files of this host; paths are plain, ``file:/x`` or ``file:///x``."""

    def exists(self, p: str) -> bool:
        return os.path.lexists(local_path(p))

    def is_directory(self, p: str) -> bool:
        return os.path.isdir(local_path(p))

    def list(self, p: str) -> builtins.list[FileInfo]:
        found = []
        with os.scandir(local_path(p)) as entries:
            for entry in entries:
                # A file that went away meanwhile must not look as if the directory were missing.
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat()
                    found.append(_local_info(_child(p, entry.name), status))
        return sorted(found, key=lambda info: info.path)

    def beginning_with(self, p: str, prefixes: Sequence[str]) -> builtins.list[FileInfo]:
        try:
            return [info for info in self.list(p) if os.path.basename(info.path).startswith(tuple(prefixes))]
        except FileNotFoundError:
            return []

    def usage(self, p: str) -> Usage:
        modified = os.stat(local_path(p)).st_mtime_ns // 1_000_000
        sizes = [info.size for info in self.walk_files(p)]
        return Usage(len(sizes), sum(sizes), modified)

    def rename(self, src: str, dst: str) -> None:
        source, target = local_path(src), local_path(dst)
        os.lstat(source)
        if os.path.lexists(target):
            raise _os_error(errno.EEXIST, dst)
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
            # Unlike a rename, a link never replaces what is there.
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

    def copy_permissions(self, src: str, dst: str, recursive: bool) -> None:
        model, top = os.stat(local_path(src)), local_path(dst)
        _take_permissions(top, model)
        if recursive and os.path.isdir(top):
            for parent, directories, files in os.walk(top, onerror=_fail):
                for name in directories + files:
                    _take_permissions(os.path.join(parent, name), model)


def local_path(p: str) -> str:
    """The absolute path without ``file:`` and trailing slash. Raises ValueError for a path of another file system."""
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
            if os.path.isdir(level):  # another process was faster
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
    """Makes what was created, renamed or removed in a local directory durable."""
    _sync(path, os.O_DIRECTORY)


def _sync(path: str, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _temporary_beside(path: str, data: bytes, mode: int) -> Iterator[str]:
    """A durable temporary file in the same directory, gone afterwards; the caller gives it its name in between."""
    directory, name = os.path.split(os.path.abspath(path))
    _make_directories(directory)
    temporary = os.path.join(directory, _temporary_name(name))
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


# ---- Hadoop

_GLOB = re.compile(r"[\\*?\[\]{}]")


class HadoopFiles(Files):
    """Files of any file system that Hadoop's client knows; ``jvm`` is py4j's view, ``hadoop_conf`` a Configuration."""

    def __init__(self, jvm: Any, hadoop_conf: Any) -> None:
        # Each dotted name costs py4j several round trips, so classes are looked up once.
        hadoop = jvm.org.apache.hadoop.fs
        self._jvm = jvm
        self._conf = hadoop_conf
        self._path_class = hadoop.Path
        self._file_context_class = hadoop.FileContext
        self._rename_options = hadoop.Options.Rename
        self._permission_class = hadoop.permission.FsPermission
        self._contexts: dict[str, Any] = {}

    def exists(self, p: str) -> bool:
        with _java_errors_translated(p):
            path, system = self._locate(p)
            return bool(system.exists(path))

    def is_directory(self, p: str) -> bool:
        try:
            return self._info(p).is_directory
        except FileNotFoundError:
            return False

    def list(self, p: str) -> builtins.list[FileInfo]:
        if not self._info(p).is_directory:
            raise _os_error(errno.ENOTDIR, p)
        with _java_errors_translated(p):
            path, system = self._locate(p)
            found = [_hadoop_info(_child(p, status.getPath().getName()), status) for status in system.listStatus(path)]
        return sorted(found, key=lambda info: info.path)

    def beginning_with(self, p: str, prefixes: Sequence[str]) -> builtins.list[FileInfo]:
        # The JVM goes through the directory, which may hold thousands of files; only what matches comes over here.
        literal = _GLOB.sub(r"\\\g<0>", p)
        with _java_errors_translated(p):
            found = []
            for prefix in prefixes:
                path, system = self._locate(f"{literal}/{prefix}*")
                found += [_hadoop_info(_child(p, each.getPath().getName()), each) for each in system.globStatus(path)]
        return sorted(found, key=lambda info: info.path)

    def usage(self, p: str) -> Usage:
        with _java_errors_translated(p):
            path, system = self._locate(p)
            summary = system.getContentSummary(path)
            modified = system.getFileStatus(path).getModificationTime()
            return Usage(int(summary.getFileCount()), int(summary.getLength()), int(modified))

    def rename(self, src: str, dst: str) -> None:
        with _java_errors_translated(src):
            source, system = self._locate(src)
            system.getFileStatus(source)
        with _java_errors_translated(dst):
            target = self._path_class(dst)
            if system.exists(target):
                raise _os_error(errno.EEXIST, dst)
            parent = target.getParent()
            self._make_directories(system, parent, system.getFileStatus(self._nearest_existing(system, parent)))
            self._rename(system, source, target, self._rename_options.NONE)

    def make_directories(self, p: str, like: Optional[str] = None) -> None:
        model = None
        if like is not None:
            with _java_errors_translated(like):
                model_path, model_system = self._locate(like)
                model = model_system.getFileStatus(model_path)
        with _java_errors_translated(p):
            path, system = self._locate(p)
            self._make_directories(system, path, model)

    def read_bytes(self, p: str) -> bytes:
        if self._info(p).is_directory:
            raise _os_error(errno.EISDIR, p)
        with _java_errors_translated(p):
            path, system = self._locate(p)
            source = system.open(path)
            try:
                return bytes(self._jvm.org.apache.commons.io.IOUtils.toByteArray(source))
            finally:
                source.close()

    def replace_bytes(self, p: str, data: bytes, mode: int = PRIVATE_FILE) -> None:
        if self.is_directory(p):
            raise _os_error(errno.EISDIR, p)
        self._write(p, data, mode, self._rename_options.OVERWRITE)

    def create_exclusive(self, p: str, data: bytes) -> None:
        if self.exists(p):
            raise _os_error(errno.EEXIST, p)
        self._write(p, data, PRIVATE_FILE, self._rename_options.NONE)

    def delete_tree(self, p: str) -> None:
        with _java_errors_translated(p):
            path, system = self._locate(p)
            if not system.delete(path, True) and system.exists(path):
                raise _os_error(errno.EIO, p)

    def free_bytes(self, p: str) -> int:
        with _java_errors_translated(p):
            path, system = self._locate(p)
            remaining = system.getStatus(self._nearest_existing(system, path)).getRemaining()
            return int(remaining) // max(1, int(system.getDefaultReplication(path)))

    def make_durable(self, p: str) -> None:
        """Nothing to do: a file that was closed is on as many datanodes as its replication asks for."""

    def copy_permissions(self, src: str, dst: str, recursive: bool) -> None:
        with _java_errors_translated(src):
            model_path, model_system = self._locate(src)
            model = model_system.getFileStatus(model_path)
        with _java_errors_translated(dst):
            path, system = self._locate(dst)
            pending = [system.getFileStatus(path)]
            while pending:
                status = pending.pop()
                self._take_permissions(system, status, model)
                if recursive and status.isDirectory():
                    pending.extend(system.listStatus(status.getPath()))

    def _locate(self, p: str) -> tuple[Any, Any]:
        path = self._path_class(p)
        return path, path.getFileSystem(self._conf)

    def _info(self, p: str) -> FileInfo:
        with _java_errors_translated(p):
            path, system = self._locate(p)
            return _hadoop_info(p, system.getFileStatus(path))

    def _nearest_existing(self, system: Any, path: Any) -> Any:
        while not system.exists(path) and path.getParent() is not None:
            path = path.getParent()
        return path

    def _make_directories(self, system: Any, path: Any, model: Any) -> None:
        missing = []
        level = path
        while level is not None and not system.exists(level):
            missing.append(level)
            level = level.getParent()
        if not missing and not system.getFileStatus(path).isDirectory():
            raise _os_error(errno.EEXIST, path.toString())
        for level in reversed(missing):
            if not system.mkdirs(level, self._permission(PRIVATE_DIRECTORY)):
                raise _os_error(errno.EIO, level.toString())
            if model is not None:
                self._take_permissions(system, system.getFileStatus(level), model)

    def _rename(self, system: Any, source: Any, target: Any, option: Any) -> None:
        """
        FileContext's rename: unlike FileSystem's it never moves into a directory that is there, can overwrite in one
        step, and raises where the other returns false.
        """
        uri = system.getUri()
        name = uri.toString()
        if name not in self._contexts:
            self._contexts[name] = self._file_context_class.getFileContext(uri, self._conf)
        options = self._jvm.java.lang.reflect.Array.newInstance(option.getDeclaringClass(), 1)
        options[0] = option
        self._contexts[name].rename(source, target, options)

    def _write(self, p: str, data: bytes, mode: int, option: Any) -> None:
        with _java_errors_translated(p):
            path, system = self._locate(p)
            parent = path.getParent()
            self._make_directories(system, parent, None)
            temporary = self._path_class(parent, _temporary_name(path.getName()))
            try:
                out = system.create(temporary, False)
                try:
                    system.setPermission(temporary, self._permission(mode))
                    out.write(data)
                    if out.hasCapability("hsync"):
                        out.hsync()
                finally:
                    out.close()
                self._rename(system, temporary, path, option)
            except BaseException:  # a signal too must not leave the temporary file
                system.delete(temporary, False)
                raise

    def _permission(self, mode: int) -> Any:
        return self._permission_class(f"{mode:04o}")

    def _take_permissions(self, system: Any, status: Any, model: Any) -> None:
        path, mode = status.getPath(), int(model.getPermission().toShort())
        only_access = model.isDirectory() and not status.isDirectory()
        if only_access:
            mode &= 0o666
        if status.getGroup() != model.getGroup():
            system.setOwner(path, None, model.getGroup())
        entries = self._acl_entries(model, only_access)
        if entries is not None:
            acl_util = self._jvm.org.apache.hadoop.fs.permission.AclUtil
            system.setAcl(path, acl_util.getAclFromPermAndEntries(self._permission(mode), entries))
        elif status.hasAcl():
            system.removeAcl(path)
        system.setPermission(path, self._permission(mode))

    def _acl_entries(self, model: Any, only_access: bool) -> Any:
        """A java.util.List without the base entries, which stand in the permission; None where there are no others."""
        if not model.hasAcl():
            return None
        path = model.getPath()
        entries = self._jvm.java.util.ArrayList()
        for entry in path.getFileSystem(self._conf).getAclStatus(path).getEntries():
            if not only_access or entry.getScope().name() == "ACCESS":
                entries.add(entry)
        return entries if entries.size() else None


def _hadoop_info(path: str, status: Any) -> FileInfo:
    is_directory = bool(status.isDirectory())
    return FileInfo(path, 0 if is_directory else int(status.getLen()), is_directory, int(status.getModificationTime()))


_ERROR_NUMBERS = {
    "FileNotFoundException": errno.ENOENT,
    "NoSuchFileException": errno.ENOENT,
    "FileAlreadyExistsException": errno.EEXIST,
    "ParentNotDirectoryException": errno.ENOTDIR,
    "AccessControlException": errno.EACCES,
    "AccessDeniedException": errno.EACCES,
    "NSQuotaExceededException": errno.EDQUOT,
    "DSQuotaExceededException": errno.EDQUOT,
    "SafeModeException": errno.EROFS,
}


@contextlib.contextmanager
def _java_errors_translated(path: str) -> Iterator[None]:
    # Both are loaded already wherever there is a JVM; commands without one do not pay for them.
    from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
    from pyspark.errors.exceptions.captured import CapturedException

    try:
        yield
    except CapturedException as exc:  # pyspark's own wrapper of some Java exceptions, as for an unknown host
        raise OSError(errno.EIO, str(exc.desc).splitlines()[0], path) from exc
    except Py4JJavaError as exc:
        raise _from_java(exc.java_exception, path) from exc
    except Py4JNetworkError as exc:
        raise ConnectionError(errno.ECONNRESET, "the JVM does not answer", path) from exc
    except Py4JError as exc:
        raise OSError(errno.EIO, str(exc), path) from exc


def _from_java(exception: Any, path: str) -> OSError:
    name = str(exception.getClass().getName())
    if name == "org.apache.hadoop.ipc.RemoteException":
        name = str(exception.getClassName())
    message = (str(exception.getMessage() or "") or name).splitlines()[0]
    number = _ERROR_NUMBERS.get(name.rpartition(".")[2], errno.EIO)
    if message.endswith("(Permission denied)"):  # java.io says so in a FileNotFoundException
        number = errno.EACCES
    return OSError(number, message, path)
