"""A log file that is rotated daily, when the first line of a new day comes."""

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
    Appends to ``path``, and renames it to ``path.yyyy-MM-dd`` once that day is over.

    The day is that of the file's last line, and is over when ``now()`` is on a later one. The newest ``keep`` renamed
    files stay. Several processes may write to one file; each notices when another has renamed it. The file is created
    with mode 0600, missing directories with 0700. Raises ``OSError``.
    """

    def __init__(self, path: Path, keep: int, now: Callable[[], datetime.datetime]) -> None:
        self.path = path
        self._keep = keep
        self._now = now
        self._is_torn = False
        LocalFiles().make_directories(str(path.parent))
        self._descriptor = self._open()
        # A failed rotation must not stop the program from logging.
        with contextlib.suppress(OSError):
            self._rotate_if_due()
            self._prune()

    def write(self, text: str) -> None:
        """Appends whole lines; passes them to the kernel without an fsync. Raises ``OSError``."""
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
            # After half a line (the disk was full) the next write starts a new line.
            self._is_torn = 0 < written < len(data) or (self._is_torn and written == 0)

    def close(self) -> None:
        """Closes the file; does nothing when it is closed already."""
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
        # The lock is on the file to rename: of two processes at midnight, the second finds it renamed.
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
