"""
One session with one Impala coordinator, with time limits that neither the server nor impyla can exceed.

impyla enforces neither time limits (its timeout bounds a single socket read, its retries multiply that, and its close
may block) nor TLS verification (off by default), and it returns from a cancelled statement as if that had finished. So
this module opens the socket itself. Each call runs in its own thread; when its limit ends, the caller shuts the socket
down and leaves the thread behind. The session checks the operation's state itself.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any, Callable, Optional, TypeVar

from impala._thrift_api import get_transport
from impala._thrift_gen.ImpalaService.ImpalaHiveServer2Service import Client
from impala._thrift_gen.TCLIService.ttypes import TGetInfoReq, TGetInfoType, TOperationState
from impala.error import Error as ImpylaError
from impala.hiveserver2 import HS2Service
from thrift.protocol.TBinaryProtocol import TBinaryProtocolAccelerated
from thrift.Thrift import TApplicationException
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TTransportException
from thrift_sasl import TSaslClientTransport

from traffic_aggr.config.config import HostPort, ImpalaConfig
from traffic_aggr.impala.answers import UNLISTED
from traffic_aggr.impala.kerberos import MECHANISM as KERBEROS
from traffic_aggr.impala.kerberos import KerberosClient
from traffic_aggr.impala.kerberos_login import KerberosLogin
from traffic_aggr.impala.outcomes import NoAnswerError, RejectedError, UntrustedError, one_line
from traffic_aggr.user import user_name

T = TypeVar("T")
Row = tuple[Any, ...]

FETCH_ROWS = 1024
SHORTEST_POLL_S, LONGEST_POLL_S = 0.01, 1.0
CHECKPOINT_EVERY_S = 0.5

_EXECUTING = ("INITIALIZED_STATE", "PENDING_STATE", "RUNNING_STATE")


class ImpalaSession:
    """
    A session on ``host``, opened by the first call that needs it.

    Every call may raise NoAnswerError or RejectedError. After NoAnswerError the session is unusable. ``checkpoint`` is
    called twice a second while a call waits for an answer; an exception from it ends the wait and the session.
    """

    def __init__(
        self,
        config: ImpalaConfig,
        password: Optional[str],
        login: Optional[KerberosLogin],
        tls: Optional[ssl.SSLContext],
        host: HostPort,
        checkpoint: Callable[[], None],
    ) -> None:
        self.host = host
        self._config = config
        self._password = password
        self._login = login
        self._tls = tls
        self._checkpoint = checkpoint
        self._socket: Optional[socket.socket] = None
        self._kerberos: Optional[KerberosClient] = None
        self._session: Any = None
        self._operation: Any = None
        self._cut = False

    def open(self, limit_s: float) -> None:
        """Connects, authenticates and opens the session, unless it is open, within ``limit_s`` seconds."""
        self._within(limit_s, self._open)

    def execute(self, sql: str, options: Mapping[str, str], limit_s: float) -> list[Row]:
        """
        Executes ``sql`` with its own query ``options`` and returns its rows.

        Opens the session first if necessary; all of it must finish within ``limit_s`` seconds.
        """
        return self._within(limit_s, lambda: self._execute(sql, options))

    def version(self, limit_s: float) -> str:
        """Returns the coordinator's version string, maybe empty. Cheaper than a query, and not queued with queries."""
        return self._within(limit_s, self._version)

    def close_operation(self, limit_s: float) -> None:
        """Closes the last statement on the coordinator, once its outcome is known."""
        operation, self._operation = self._operation, None
        if operation is not None:
            self._within(limit_s, operation.close)

    def close(self, limit_s: float) -> None:
        """Closes the session and the connection. Telling the coordinator is best effort."""
        session, self._session = self._session, None
        if session is not None and not self._cut:
            with suppress(NoAnswerError, RejectedError):
                self._within(limit_s, session.close)
        self.abandon()

    def abandon(self) -> None:
        """Closes the connection without closing the session; Impala ends the sessions of a lost connection itself."""
        if not self._cut:
            self._cut_off()
            self._release()

    def _within(self, limit_s: float, work: Callable[[], T]) -> T:
        future: Future[T] = Future()

        def run() -> None:
            try:
                with _translated():
                    result = work()
            except BaseException as exc:  # the waiting thread raises it again
                future.set_exception(exc)
            else:
                future.set_result(result)

        threading.Thread(target=run, name=f"impala {self.host}", daemon=True).start()
        ends = time.monotonic() + limit_s
        try:
            while not wait([future], max(0.0, min(CHECKPOINT_EVERY_S, ends - time.monotonic()))).done:
                self._checkpoint()
                if time.monotonic() >= ends:
                    raise NoAnswerError(f"no answer within {limit_s:g} s")
            return future.result()
        except RejectedError:
            raise
        except BaseException:  # a signal, too, must stop the thread
            self._cut_off()
            # Close the socket only after its reader has stopped: its file descriptor may be reused at once.
            future.add_done_callback(lambda _: self._release())
            raise

    def _open(self) -> None:
        if self._session is not None:
            return
        wire = TSocket(self.host.host, self.host.port)
        wire.setHandle(self._connect())
        # thrift would silently replace a lost connection by one without TLS and without this session.
        wire.open = _refuse_to_reconnect
        service = HS2Service(Client(TBinaryProtocolAccelerated(self._authenticated(wire))), retries=1)
        try:
            self._session = service.open_session(self._config.auth.user or user_name())
        except ImpylaError as exc:
            refused = RejectedError(str(exc))
            if refused.trouble is not UNLISTED and not refused.trouble.passes:
                raise refused from exc
            # The reason lies with this coordinator (shutting down, too many sessions); another may accept the session.
            raise NoAnswerError(f"no session: {refused}") from exc

    def _connect(self) -> socket.socket:
        address = self.host.host, self.host.port
        connected = self._keep(socket.create_connection(address, timeout=self._config.timeout_s))
        connected.settimeout(None)  # from here on `_within` enforces the limit by shutting the socket down
        if self._tls is None:
            return connected
        encrypted = self._tls.wrap_socket(connected, server_hostname=self.host.host, do_handshake_on_connect=False)
        self._keep(encrypted)
        try:
            encrypted.do_handshake()
        except ssl.SSLCertVerificationError as exc:
            raise UntrustedError(
                f"its certificate cannot be verified: {exc.verify_message}",
                hint="Check impala.tls.ca_cert, and that the certificate is in force for the name in impala.hosts",
            ) from exc
        return encrypted

    def _keep(self, connected: socket.socket) -> socket.socket:
        self._socket = connected
        if self._cut:
            raise NoAnswerError("given up while connecting")
        return connected

    def _authenticated(self, wire: TSocket) -> Any:
        """Returns the transport over ``wire``, authenticated by the configured mechanism."""
        auth = self._config.auth
        if auth.mechanism == KERBEROS:
            return self._authenticated_by_kerberos(wire)
        transport = get_transport(wire, self.host.host, None, auth.mechanism, auth.user, self._password)
        if auth.mechanism != "NOSASL":
            self._negotiate(transport, "Check impala.auth.user and impala.auth.password")
        return transport

    def _authenticated_by_kerberos(self, wire: TSocket) -> Any:
        service = self._config.auth.kerberos_service
        client = self._kerberos = KerberosClient(service, self.host.host, self._login)
        if self._cut:
            client.end()
            raise NoAnswerError("given up while connecting")
        transport = TSaslClientTransport(lambda: client, KERBEROS, wire)
        self._negotiate(transport, "Compare this host's clock with Impala's, and see why in Impala's log")
        client.close()
        if not client.complete:
            raise UntrustedError(
                f"it did not prove that it is {service}/{self.host.host}", hint="Check what listens at that address"
            )
        return transport

    def _negotiate(self, transport: Any, hint: str) -> None:
        try:
            transport.open()
        except TTransportException as exc:
            if exc.type != TTransportException.NOT_OPEN:
                raise
            # thrift_sasl shows the server's message as a Python bytes literal.
            text = re.sub(r"^Bad status: \d+ \((?:b?(['\"]))?(.*?)\1?\)$", r"\2", one_line(exc))
            mechanism = self._config.auth.mechanism
            raise UntrustedError(f"impala.auth: {mechanism} authentication failed: {text}", hint=hint) from exc

    def _execute(self, sql: str, options: Mapping[str, str]) -> list[Row]:
        self._open()
        self._operation = self._session.execute(sql, dict(options) or None, run_async=True)
        self._wait_for_end()
        return list(self._rows())

    def _version(self) -> str:
        self._open()
        asked = TGetInfoReq(sessionHandle=self._session.handle, infoType=TGetInfoType.CLI_DBMS_VER)
        answer = self._session.client.GetInfo(asked)
        return answer.infoValue.stringValue or "" if answer.infoValue else ""

    def _wait_for_end(self) -> None:
        began = time.monotonic()
        while True:
            answer = self._operation.get_state()
            state = TOperationState._VALUES_TO_NAMES.get(answer.operationState, "an unknown state")
            if state == "FINISHED_STATE":
                return
            if state == "ERROR_STATE":
                raise RejectedError(answer.errorMessage or "the statement failed, it does not say why")
            if state not in _EXECUTING:
                raise NoAnswerError(f"the statement did not finish, it ended in {state}")
            time.sleep(min(LONGEST_POLL_S, max(SHORTEST_POLL_S, (time.monotonic() - began) / 10)))

    def _rows(self) -> Iterator[Row]:
        columns = self._operation.get_result_schema()
        more = columns is not None
        while more:
            batch = self._operation.fetch(columns, max_rows=FETCH_ROWS)
            yield from batch
            more = batch.expect_more_rows

    def _cut_off(self) -> None:
        self._cut = True
        if self._kerberos is not None:
            self._kerberos.end()
        if self._socket is not None:
            with suppress(OSError):
                # SSLSocket.shutdown would first discard the TLS state that its reader is using.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _release(self) -> None:
        if self._kerberos is not None:
            self._kerberos.close()
        if self._socket is not None:
            self._socket.close()


@contextmanager
def _translated() -> Iterator[None]:
    """Turns exceptions of impyla, thrift and the socket into NoAnswerError and RejectedError."""
    try:
        yield
    except (NoAnswerError, RejectedError):
        raise
    except (ImpylaError, TApplicationException) as exc:
        raise RejectedError(str(exc) or type(exc).__name__) from exc
    except (TTransportException, OSError) as exc:
        raise NoAnswerError(one_line(getattr(exc, "inner", None) or exc)) from exc
    except Exception as exc:  # impyla and thrift may raise anything on an answer that they cannot parse
        raise NoAnswerError(f"an answer that is not Impala's ({type(exc).__name__}: {one_line(exc)})") from exc


def _refuse_to_reconnect() -> None:
    raise NoAnswerError("the connection was lost")
