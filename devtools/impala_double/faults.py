"""
Faults to inject: what goes wrong, and when.

A fault names a remote procedure call of HiveServer2 (``OpenSession``, ``ExecuteStatement``, ``GetOperationStatus``,
``GetResultSetMetadata``, ``FetchResults``, ``CloseImpalaOperation``, ``CloseSession``, ...), or ``connect``, the time
before TLS and SASL, or ``sasl``, the time after the client has named its mechanism.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Optional, Union

CONNECT = "connect"
SASL = "sasl"


@dataclass(frozen=True)
class _Wire:
    name: str


DROP = _Wire("drop")
"""The server closes the connection and does not execute the call."""

LOSE_ANSWER = _Wire("lose the answer")
"""The server executes the call, then closes the connection instead of answering."""

HANG_UP = _Wire("hang up")
"""The server executes and answers the call, then closes the connection."""

HANG = _Wire("hang")
"""The server does not execute the call and never answers; the connection stays open."""

DRIP = _Wire("drip")
"""The server executes the call and sends its answer one byte at a time, with a long pause after each."""


@dataclass(frozen=True)
class Refuse:
    """The server answers with an error status and this message, and does not execute the call."""

    message: str


@dataclass(frozen=True)
class EndIn:
    """``GetOperationStatus`` reports this state (``CANCELED_STATE``, ``RUNNING_STATE``, ...) and message."""

    state: str
    message: str = ""


@dataclass(frozen=True)
class Answer:
    """The server answers with these bytes instead of Thrift's."""

    payload: bytes


How = Union[_Wire, Refuse, EndIn, Answer]


@dataclass(frozen=True)
class Fault:
    """
    How the call ``rpc`` goes wrong, and how often; ``times`` None means always.

    Only calls for which ``when`` returns true go wrong. It gets the statement of the call (``ExecuteStatement`` and
    calls on its operation), or an empty string.
    """

    rpc: str
    how: How
    times: Optional[int] = 1
    when: Callable[[str], bool] = field(default=lambda statement: True)


class Faults:
    """The faults still to come, in the order in which they were planned."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[tuple[Fault, list[int]]] = []

    def plan(self, fault: Fault) -> None:
        """Adds ``fault``. It happens once earlier ones that fit the same call are used up."""
        with self._lock:
            self._planned.append((fault, [0]))

    def clear(self) -> None:
        """Removes all planned faults."""
        with self._lock:
            self._planned.clear()

    def take(self, rpc: str, statement: str = "") -> Optional[How]:
        """Returns how this call goes wrong, or None, and uses up one of the fault's times."""
        with self._lock:
            for fault, used in self._planned:
                left = fault.times is None or used[0] < fault.times
                if fault.rpc == rpc and left and fault.when(statement):
                    used[0] += 1
                    return fault.how
        return None
