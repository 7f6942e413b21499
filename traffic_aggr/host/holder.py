"""
The holder of a lock: one line of JSON in it, and whether the holder is alive.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Optional, TypeVar

from traffic_aggr.units import local_time
from traffic_aggr.user import user_name


@dataclass(frozen=True)
class Holder:
    """
    Who holds a lock. ``since`` is ISO 8601 in UTC.

    A process is identified by its pid and its start time (clock ticks since boot), because the kernel reuses pids.
    ``application_id`` is Spark's, which is YARN's when ``on_yarn``. ``attempt`` is the attempt number of a driver that
    runs inside that application.
    """

    run_id: str
    command: str
    host: str
    user: str
    pid: int
    pid_started: Optional[int]
    jvm_pid: Optional[int]
    jvm_started: Optional[int]
    application_id: Optional[str]
    since: str
    attempt: Optional[int] = None

    @classmethod
    def this_process(
        cls,
        run_id: str,
        command: str,
        since: str,
        *,
        application_id: Optional[str] = None,
        attempt: Optional[int] = None,
    ) -> Holder:
        """The calling process as a holder, without a JVM yet."""
        pid = os.getpid()
        return cls(
            run_id=run_id,
            command=command,
            host=socket.gethostname(),
            user=user_name(),
            pid=pid,
            pid_started=process_start_time(pid),
            jvm_pid=None,
            jvm_started=None,
            application_id=application_id,
            since=since,
            attempt=attempt,
        )

    def with_jvm(self, pid: Optional[int], application_id: Optional[str]) -> Holder:
        """A copy that names its JVM, a process of this host, and its application."""
        started = process_start_time(pid) if pid is not None else None
        return dataclasses.replace(self, jvm_pid=pid, jvm_started=started, application_id=application_id)

    @classmethod
    def from_json(cls, text: str) -> Holder:
        """Parses what ``to_json`` writes. Raises ValueError for a missing or mistyped field."""
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
        values: dict[str, Any] = {field.name: found.get(field.name) for field in dataclasses.fields(cls)}
        for name, value in values.items():
            kind: type = int if name in ("pid", "pid_started", "jvm_pid", "jvm_started", "attempt") else str
            optional = name in ("pid_started", "jvm_pid", "jvm_started", "application_id", "attempt")
            if not (type(value) is kind or (optional and value is None)):
                raise ValueError(f"{name} is {value!r}")
        return cls(**values)

    def to_json(self) -> str:
        """The holder as one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    def described(self) -> str:
        """The holder in words, for a message."""
        application = f", {self.application_id}" if self.on_yarn else ""
        return (
            f"run {self.run_id} (`{self.command}`, pid {self.pid} of {self.user} on {self.host}{application},"
            f" since {local_time(self.since)})"
        )

    @property
    def on_yarn(self) -> bool:
        """Whether its application runs on YARN, so that the resource manager knows it."""
        return self.application_id is not None and self.application_id.startswith("application_")


def process_start_time(pid: int) -> Optional[int]:
    """Start of a local process, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as source:
            # The second field, the command in parentheses, may itself contain blanks and parentheses.
            fields = source.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, started = fields[0], fields[19]
    return None if state in (b"Z", b"X") else int(started)


def holder_in(content: bytes) -> Optional[Holder]:
    """Parses the holder in the first line of a lock's content; None when there is none."""
    first_line = content.partition(b"\n")[0]
    try:
        return Holder.from_json(first_line.decode()) if first_line else None
    except (ValueError, RecursionError):
        return None


def lives(pid: Optional[int], started: Optional[int]) -> bool:
    """Whether the local process with this pid and start time is alive."""
    return pid is not None and started is not None and process_start_time(pid) == started


_Held = TypeVar("_Held", bound="Lock")


class Lock(ABC):
    """A lock that is held for as long as a ``with`` statement."""

    @abstractmethod
    def acquire(self) -> None:
        """Takes the lock. Raises LockHeldError."""

    @abstractmethod
    def release(self) -> None:
        """Releases the lock."""

    def __enter__(self: _Held) -> _Held:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.release()
