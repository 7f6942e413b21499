"""How the end of the JVM is told from other errors, whatever it does to the call that it interrupts."""

from __future__ import annotations

import gc
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Optional

import pytest
from py4j.clientserver import ClientServer, JavaParameters, PythonParameters
from py4j.java_gateway import GatewayParameters, JavaClass, JavaGateway
from py4j.protocol import Py4JError
from pyspark import SparkContext

from traffic_aggr.spark.session import explain_lost_jvm

# py4j leaves the socket open with which it could not connect. It is collected with its own test, not in a later one.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

# What Java answers to the question what a name is, or to a call, in py4j's protocol.
PACKAGE, CLASS, METHOD, NO_CLASS, A_LONG, AN_ERROR = b"!yp", b"!ycjava.lang.System", b"!ym", b"!x", b"!yL5", b"!xsno"
KNOWN = {b"a": PACKAGE, b"java": PACKAGE, b"java.lang": PACKAGE, b"java.lang.System": CLASS, b"nanoTime": A_LONG}

End = Callable[[socket.socket], None]

CALLS: dict[str, Callable[[Any], Any]] = {
    "a static method": lambda gateway: JavaClass("a.B", gateway._gateway_client).call(),
    "a class": lambda gateway: gateway.jvm.Missing,
    "a class in a package": lambda gateway: gateway.jvm.a.Missing,
}
CLIENTS: dict[str, Callable[[int], Any]] = {
    "pinned threads": lambda port: ClientServer(JavaParameters(port=port), PythonParameters(port=0, eager_load=False)),
    "any thread": lambda port: JavaGateway(gateway_parameters=GatewayParameters(port=port)),
}


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


def reset(connection: socket.socket) -> None:
    """Has it close with RST, not FIN, as the system does for a process that has not read all that it was sent."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def finish(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def java(end: Optional[End]) -> Iterator[int]:
    """Yields the port of a peer that answers what it knows. Anything else makes it end so; None: it refuses that."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            command: list[bytes] = []
            with connection, connection.makefile("rb", buffering=0) as stream:
                for line in stream:
                    command.append(line.strip())
                    if line != b"e\n":
                        continue
                    known = METHOD if command[1] == b"m" else KNOWN.get(command[2])
                    if known is None and end is not None:
                        server.close()
                        end(connection)
                        return
                    connection.sendall((known or (AN_ERROR if command[0] == b"c" else NO_CLASS)) + b"\n")
                    command.clear()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def is_said_to_have_ended(client: str, call: str, end: Optional[End], patch: pytest.MonkeyPatch) -> bool:
    with java(end) as port:
        gateway = CLIENTS[client](port)
        patch.setattr(SparkContext, "_gateway", gateway)
        with pytest.raises((Py4JError, OSError)) as raised:
            CALLS[call](gateway)
        lost = explain_lost_jvm(raised.value) is not None
        gateway.close()
        return lost


@pytest.mark.parametrize("end", [reset, finish])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_jvm_that_ends_in_any_call_is_said_to_have_ended(
    client: str, call: str, end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_said_to_have_ended(client, call, end, monkeypatch)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_running_jvm_refuses_is_another_error(client: str, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_said_to_have_ended(client, call, None, monkeypatch)
