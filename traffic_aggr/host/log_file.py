"""A log file that is put aside under the day of its last line when a new day's first line comes."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import re
from pathlib import Path
from typing import Callable

from traffic_aggr.files.local import LocalFiles


class DailyFile:
    """
    ``path``, moved to ``path.yyyy-MM-dd`` once its last line is of an earlier day than ``now()``; of those, the newest
    ``keep`` stay. Several processes may write to one file; a process with an open file notices when it was moved.

    Made with mode 0600, missing directories with 0700. Raises ``OSError``.
    """

    def __init__(self, path: Path, keep: int, now: Callable[[], datetime.datetime]) -> None:
        self.path = path
        self._keep = keep
        self._now = now
        self._is_torn = False
        LocalFiles().make_directories(str(path.parent))
        self._descriptor = self._open()
        # A log that can be written and not be rotated is still a log.
        with contextlib.suppress(OSError):
            self._rotate_if_due()
            self._prune()

    def write(self, text: str) -> None:
        """Appends a text that ends its lines; flushed to the system, not to the disk. Raises ``OSError``."""
        with contextlib.suppress(OSError):
            self._rotate_if_due()
        data = text.encode("utf-8", errors="backslashreplace")
        if self._is_torn:
            data = b"\n" + data
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        finally:
            # Half a line on a full disk must not run into the next one.
            self._is_torn = 0 < written < len(data) or (self._is_torn and written == 0)

    def close(self) -> None:
        """Closes the file; nothing to do where it is closed already."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _reopen(self) -> None:
        fresh = self._open()
        os.close(self._descriptor)
        self._descriptor = fresh

    def _is_moved(self) -> bool:
        try:
            return not os.path.samestat(os.stat(self.path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return True

    def _day_to_put_aside(self) -> str:
        status = os.fstat(self._descriptor)
        last_day = datetime.date.fromtimestamp(status.st_mtime)
        return last_day.isoformat() if status.st_size and last_day < self._now().date() else ""

    def _rotate_if_due(self) -> None:
        if self._is_moved():
            self._reopen()
        if not self._day_to_put_aside():
            return
        # The lock is on the file that is to be moved: of two processes at midnight the second finds it moved.
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            day = self._day_to_put_aside()
            if day and not self._is_moved():
                os.rename(self.path, self._free_name(day))
                self._prune()
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._reopen()

    def _free_name(self, day: str) -> Path:
        name = self.path.with_name(f"{self.path.name}.{day}")
        number = 1
        while name.exists():
            name = self.path.with_name(f"{self.path.name}.{day}.{number}")
            number += 1
        return name

    def _prune(self) -> None:
        pattern = re.compile(re.escape(self.path.name) + r"\.([0-9]{4}-[0-9]{2}-[0-9]{2})(?:\.([0-9]+))?")
        found = []
        for entry in os.scandir(self.path.parent):
            match = pattern.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                found.append((match[1], int(match[2] or 0), entry.path))
        for _, _, old in sorted(found, reverse=True)[self._keep :]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(old)
