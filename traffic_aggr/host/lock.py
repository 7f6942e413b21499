"""
The run lock: ``flock`` on a file that names its holder in one line of JSON.

The flock shows whether the driver is alive: the kernel releases it when the process ends, however it ends. The content
lets others name the holder. It also names the holder's JVM, which may outlive the driver and still finish a change.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import time
from typing import Callable, Optional

from traffic_aggr.errors import LockHeldError, StateError
from traffic_aggr.files.local import PRIVATE_FILE, LocalFiles, local_path
from traffic_aggr.host.holder import Holder, Lock, holder_in, lives

log = logging.getLogger(__name__)

# `is_held` in another process takes the lock for an instant, so one failed attempt does not prove that a run holds it.
_TRIES = 10
_BETWEEN_TRIES_S = 0.02
_JVM_POLL_S = 1.0
# The holder rewrites the file in place, so a single read may return half a line.
_READS = 3
_LONGEST_CONTENT = 65536


def read_holder(path: str) -> Optional[Holder]:
    """
    The holder that the lock file names, whether or not the lock is held.

    None when the file is missing, empty or names no holder. Raises StateError when it cannot be read.
    """
    try:
        descriptor = os.open(local_path(path), os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise _unusable(path, exc) from exc
    try:
        for _ in range(_READS):
            found = holder_in(os.pread(descriptor, _LONGEST_CONTENT, 0))
            if found is not None:
                return found
    except OSError as exc:
        raise _unusable(path, exc) from exc
    finally:
        os.close(descriptor)
    return None


def is_held(path: str) -> bool:
    """Whether a process holds the lock now; does not disturb a starting run. Raises StateError."""
    try:
        descriptor = os.open(local_path(path), os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise _unusable(path, exc) from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class FileLock(Lock):
    """
    The lock file at ``path`` (local: plain, or a ``file:`` URI), to be held by ``holder``.

    ``jvm_wait_s`` limits the wait for the JVM or application of a holder that is gone. ``runs`` asks the resource
    manager whether an application has not ended. ``clock`` returns seconds.
    """

    def __init__(
        self,
        path: str,
        holder: Holder,
        *,
        runs: Callable[[str], bool] = lambda application_id: False,
        jvm_wait_s: float = 60,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path = local_path(path)
        self.holder = holder
        self._runs = runs
        self._jvm_wait_s = jvm_wait_s
        self._clock = clock
        self._sleep = sleep
        self._descriptor: Optional[int] = None
        self._written = b""

    def acquire(self) -> None:
        """
        Takes the lock and writes the holder into it; creates missing parent directories (0700).

        Raises LockHeldError at once when another process holds the lock, or when the last holder left a JVM on another
        host, where it cannot be checked. Raises it after ``jvm_wait_s`` when the last holder is gone but its JVM or
        application is not. Raises StateError when the file cannot be used.
        """
        try:
            LocalFiles().make_directories(os.path.dirname(self.path))
            descriptor = self._flocked()
        except OSError as exc:
            raise _unusable(self.path, exc) from exc
        try:
            self._await_last_holder(descriptor)
            self._write(descriptor)
        except BaseException as exc:  # a signal during the wait must free the lock too
            os.close(descriptor)
            if isinstance(exc, OSError):
                raise _unusable(self.path, exc) from exc
            raise
        self._descriptor = descriptor

    def name_jvm(self, pid: int, application_id: Optional[str] = None) -> None:
        """Adds the run's JVM to the lock file, durably, so that no later run starts while it is alive."""
        descriptor = self._descriptor_held()
        self.holder = self.holder.with_jvm(pid, application_id)
        try:
            self._write(descriptor)
        except OSError as exc:
            raise _unusable(self.path, exc) from exc

    def assert_held(self) -> None:
        """Raises LockHeldError when the file was removed or replaced, or no longer names this holder."""
        self._descriptor_held()

    def _descriptor_held(self) -> int:
        descriptor = self._descriptor
        if descriptor is None:
            raise LockHeldError(f"the lock {self.path} is not held")
        try:
            is_same_file = _is_at(descriptor, self.path)
            content = os.pread(descriptor, _LONGEST_CONTENT, 0)
        except OSError as exc:
            raise _unusable(self.path, exc) from exc
        if is_same_file and content == self._written:
            return descriptor
        what = "now names another holder" if is_same_file else "was removed or replaced"
        raise LockHeldError(
            f"the lock file {self.path} {what} while run {self.holder.run_id} held it",
            hint="Another run may have started: see `traffic-aggr status`, and leave the file alone",
        )

    def release(self) -> None:
        """Empties the file, without removing it, and releases the lock; no-op if not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            if os.pread(descriptor, _LONGEST_CONTENT, 0) == self._written:
                os.ftruncate(descriptor, 0)
        except OSError as exc:
            log.warning("cannot empty the lock file %s: %s", self.path, exc)
        finally:
            os.close(descriptor)

    def _flocked(self) -> int:
        """Returns a flocked descriptor of the file now at the path; child processes do not inherit it."""
        for _ in range(_TRIES):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
            with contextlib.ExitStack() as unless_taken:
                unless_taken.callback(os.close, descriptor)
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    # If the file was removed after it was opened, this lock excludes nobody.
                    if _is_at(descriptor, self.path):
                        unless_taken.pop_all()
                        return descriptor
            self._sleep(_BETWEEN_TRIES_S)
        raise self._held()

    def _held(self) -> LockHeldError:
        holder = read_holder(self.path)
        if holder is None:
            who, stop = "a process that has not written its name yet", f"`fuser {self.path}` names it"
        elif holder.host == socket.gethostname() and not lives(holder.pid, holder.pid_started):
            # A starting run leaves the last holder in the file while it waits for that holder's JVM.
            who, stop = f"a starting run; the last one was {holder.described()}", f"`fuser {self.path}` names it"
        else:
            who, stop = holder.described(), f"or stop it with `kill {holder.pid}` on {holder.host}"
        return LockHeldError(
            f"the lock {self.path} is held by {who}", hint=f"See `traffic-aggr status`; wait for it to end, {stop}"
        )

    def _await_last_holder(self, descriptor: int) -> None:
        content = os.pread(descriptor, _LONGEST_CONTENT, 0)
        last = holder_in(content)
        if last is None:
            if content:
                log.warning("the lock file %s names no holder, and nobody has the lock: overwriting it", self.path)
            return
        if last.host != socket.gethostname() and last.jvm_pid is not None:
            raise LockHeldError(
                f"{last.described()} ended without letting go of {self.path}, and whether its JVM, pid {last.jvm_pid},"
                f" lives cannot be seen from {socket.gethostname()}",
                hint=f"See on {last.host} that it is gone, then empty the lock file",
            )
        deadline = self._clock() + self._jvm_wait_s
        while (outlives := self._what_outlives(last)) is not None:
            if self._clock() >= deadline:
                what, stop = outlives
                raise LockHeldError(
                    f"the driver of {last.described()} is gone, but {what} still lives and may still finish a change",
                    hint=f"Wait for it to end, or stop it with `{stop}`",
                )
            self._sleep(_JVM_POLL_S)

    def _what_outlives(self, last: Holder) -> Optional[tuple[str, str]]:
        """What is still running of a holder whose driver is gone, and the command that stops it."""
        if lives(last.jvm_pid, last.jvm_started):
            return f"its JVM, pid {last.jvm_pid},", f"kill {last.jvm_pid}"
        if last.application_id is not None and last.on_yarn and self._runs(last.application_id):
            return f"its application {last.application_id}", f"yarn application -kill {last.application_id}"
        return None

    def _write(self, descriptor: int) -> None:
        # Readers parse only the first line, so the rest of a longer old line does no harm until it is truncated.
        content = self.holder.to_json().encode() + b"\n"
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, len(content))
        os.fsync(descriptor)
        self._written = content


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _unusable(path: str, exc: OSError) -> StateError:
    return StateError(
        f"cannot use the lock file {path}: {exc.strerror}",
        hint="It must be a local file of this user in a writable directory",
    )
