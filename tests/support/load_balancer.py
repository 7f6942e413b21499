"""
A load balancer such as those in front of coordinators: it passes TCP on in turn, and forgets idle connections.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from itertools import cycle

POLL_S = 0.02


class LoadBalancer:
    """
    Passes each connection to the next of ``backends`` (ports on this host); use it as a context manager.

    A connection that is idle for ``idle_s`` seconds is forgotten: silently, with both ends left open, or by a reset if
    ``resets`` is set.
    """

    def __init__(self, backends: Sequence[int], *, idle_s: float, resets: bool) -> None:
        self.forgotten = 0
        self.accepted = 0
        self._backends = cycle(backends)
        self._idle_s = idle_s
        self._resets = resets
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(POLL_S)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> LoadBalancer:
        self._threads[0].start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=10)
        self._listener.close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            with suppress(socket.timeout):
                client, _ = self._listener.accept()
                self.accepted += 1
                thread = threading.Thread(target=self._serve, args=(client, next(self._backends)), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket, backend: int) -> None:
        with ExitStack() as opened, suppress(OSError):
            opened.enter_context(client)
            server = opened.enter_context(socket.create_connection(("127.0.0.1", backend)))
            if not self._pass_on(client, server):
                return
            self.forgotten += 1
            if self._resets:
                for end in (client, server):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            self._stopping.wait()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> bool:
        """Passes data on until one end closes the connection (False) or it has been idle for too long (True)."""
        other = {client: server, server: client}
        active = time.monotonic()
        while not self._stopping.is_set():
            for end in select.select([client, server], [], [], POLL_S)[0]:
                data = end.recv(1 << 16)
                if not data:
                    return False
                other[end].sendall(data)
                active = time.monotonic()
            if time.monotonic() - active > self._idle_s:
                return True
        return False
