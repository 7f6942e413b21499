"""
Kills all processes that servers started, directly or not, however the process that began it all has ended.

Whoever starts a server puts MARK, with the directory that the server belongs to, into its environment. Child processes
inherit it, and /proc shows it for each process, so the sweeper cannot hit any other process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

MARK = "TRAFFIC_AGGR_BELONGS_TO"

_PATIENCE_S = 20


class Sweeper:
    """
    Kills all processes of ``directory`` once this process is gone, or when ``sweep`` is called.

    A helper process waits for the other end of a pipe to close, which happens in both cases.
    """

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(directory)], stdin=subprocess.PIPE, start_new_session=True
        )

    def sweep(self) -> None:
        """Kills them now, and returns when that is done."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def kill_processes_of(directory: Path) -> None:
    """
    Kills whatever belongs to ``directory``, including processes that start meanwhile.

    Returns when nothing is left, or after ``_PATIENCE_S``.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while (found := processes_of(directory)) and time.monotonic() < deadline:
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def processes_of(directory: Path) -> list[int]:
    """Returns the PIDs of the processes that belong to ``directory`` or to one beneath it."""
    top = os.fsencode(f"{MARK}={directory.resolve()}")
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended, or belongs to another user
            continue
        if any(variable == top or variable.startswith(top + b"/") for variable in variables):
            found.append(int(entry.name))
    return found


if __name__ == "__main__":
    sys.stdin.buffer.read()
    kill_processes_of(Path(sys.argv[1]))
