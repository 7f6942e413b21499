"""
The coordinator's sockets: connections, TLS, Thrift messages, and what faults do to them.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Optional

from impala._thrift_gen.ImpalaService import ImpalaHiveServer2Service
from impala._thrift_gen.TCLIService import TCLIService, ttypes
from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
from thrift.Thrift import TApplicationException, TException, TMessageType, TType
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport, TFramedTransport, TMemoryBuffer

from devtools.daemons import Startable
from devtools.impala_double import sasl
from devtools.impala_double.cache import CoordinatorCache
from devtools.impala_double.catalog import Catalog
from devtools.impala_double.faults import (
    CONNECT,
    DRIP,
    DROP,
    HANG,
    HANG_UP,
    LOSE_ANSWER,
    SASL,
    Answer,
    EndIn,
    Fault,
    Faults,
    How,
    Refuse,
)
from devtools.impala_double.service import Journal, Service, error_status
from devtools.impala_double.storage import LocalStorage, Storage

DEFAULT_VERSION = "4.4.1"


class _ConnectionOver(Exception):
    """The server stops reading from and writing to this connection."""


class ImpalaDouble(Startable):
    """
    A coordinator on a loopback port, in threads of this process; use it as a context manager.

    ``storage`` holds the tables' files, by default this machine's. ``port`` 0 takes a free one. ``tls`` is a
    server-side context. ``users`` (name -> password) turns on SASL PLAIN, which both PLAIN and LDAP clients speak;
    ``mechanism`` turns on another one, such as ``sasl.Kerberos``. ``version`` is Impala's: from 5.0 on, one REFRESH may
    name several partitions. ``drip_s`` is the time in seconds between two bytes of a dripping answer.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        catalog: Catalog,
        *,
        storage: Optional[Storage] = None,
        port: int = 0,
        tls: Optional[ssl.SSLContext] = None,
        users: Optional[Mapping[str, str]] = None,
        mechanism: Optional[sasl.Mechanism] = None,
        version: str = DEFAULT_VERSION,
        drip_s: float = 0.1,
    ) -> None:
        self.journal = Journal()
        self.port = port
        self._faults = Faults()
        self._service = Service(CoordinatorCache(catalog, storage or LocalStorage()), self.journal, version)
        self._tls = tls
        self._mechanism = mechanism if users is None else sasl.Plain(users)
        self._drip_s = drip_s
        self._stopping = threading.Event()
        self._listener: Optional[socket.socket] = None
        self._acceptor: Optional[threading.Thread] = None
        self._connections: dict[threading.Thread, socket.socket] = {}

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        self.listen()

    def plan(
        self,
        rpc: str,
        how: How,
        *,
        times: Optional[int] = 1,
        when: Callable[[str], bool] = lambda statement: True,
    ) -> None:
        """Makes the call ``rpc`` go wrong; see ``faults.Fault``."""
        self._faults.plan(Fault(rpc, how, times, when))

    def clear_faults(self) -> None:
        """Removes all planned faults."""
        self._faults.clear()

    def listen(self) -> None:
        """Accepts connections, on the same port as before if there was one."""
        self._listener = socket.create_server((self.host, self.port))
        self._listener.settimeout(0.2)
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def refuse(self) -> None:
        """Refuses new connections until the next ``listen``. Open ones stay."""
        if self._listener is not None and self._acceptor is not None:
            listener, self._listener = self._listener, None
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            self._acceptor.join()
            listener.close()

    def drop_connections(self) -> None:
        """Closes every open connection."""
        for connection in list(self._connections.values()):
            _shut(connection)

    def stop(self) -> None:
        """Refuses new connections, closes open ones, and waits for the threads to end."""
        self.refuse()
        self._stopping.set()
        self.drop_connections()
        for thread in list(self._connections):
            thread.join(timeout=10)

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                connection, _ = listener.accept()
            except socket.timeout:
                continue
            except OSError:
                return
            connection.settimeout(None)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._connections[thread] = connection
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(_ConnectionOver, TException, OSError, EOFError):
                self._break(connection, self._faults.take(CONNECT))
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                    self._connections[threading.current_thread()] = connection
                self._converse(connection)
        finally:
            _shut(connection)
            connection.close()
            self._connections.pop(threading.current_thread(), None)

    def _converse(self, connection: socket.socket) -> None:
        wire = TSocket()
        wire.setHandle(connection)
        framed = self._mechanism is not None
        if self._mechanism is not None:
            self._negotiate(connection, wire, self._mechanism)
        requests = TBinaryProtocolAccelerated((TFramedTransport if framed else TBufferedTransport)(wire))
        while True:
            name, _, sequence = requests.readMessageBegin()
            self.journal.calls.append(name)
            answers = TMemoryBuffer()
            how = self._respond(connection, name, sequence, requests, TBinaryProtocolAccelerated(answers))
            payload = how.payload if isinstance(how, Answer) else answers.getvalue()
            if framed:
                payload = struct.pack(">I", len(payload)) + payload
            for piece in self._pieces(payload, how):
                connection.sendall(piece)
            if how is HANG_UP:
                return

    def _respond(
        self, connection: socket.socket, name: str, sequence: int, requests: Any, answers: Any
    ) -> Optional[How]:
        """Reads the request of the call ``name``, executes it and writes the response. Returns the call's fault."""
        generated = TCLIService if hasattr(TCLIService, f"{name}_args") else ImpalaHiveServer2Service
        if not hasattr(self._service, name):
            requests.skip(TType.STRUCT)
            requests.readMessageEnd()
            answers.writeMessageBegin(name, TMessageType.EXCEPTION, sequence)
            TApplicationException(TApplicationException.UNKNOWN_METHOD, f"Unknown function {name}").write(answers)
            answers.writeMessageEnd()
            return None
        arguments = getattr(generated, f"{name}_args")()
        arguments.read(requests)
        requests.readMessageEnd()
        how = self._faults.take(name, self._service.statement_of(arguments.req))
        self._break(connection, how)
        if isinstance(how, Refuse):
            response = getattr(generated, f"T{name}Resp")(status=error_status(how.message))
        else:
            response = getattr(self._service, name)(arguments.req)
        if how is LOSE_ANSWER:
            raise _ConnectionOver
        if isinstance(how, EndIn):
            response.operationState = ttypes.TOperationState._NAMES_TO_VALUES[how.state]
            response.errorMessage = how.message or None
        answers.writeMessageBegin(name, TMessageType.REPLY, sequence)
        getattr(generated, f"{name}_result")(success=response).write(answers)
        answers.writeMessageEnd()
        return how

    def _break(self, connection: socket.socket, how: Optional[How]) -> None:
        """Hangs or drops the connection when ``how`` says so."""
        if how is HANG:
            while connection.recv(1 << 16):
                pass
        if how is HANG or how is DROP:
            raise _ConnectionOver

    def _pieces(self, payload: bytes, how: Optional[How]) -> Iterator[bytes]:
        if how is not DRIP:
            yield payload
            return
        for position in range(len(payload)):
            yield payload[position : position + 1]
            if self._stopping.wait(self._drip_s):
                raise _ConnectionOver

    def _negotiate(self, connection: socket.socket, wire: TSocket, mechanism: sasl.Mechanism) -> None:
        wanted = sasl.read_message(wire, sasl.START)
        how = self._faults.take(SASL)
        self._break(connection, how)
        if isinstance(how, Answer):
            connection.sendall(how.payload)
            return
        try:
            if wanted != mechanism.name:
                raise sasl.Unauthenticated(f"Unsupported mechanism {wanted.decode()}")
            self.journal.authenticated.append(mechanism.negotiate(wire))
        except sasl.Unauthenticated as exc:
            sasl.write_message(wire, sasl.BAD, str(exc).encode())
            raise _ConnectionOver from exc
        sasl.write_message(wire, sasl.COMPLETE, b"")


def _shut(connection: socket.socket) -> None:
    """
    Wakes whoever reads from ``connection``.

    It bypasses an SSLSocket's own shutdown, which would remove the TLS state as well.
    """
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
