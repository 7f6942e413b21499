"""
Sessions and operations: the HiveServer2 calls that impyla uses.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from impala._thrift_gen.ImpalaService.ttypes import TCloseImpalaOperationResp
from impala._thrift_gen.TCLIService import ttypes as hs2

from devtools.impala_double.cache import AnalysisError, CoordinatorCache, QueryError
from devtools.impala_double.queries import Result
from devtools.impala_double.results import row_set, schema
from devtools.impala_double.statements import build_version, execute


@dataclass(frozen=True)
class Received:
    """A statement as it arrived: its text, its own query options, and the session that sent it."""

    sql: str
    options: Mapping[str, str]
    session: str


@dataclass
class _Operation:
    statement: str
    session: str
    state: str = "FINISHED_STATE"
    error: str = ""
    result: Optional[Result] = None
    fetched: bool = False


@dataclass
class Journal:
    """
    What clients have done so far.

    It has statements, calls in order, users that sessions were opened for, names proved over SASL, and the sessions and
    operations that are still open.
    """

    statements: list[Received] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    authenticated: list[str] = field(default_factory=list)
    open_sessions: set[str] = field(default_factory=set)
    open_operations: set[str] = field(default_factory=set)


_OK = hs2.TStatus(statusCode=hs2.TStatusCode.SUCCESS_STATUS)


def error_status(message: str) -> Any:
    return hs2.TStatus(statusCode=hs2.TStatusCode.ERROR_STATUS, sqlState="HY000", errorMessage=message)


def _invalid_handle(request: Any) -> Any:
    handle = _key(request.operationHandle.operationId)
    return error_status(f"Invalid or unknown query handle: {handle[:16]}:{handle[16:]}.")


def _identifier() -> Any:
    return hs2.THandleIdentifier(guid=uuid.uuid4().bytes, secret=uuid.uuid4().bytes)


def _key(identifier: Any) -> str:
    return str(identifier.guid.hex())


class Service:
    """
    Executes the calls. Each method is one of HiveServer2's: it takes the request and returns the response.
    """

    def __init__(self, cache: CoordinatorCache, journal: Journal, version: str) -> None:
        self._cache = cache
        self._version = version
        self._journal = journal
        self._lock = threading.Lock()
        self._operations: dict[str, _Operation] = {}

    def statement_of(self, request: Any) -> str:
        """Returns the statement that a call is about, or an empty string."""
        if hasattr(request, "statement"):
            return str(request.statement)
        handle = getattr(request, "operationHandle", None)
        operation = self._operations.get(_key(handle.operationId)) if handle else None
        return operation.statement if operation else ""

    def OpenSession(self, request: Any) -> Any:  # noqa: N802
        identifier = _identifier()
        with self._lock:
            self._journal.open_sessions.add(_key(identifier))
            self._journal.users.append(request.username or "")
        return hs2.TOpenSessionResp(
            status=_OK,
            serverProtocolVersion=hs2.TProtocolVersion.HIVE_CLI_SERVICE_PROTOCOL_V6,
            sessionHandle=hs2.TSessionHandle(sessionId=identifier),
            configuration={},
        )

    def CloseSession(self, request: Any) -> Any:  # noqa: N802
        session = _key(request.sessionHandle.sessionId)
        with self._lock:
            self._journal.open_sessions.discard(session)
            left = [key for key, operation in self._operations.items() if operation.session == session]
            for key in left:
                del self._operations[key]
                self._journal.open_operations.discard(key)
        return hs2.TCloseSessionResp(status=_OK)

    def GetInfo(self, request: Any) -> Any:  # noqa: N802
        told = {
            hs2.TGetInfoType.CLI_SERVER_NAME: "Impala",
            hs2.TGetInfoType.CLI_DBMS_NAME: "Impala",
            hs2.TGetInfoType.CLI_DBMS_VER: build_version(self._version),
        }
        if request.infoType not in told:
            return hs2.TGetInfoResp(status=error_status("Unsupported operation"))
        return hs2.TGetInfoResp(status=_OK, infoValue=hs2.TGetInfoValue(stringValue=told[request.infoType]))

    def ExecuteStatement(self, request: Any) -> Any:  # noqa: N802
        session = _key(request.sessionHandle.sessionId)
        operation = _Operation(request.statement, session)
        with self._lock:
            options = dict(request.confOverlay or {})
            self._journal.statements.append(Received(request.statement, options, session))
            if session not in self._journal.open_sessions:
                return hs2.TExecuteStatementResp(status=error_status(f"Invalid session id: {session}"))
            try:
                operation.result = execute(self._cache, request.statement, self._version, options)
            except AnalysisError as exc:
                return hs2.TExecuteStatementResp(status=error_status(str(exc)))
            except QueryError as exc:
                operation.state, operation.error = "ERROR_STATE", str(exc)
            identifier = _identifier()
            self._operations[_key(identifier)] = operation
            self._journal.open_operations.add(_key(identifier))
        handle = hs2.TOperationHandle(
            operationId=identifier,
            operationType=hs2.TOperationType.EXECUTE_STATEMENT,
            hasResultSet=operation.result is not None,
        )
        return hs2.TExecuteStatementResp(status=_OK, operationHandle=handle)

    def GetOperationStatus(self, request: Any) -> Any:  # noqa: N802
        operation = self._operation(request)
        if operation is None:
            return hs2.TGetOperationStatusResp(status=_invalid_handle(request))
        return hs2.TGetOperationStatusResp(
            status=_OK,
            operationState=hs2.TOperationState._NAMES_TO_VALUES[operation.state],
            errorMessage=operation.error or None,
            hasResultSet=operation.result is not None,
        )

    def GetResultSetMetadata(self, request: Any) -> Any:  # noqa: N802
        operation = self._operation(request)
        if operation is None or operation.result is None:
            return hs2.TGetResultSetMetadataResp(status=_invalid_handle(request))
        return hs2.TGetResultSetMetadataResp(status=_OK, schema=schema(operation.result))

    def FetchResults(self, request: Any) -> Any:  # noqa: N802
        operation = self._operation(request)
        if operation is None or operation.result is None:
            return hs2.TFetchResultsResp(status=_invalid_handle(request))
        rows = () if operation.fetched else operation.result.rows
        operation.fetched = True
        return hs2.TFetchResultsResp(status=_OK, hasMoreRows=bool(rows), results=row_set(operation.result, rows))

    def GetLog(self, request: Any) -> Any:  # noqa: N802
        return hs2.TGetLogResp(status=_OK, log="")

    def CancelOperation(self, request: Any) -> Any:  # noqa: N802
        return hs2.TCancelOperationResp(status=_OK)

    def CloseOperation(self, request: Any) -> Any:  # noqa: N802
        self._close(request)
        return hs2.TCloseOperationResp(status=_OK)

    def CloseImpalaOperation(self, request: Any) -> Any:  # noqa: N802
        self._close(request)
        return TCloseImpalaOperationResp(status=_OK)

    def _operation(self, request: Any) -> Optional[_Operation]:
        return self._operations.get(_key(request.operationHandle.operationId))

    def _close(self, request: Any) -> None:
        key = _key(request.operationHandle.operationId)
        with self._lock:
            self._operations.pop(key, None)
            self._journal.open_operations.discard(key)
