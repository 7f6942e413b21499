"""
The lock of a table on a file system without ``flock``: numbered owner files beside it.

    owner.7   one line of JSON that names the holder; empty once released

The highest number holds the lock. To take it, a run creates the next number; only one run can. It does so only after
the holder of the highest number has released it or is proven gone: by looking for its processes on this host, or by
asking the resource manager about its application. Nobody is presumed gone because time has passed. A number is never
reused while a higher one exists, so a holder that was suspended notices that it has lost the lock.
"""

from __future__ import annotations

import logging
import re
import socket
import time
from typing import Callable, Optional

from traffic_aggr.errors import LockHeldError, StateError
from traffic_aggr.files.local import Files, child
from traffic_aggr.host.holder import Holder, Lock, holder_in, lives

log = logging.getLogger(__name__)

_NAME = re.compile(r"owner\.(\d+)")
_POLL_S = 1.0


class OwnerFile(Lock):
    """
    The owner files in ``directory``, to be held by ``holder``.

    ``runs`` asks the resource manager whether an application has not ended. ``wait_s`` limits the wait for the JVM or
    application of a holder whose driver is gone. ``clock`` returns seconds.
    """

    def __init__(
        self,
        directory: str,
        files: Files,
        holder: Holder,
        *,
        runs: Callable[[str], bool],
        wait_s: float = 60,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.holder = holder
        self._directory = directory
        self._files = files
        self._runs = runs
        self._wait_s = wait_s
        self._clock = clock
        self._sleep = sleep
        self._number: Optional[int] = None

    def acquire(self) -> None:
        """
        Takes the lock.

        Raises LockHeldError at once when another holder may be alive, and after ``wait_s`` when its driver is gone but
        its JVM or application is not. Raises StateError when the files cannot be used.
        """
        try:
            self._acquire()
        except OSError as exc:
            raise self._unusable(exc) from exc

    def assert_held(self) -> None:
        """Raises LockHeldError when the owner file was removed, or one with a higher number exists."""
        if self._number is None:
            raise LockHeldError(f"the lock in {self._directory} is not held")
        try:
            highest = max(self._numbers(), default=0)
        except OSError as exc:
            raise self._unusable(exc) from exc
        if highest != self._number:
            raise LockHeldError(
                f"the owner file {self._path(self._number)} "
                + ("was removed" if highest < self._number else f"was followed by owner.{highest}")
                + f" while run {self.holder.run_id} held it",
                hint="Another run may have started: see `traffic-aggr status`, and leave the files alone",
            )

    def release(self) -> None:
        """Empties the owner file; the next holder deletes it. Does nothing when the lock is not held."""
        if self._number is None:
            return
        try:
            self.assert_held()
            self._files.replace_bytes(self._path(self._number), b"")
        except (LockHeldError, StateError, OSError) as exc:
            log.warning("the lock in %s was not released: %s", self._directory, exc)
        self._number = None

    def _acquire(self) -> None:
        deadline = self._clock() + self._wait_s
        while True:
            highest = max(self._numbers(), default=0)
            if highest:
                self._await_end(highest, deadline)
            number = highest + 1
            try:
                self._files.create_exclusive(self._path(number), f"{self.holder.to_json()}\n".encode())
            except FileExistsError:
                continue  # another run was faster and may hold the lock now
            numbers = self._numbers()
            if max(numbers, default=0) == number:
                break
            # A higher number exists: the listing was out of date, and this number had been used before.
            self._files.delete_tree(self._path(number))
        for earlier in numbers:
            if earlier < number:
                self._files.delete_tree(self._path(earlier))
        self._number = number

    def _await_end(self, number: int, deadline: float) -> None:
        """Returns when the holder of that owner file has released it or is gone. Raises LockHeldError."""
        while True:
            try:
                content = self._files.read_bytes(self._path(number))
            except FileNotFoundError:
                return
            if not content.strip():
                return
            last = holder_in(content)
            if last is None:
                raise LockHeldError(
                    f"{self._path(number)} names no holder that this version can read",
                    hint="Make sure that no run is using the table, then remove that file",
                )
            if self._is_gone(last):
                log.warning("%s is gone and did not release the table: taking over its lock", last.described())
                return
            is_ending = last.host == socket.gethostname() and not lives(last.pid, last.pid_started)
            if not is_ending or self._clock() >= deadline:
                raise self._held(last, number)
            self._sleep(_POLL_S)

    def _is_gone(self, last: Holder) -> bool:
        if last.on_yarn and last.attempt is not None:
            # YARN starts an attempt only after the one before has ended.
            earlier = last.application_id == self.holder.application_id and last.attempt < (self.holder.attempt or 0)
            return earlier or not self._runs(last.application_id or "")
        if last.host == socket.gethostname():
            return not lives(last.pid, last.pid_started) and not lives(last.jvm_pid, last.jvm_started)
        return last.on_yarn and not self._runs(last.application_id or "")

    def _held(self, last: Holder, number: int) -> LockHeldError:
        if last.on_yarn:
            hint = f"Wait for it to end, or stop it with `yarn application -kill {last.application_id}`"
        elif last.host == socket.gethostname():
            hint = f"Wait for it to end, or stop it with `kill {last.jvm_pid or last.pid}`"
        else:
            hint = f"Wait for it to end; if nothing of it lives on {last.host}, remove {self._path(number)}"
        return LockHeldError(f"the table is held by {last.described()}", hint=hint)

    def _numbers(self) -> list[int]:
        listed = self._files.beginning_with(self._directory, ("owner.",))
        matches = (_NAME.fullmatch(info.path.rsplit("/", 1)[-1]) for info in listed)
        return sorted(int(match[1]) for match in matches if match)

    def _path(self, number: int) -> str:
        return child(self._directory, f"owner.{number}")

    def _unusable(self, exc: OSError) -> StateError:
        return StateError(
            f"cannot use the lock in {self._directory}: {exc.strerror}",
            hint="It must be writable for this user; old data is in place",
        )
