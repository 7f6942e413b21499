"""
What servers started, and what these started in turn, ended to the last process, however whoever began it all has ended.

Whoever starts a server puts MARK into its environment: the directory that it belongs to. Processes inherit that, and
Linux tells it of each, so that nothing else can be hit.
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

    A process of its own waits for the other end of a pipe to close, which happens in either case.
    """

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(directory)], stdin=subprocess.PIPE, start_new_session=True
        )

    def sweep(self) -> None:
        """Kills them now, and returns when none runs any more."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def kill_processes_of(directory: Path) -> None:
    """Kills whatever belongs to ``directory``, also what is started meanwhile, and returns when nothing is left."""
    deadline = time.monotonic() + _PATIENCE_S
    while (found := processes_of(directory)) and time.monotonic() < deadline:
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def processes_of(directory: Path) -> list[int]:
    """The processes that belong to ``directory`` or to one beneath it."""
    top = os.fsencode(f"{MARK}={directory.resolve()}")
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or another user's
            continue
        if any(variable == top or variable.startswith(top + b"/") for variable in variables):
            found.append(int(entry.name))
    return found


if __name__ == "__main__":
    sys.stdin.buffer.read()
    kill_processes_of(Path(sys.argv[1]))
