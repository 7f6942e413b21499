"""
What shall go wrong, and when.

A fault names a remote procedure call of HiveServer2 (``OpenSession``, ``ExecuteStatement``, ``GetOperationStatus``,
``GetResultSetMetadata``, ``FetchResults``, ``CloseImpalaOperation``, ``CloseSession``, ...) or ``connect``, the time
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
"""The connection is closed; the call is not carried out."""

LOSE_ANSWER = _Wire("lose the answer")
"""The call is carried out; then the connection is closed instead of an answer."""

HANG_UP = _Wire("hang up")
"""The call is carried out and answered; then the connection is closed."""

HANG = _Wire("hang")
"""The call is not carried out and nothing is ever answered; the connection stays open."""

DRIP = _Wire("drip")
"""The call is carried out; its answer comes one byte at a time, each long after the last."""


@dataclass(frozen=True)
class Refuse:
    """The call is answered by an error status with this message, and not carried out."""

    message: str


@dataclass(frozen=True)
class EndIn:
    """``GetOperationStatus`` reports this state (``CANCELED_STATE``, ``RUNNING_STATE``, ...) and message."""

    state: str
    message: str = ""


@dataclass(frozen=True)
class Answer:
    """The call is answered by these bytes instead of Thrift's."""

    payload: bytes


How = Union[_Wire, Refuse, EndIn, Answer]


@dataclass(frozen=True)
class Fault:
    """
    ``how`` the call ``rpc`` goes wrong; ``times`` None means always. ``when`` sees the statement, where the call has
    one (``ExecuteStatement`` and the calls on its operation), else an empty string.
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
        """Let ``fault`` happen once those before it that fit the same call are used up."""
        with self._lock:
            self._planned.append((fault, [0]))

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        with self._lock:
            self._planned.clear()

    def take(self, rpc: str, statement: str = "") -> Optional[How]:
        """How this call goes wrong, if it does; counts as one of the fault's times."""
        with self._lock:
            for fault, used in self._planned:
                left = fault.times is None or used[0] < fault.times
                if fault.rpc == rpc and left and fault.when(statement):
                    used[0] += 1
                    return fault.how
        return None
