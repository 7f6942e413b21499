"""
``Files`` for every file system that Hadoop's client supports, through Spark's JVM.

A failed operation raises OSError or a subclass of it: this module translates Hadoop's own exceptions.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import re
from collections.abc import Iterator, Sequence
from typing import Any, Optional

from traffic_aggr.files.local import (
    PRIVATE_DIRECTORY,
    PRIVATE_FILE,
    DiskUsage,
    FileInfo,
    Files,
    child,
    os_error,
    temporary_name,
)
from traffic_aggr.text import first_line

_GLOB = re.compile(r"[\\*?\[\]{}]")
_STATUS = re.compile(
    r"\{path=(.*?); isDirectory=(true|false)(?:; length=(\d+); replication=\d+; blocksize=\d+)?"
    r"; modification_time=(\d+);",
    re.DOTALL,
)


class HadoopFiles(Files):
    """
    Files of any file system that Hadoop's client supports.

    ``jvm`` is py4j's view of the JVM, ``hadoop_conf`` a Hadoop Configuration.
    """

    def __init__(self, jvm: Any, hadoop_conf: Any) -> None:
        # Each dotted name costs py4j several round trips, so classes are looked up once.
        hadoop = jvm.org.apache.hadoop.fs
        self._jvm = jvm
        self._conf = hadoop_conf
        self._path_class = hadoop.Path
        self._file_context_class = hadoop.FileContext
        self._rename_options = hadoop.Options.Rename
        self._permission_class = hadoop.permission.FsPermission
        self._arrays = jvm.org.apache.commons.lang3.ArrayUtils
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
            raise os_error(errno.ENOTDIR, p)
        with _java_errors_translated(p):
            path, system = self._locate(p)
            found = self._infos(p, system.listStatus(path))
        return sorted(found, key=lambda info: info.path)

    def _infos(self, p: str, statuses: Any) -> builtins.list[FileInfo]:
        """
        Parses a whole listing from one JVM call.

        Five calls for each file take seconds for thousands of files.
        """
        told = _STATUS.findall(self._arrays.toString(statuses))
        if len(told) != len(statuses):  # this file system prints FileStatus in its own format
            return [_hadoop_info(child(p, status.getPath().getName()), status) for status in statuses]
        return [
            FileInfo(child(p, path.rpartition("/")[2]), int(size or 0), is_directory == "true", int(modified))
            for path, is_directory, size, modified in told
        ]

    def beginning_with(self, p: str, prefixes: Sequence[str]) -> builtins.list[FileInfo]:
        # The JVM filters the directory, which may hold thousands of files; only the matches cross py4j.
        literal = _GLOB.sub(r"\\\g<0>", p)
        with _java_errors_translated(p):
            found = []
            for prefix in prefixes:
                path, system = self._locate(f"{literal}/{prefix}*")
                found += [_hadoop_info(child(p, each.getPath().getName()), each) for each in system.globStatus(path)]
        return sorted(found, key=lambda info: info.path)

    def usage(self, p: str) -> DiskUsage:
        with _java_errors_translated(p):
            path, system = self._locate(p)
            summary = system.getContentSummary(path)
            modified = system.getFileStatus(path).getModificationTime()
            return DiskUsage(int(summary.getFileCount()), int(summary.getLength()), int(modified))

    def rename(self, src: str, dst: str) -> None:
        with _java_errors_translated(src):
            source, system = self._locate(src)
            system.getFileStatus(source)
        with _java_errors_translated(dst):
            target = self._path_class(dst)
            if system.exists(target):
                raise os_error(errno.EEXIST, dst)
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
            raise os_error(errno.EISDIR, p)
        with _java_errors_translated(p):
            path, system = self._locate(p)
            source = system.open(path)
            try:
                return bytes(self._jvm.org.apache.commons.io.IOUtils.toByteArray(source))
            finally:
                source.close()

    def replace_bytes(self, p: str, data: bytes, mode: int = PRIVATE_FILE) -> None:
        if self.is_directory(p):
            raise os_error(errno.EISDIR, p)
        self._write(p, data, mode, self._rename_options.OVERWRITE)

    def create_exclusive(self, p: str, data: bytes) -> None:
        if self.exists(p):
            raise os_error(errno.EEXIST, p)
        self._write(p, data, PRIVATE_FILE, self._rename_options.NONE)

    def delete_tree(self, p: str) -> None:
        with _java_errors_translated(p):
            path, system = self._locate(p)
            if not system.delete(path, True) and system.exists(path):
                raise os_error(errno.EIO, p)

    def free_bytes(self, p: str) -> int:
        with _java_errors_translated(p):
            path, system = self._locate(p)
            remaining = system.getStatus(self._nearest_existing(system, path)).getRemaining()
            return int(remaining) // max(1, int(system.getDefaultReplication(path)))

    def make_durable(self, p: str) -> None:
        """Does nothing, and relies on replication: a closed file is on as many datanodes as its replication factor."""

    def copy_permissions(self, src: str, dst: str) -> None:
        with _java_errors_translated(src):
            model_path, model_system = self._locate(src)
            model = model_system.getFileStatus(model_path)
        with _java_errors_translated(dst):
            path, system = self._locate(dst)
            pending = [system.getFileStatus(path)]
            while pending:
                status = pending.pop()
                self._take_permissions(system, status, model)
                if status.isDirectory():
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
            raise os_error(errno.EEXIST, path.toString())
        for level in reversed(missing):
            if not system.mkdirs(level, self._permission(PRIVATE_DIRECTORY)):
                raise os_error(errno.EIO, level.toString())
            if model is not None:
                self._take_permissions(system, system.getFileStatus(level), model)

    def _rename(self, system: Any, source: Any, target: Any, option: Any) -> None:
        """
        Renames through FileContext instead of FileSystem.

        FileContext never moves into an existing directory, can overwrite in one step, and raises where FileSystem
        returns false.
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
            temporary = self._path_class(parent, temporary_name(path.getName()))
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
            except BaseException:  # a signal must not leave the temporary file behind either
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
        entries = self._acl_entries(model, only_access=only_access)
        if entries is not None:
            acl_util = self._jvm.org.apache.hadoop.fs.permission.AclUtil
            system.setAcl(path, acl_util.getAclFromPermAndEntries(self._permission(mode), entries))
        elif status.hasAcl():
            system.removeAcl(path)
        system.setPermission(path, self._permission(mode))

    def _acl_entries(self, model: Any, *, only_access: bool) -> Any:
        """
        The extended ACL entries of ``model`` as a java.util.List; None if there are none.

        The base entries are part of the permission. ``only_access`` leaves out the default entries.
        """
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
    # Imported here so that commands without a JVM do not pay for it; with a JVM, both are already loaded.
    from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
    from pyspark.errors.exceptions.captured import CapturedException

    try:
        yield
    except CapturedException as exc:  # pyspark wraps some Java exceptions itself, such as an unknown host
        raise OSError(errno.EIO, first_line(exc), path) from exc
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
    if message.endswith("(Permission denied)"):  # java.io reports this as a FileNotFoundException
        number = errno.EACCES
    return OSError(number, message, path)
