"""
A TCP proxy between the job and its metastore server, which records the calls and strikes at a chosen one.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Optional

HOST = "127.0.0.1"
PATIENCE_S = 300
BEFORE, AFTER = "before", "after"

_CALL, _ONE_WAY = b"\x80\x01\x00\x01", b"\x80\x01\x00\x04"  # the first bytes of a message in Thrift's binary protocol
_BYTES = 1 << 16


@dataclass
class Strike:
    """
    What happens at the ``nth`` call whose name begins with ``method``.

    BEFORE: the server never receives the call. AFTER: the server executes it, and its answer is lost. ``action`` runs
    at that moment, in a thread of the proxy. The client's connection is closed once ``action`` has returned.
    """

    method: str
    nth: int
    when: str
    action: Callable[[], None]


class MetastoreProxy:
    """
    Listens on a loopback port and passes everything on to ``upstream_port``; use it as a context manager.

    While the server is down, an accepted connection waits for it. ``refuse`` makes the proxy refuse connections
    instead. ``calls`` has the names of all calls since the last ``plan``; ``struck`` is set after the strike.
    """

    def __init__(self, upstream_port: int) -> None:
        self.port = 0
        self.calls: list[str] = []
        self.struck = threading.Event()
        self._upstream_port = upstream_port
        self._strike: Optional[Strike] = None
        self._seen = 0
        self._lock = threading.Lock()
        self._listener: Optional[socket.socket] = None
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def uri(self) -> str:
        return f"thrift://{HOST}:{self.port}"

    def __enter__(self) -> MetastoreProxy:
        self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.refuse()
        for thread in self._threads:
            thread.join(timeout=30)

    def plan(self, method: str, nth: int, when: str, action: Callable[[], None]) -> None:
        """Plans one strike, at a later call."""
        with self._lock:
            self.calls.clear()
            self.struck.clear()
            self._strike, self._seen = Strike(method, nth, when, action), 0

    def listen(self) -> None:
        """Accepts connections, on the same port as before if there was one."""
        if self._listener is None:
            self._listener = socket.create_server((HOST, self.port), backlog=64)
            self.port = self._listener.getsockname()[1]
            self._start(self._accept, self._listener)

    def refuse(self) -> None:
        """Refuses new connections until the next ``listen``."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), self._server() as server:
            self._pass_on(client, server)

    @contextlib.contextmanager
    def _server(self) -> Iterator[socket.socket]:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                server = socket.create_connection((HOST, self._upstream_port))
                break
            except OSError:
                if self._listener is None or self._stopping.is_set() or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        with server:
            yield server

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        """
        Passes bytes on until an end closes its connection or a strike comes.

        Hive's client waits for each answer, so the first bytes after an answer begin a call.
        """
        between_calls, strike = True, None
        while not self._stopping.is_set():
            readable, _, _ = select.select([client, server], [], [], 0.2)
            if client in readable:
                request = client.recv(_BYTES)
                if not request:
                    return
                if between_calls:
                    between_calls = False
                    strike = self._take(_name(request))
                    if strike is not None and strike.when == BEFORE:
                        self._carry_out(strike)
                        return
                server.sendall(request)
            if server in readable:
                answer = server.recv(_BYTES)
                if strike is not None:
                    self._carry_out(strike)
                    return
                if not answer:
                    return
                client.sendall(answer)
                between_calls = True

    def _take(self, name: str) -> Optional[Strike]:
        with self._lock:
            self.calls.append(name)
            if self._strike is None or not name.startswith(self._strike.method):
                return None
            self._seen += 1
            if self._seen < self._strike.nth:
                return None
            strike, self._strike = self._strike, None
            return strike

    def _carry_out(self, strike: Strike) -> None:
        strike.action()
        self.struck.set()


def _name(request: bytes) -> str:
    assert request[:4] in (_CALL, _ONE_WAY), "not the beginning of a call"
    (length,) = struct.unpack(">i", request[4:8])
    return request[8 : 8 + length].decode()
