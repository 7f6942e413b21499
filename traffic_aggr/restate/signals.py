"""
Stops a run on SIGINT and SIGTERM: notices the signal at once, acts on it between two changes.

A signal never interrupts a metastore change. It cancels running Spark jobs and ends waits. The run sees it at its next
checkpoint, puts the old data back and exits with 128 + the signal's number.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Callable, Optional

from traffic_aggr.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CANCEL_EVERY_S = 0.5


class Stop:
    """
    A request to stop, made by a signal.

    ``cancel`` cancels running work, such as Spark jobs. Another thread calls it repeatedly until a checkpoint notices
    the signal, since a job may start just after a call.
    """

    def __init__(self) -> None:
        self.cancel: Callable[[], None] = lambda: None
        self._wished = threading.Event()
        self._noticed = threading.Event()
        self._signum: Optional[int] = None

    @property
    def wished(self) -> bool:
        return self._wished.is_set()

    def check(self) -> None:
        """Raises Interrupted, once, if a signal has arrived."""
        reason = self.reason()
        if reason is not None and not self._noticed.is_set():
            self._noticed.set()
            raise reason

    def reason(self) -> Optional[Interrupted]:
        """Returns the signal that arrived, as the error to report; None without one."""
        return Interrupted(self._signum) if self._signum is not None else None

    def sleep(self, seconds: float) -> None:
        """Waits. A signal that no checkpoint has noticed yet ends the wait with Interrupted."""
        if self._noticed.is_set():
            threading.Event().wait(seconds)
        else:
            self._wished.wait(seconds)
            self.check()

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Handles the signals inside the block. Must be entered in the main thread."""
        before = {signum: signal.signal(signum, self._received) for signum in _SIGNALS}
        try:
            yield self
        finally:
            self._noticed.set()
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _received(self, signum: int, frame: Optional[FrameType]) -> None:
        if not self._wished.is_set():
            self._signum = signum
            self._wished.set()
            threading.Thread(target=self._keep_cancelling, daemon=True).start()

    def _keep_cancelling(self) -> None:
        while not self._noticed.wait(_CANCEL_EVERY_S):
            with suppress(Exception):  # Spark may be starting, or gone; the next attempt may reach it
                self.cancel()
