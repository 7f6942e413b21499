"""
Measures a command with all processes that it starts: seconds, CPU seconds, and peak memory.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

_SUBREAPER = 36
_LOOK_EVERY_S = 0.2
_GROWN = 1.02
_KB = 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Cost:
    """Wall-clock seconds, CPU seconds over all cores, and bytes of memory at the peak (shared pages divided)."""

    wall: float
    cpu: float
    memory: int


class CommandError(Exception):
    """A command failed or produced wrong rows."""


def cost(command: Sequence[str], log: Path, environment: Optional[Mapping[str, str]] = None) -> Cost:
    """
    Runs ``command``, with its output in ``log``, and waits until every process that it started has ended.

    Meanwhile this process adopts orphans, so that their seconds count too. Raises CommandError, with the last lines of
    output, when the command fails.
    """
    with _adopting_orphans(), log.open("wb") as out:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        ended = threading.Event()
        peak = [0]
        watcher = threading.Thread(target=_watch, args=(ended, peak))
        watcher.start()
        try:
            cpu, status = _wait_for_all(process.pid)
        finally:
            ended.set()
            watcher.join()
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = log.read_text(errors="replace").strip().splitlines()
        raise CommandError(f"{' '.join(map(str, command))} ended with {process.returncode}: {' / '.join(said[-5:])}")
    return Cost(time.monotonic() - started, cpu, peak[0])


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Outside, orphans are nobody's: the JVM that made a warehouse must not count as one of the next contender's."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_SUBREAPER, 0, 0, 0, 0)


def _wait_for_all(first: int) -> tuple[float, int]:
    cpu, status = 0.0, 0
    while True:
        try:
            pid, how, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return cpu, status
        cpu += usage.ru_utime + usage.ru_stime
        if pid == first:
            status = how


def _watch(ended: threading.Event, peak: list[int]) -> None:
    """Divides shared pages only where memory has grown: Linux walks a process's page tables for that."""
    looked_at = 0
    while not ended.wait(_LOOK_EVERY_S):
        processes = _descendants()
        resident = sum(map(_resident, processes))
        if resident > looked_at * _GROWN:
            looked_at = resident
            peak[0] = max(peak[0], sum(map(_memory, processes)))


def _descendants() -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The program's name may contain blanks and brackets; the fields after it do not.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [os.getpid()]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * _KB for line in lines if line.startswith("Pss:")), 0)
