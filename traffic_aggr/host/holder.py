"""
Who holds a lock, written into it as one line of JSON, and whether that holder still lives.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
from dataclasses import dataclass
from typing import Any, Optional

from traffic_aggr.units import local_time
from traffic_aggr.user import user_name


@dataclass(frozen=True)
class Holder:
    """
    Who holds a lock. ``since`` is ISO 8601 in UTC.

    A process is known by its id and ``started``, its start time in clock ticks since boot: an id alone may have gone
    to another process since. ``application_id`` is YARN's, ``attempt`` the number of its attempt where the driver runs
    inside it.
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
        """The process that calls, without a JVM yet."""
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
        """The same with its JVM, a process of this host, and its application."""
        started = process_start_time(pid) if pid is not None else None
        return dataclasses.replace(self, jvm_pid=pid, jvm_started=started, application_id=application_id)

    @classmethod
    def from_json(cls, text: str) -> Holder:
        """Raises ValueError for anything that ``to_json`` does not write."""
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
        """One line."""
        return json.dumps(dataclasses.asdict(self))

    def described(self) -> str:
        """For a message."""
        application = f", {self.application_id}" if self.on_yarn else ""
        return (
            f"run {self.run_id} (`{self.command}`, pid {self.pid} of {self.user} on {self.host}{application},"
            f" since {local_time(self.since)})"
        )

    @property
    def on_yarn(self) -> bool:
        """Whether the resource manager knows of it."""
        return self.application_id is not None and self.application_id.startswith("application_")


def process_start_time(pid: int) -> Optional[int]:
    """Clock ticks from boot to the start of a process of this host; None when it is gone or only a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as source:
            # The second field is the command's name in parentheses, which may hold blanks and parentheses itself.
            fields = source.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, started = fields[0], fields[19]
    return None if state in (b"Z", b"X") else int(started)


def holder_in(content: bytes) -> Optional[Holder]:
    """The holder that the content of a lock names in its first line; None where it names none."""
    first_line = content.partition(b"\n")[0]
    try:
        return Holder.from_json(first_line.decode()) if first_line else None
    except (ValueError, RecursionError):
        return None


def lives(pid: Optional[int], started: Optional[int]) -> bool:
    """Whether the process of this host with this id and start time is there."""
    return pid is not None and started is not None and process_start_time(pid) == started
