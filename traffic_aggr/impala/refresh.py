"""
Sends Impala batches of REFRESH and INVALIDATE METADATA, and queries what it sees (contract: "Impala").
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Callable, Optional

from traffic_aggr.clock import timestamp
from traffic_aggr.config.config import HostPort, ImpalaConfig
from traffic_aggr.errors import ImpalaError, ImpalaRejectedError, ImpalaUnavailableError
from traffic_aggr.hive.sql import SEVERAL_PARTITIONS_SINCE, refreshes_together
from traffic_aggr.impala.answers import Kind, refreshes_before
from traffic_aggr.impala.kerberos_login import KerberosLogin
from traffic_aggr.impala.outcomes import NoAnswerError, RejectedError, UntrustedError, was_rejected_as
from traffic_aggr.impala.route import ImpalaRoute
from traffic_aggr.impala.security import check_mechanism, tls_context
from traffic_aggr.impala.session import ImpalaSession, Row
from traffic_aggr.text import shown
from traffic_aggr.units import counted

log = logging.getLogger(__name__)

CLOSE_LIMIT_S = 5.0
"""Longest wait for closing an operation or session whose outcome is already known."""

PROBE_LIMIT_S = 20.0
"""Longest wait for a host in ``probe_each``, and for a coordinator's version."""

STATEMENT_CHARACTERS = 160
NO_OPTIONS: Mapping[str, str] = MappingProxyType({})

_REFRESH = re.compile(r"\s*REFRESH\s+(\S+)", re.IGNORECASE)
_VERSION = re.compile(r"\bversion (\d+)\.(\d+)")


@dataclass(frozen=True)
class SentStatement:
    """
    A statement as the run record keeps it.

    ``host`` is the last host tried, ``started`` when the first attempt began (UTC, ISO 8601), ``seconds`` the time from
    then to the outcome, waits included. ``outcome`` is ``ok``, ``rejected: …`` or ``failed: …``.
    """

    sql: str
    host: str
    attempts: int
    started: str
    seconds: float
    query_options: dict[str, str]
    outcome: str


class ImpalaRefresher:
    """
    Sends statements to the coordinators of ``config.hosts``.

    With Kerberos it authenticates with ``login``, or with the user's ticket cache when ``login`` is None.
    Each statement of a batch has its own attempts and deadline. Neither a change of host nor the INVALIDATE METADATA
    that replaces a REFRESH restarts them. A query that fails on stale metadata is sent again after a REFRESH.
    ``sleep`` waits between attempts, ``clock`` (seconds) measures the deadline, ``random`` (0 to 1) spreads the waits.
    ``checkpoint`` is called twice a second while the session waits for an answer; an exception from it ends the wait.

    Raises ConfigError when TLS is on without certificate authorities, or when Kerberos is on but not installed.
    """

    def __init__(
        self,
        config: ImpalaConfig,
        password: Optional[str],
        *,
        login: Optional[KerberosLogin] = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._password = password
        self._login = login
        self._sleep = sleep
        self._clock = clock
        self._random = random
        self._checkpoint = checkpoint
        check_mechanism(config.auth.mechanism)
        self._tls = tls_context(config.tls) if config.tls.enabled else None
        self._coordinator: Optional[HostPort] = None

    def execute(self, statements: Sequence[str]) -> list[SentStatement]:
        """
        Sends a batch of idempotent statements over one connection, in order, and returns what was sent.

        After a lost connection or a retryable error, the batch continues on the next host with the statement that
        failed. INVALIDATE METADATA replaces a REFRESH of a table that Impala does not know or failed to load. REFRESHes
        of several partitions are combined into one when the coordinator's version supports that. With ``sync_ddl`` the
        last statement returns once every coordinator has seen the whole batch.

        Raises ImpalaRejectedError (also for an unverifiable certificate and for failed authentication) and
        ImpalaUnavailableError. Their ``sent`` holds the statements so far, the failed one last.
        """
        sent: list[SentStatement] = []
        if not statements:
            return sent
        with self._route(self._hosts()) as route:
            self._send_batch(route, statements, sent)
        self._coordinator = route.host
        return sent

    def query(
        self, sql: str, options: Mapping[str, str] = NO_OPTIONS, sent: Optional[list[SentStatement]] = None
    ) -> list[Row]:
        """
        Returns the rows of a query with its own query ``options``, decimals as Decimal; appends to ``sent``.

        Goes only to the coordinator that executed the last batch, since another may not have seen that batch yet. With
        ``sync_ddl`` all have seen it, so the query tries the hosts in turn. Raises as ``execute`` does.
        """
        pinned = self._coordinator is not None and not self._config.sync_ddl
        with self._route(self._hosts()[: 1 if pinned else None]) as route:
            return self._send(route, sql, options, [] if sent is None else sent)

    def probe(self) -> None:
        """Opens and closes a session on the first host that answers. Raises as ``execute`` does."""
        with self._route(self._hosts()) as route:
            route.answered("opening a session", lambda: route.session().open(self._config.timeout_s))

    def probe_each(self) -> list[tuple[HostPort, Optional[ImpalaError]]]:
        """Opens and closes a session on each host, without retries; returns each host with its error or None."""
        return [(host, self._probe_once(host)) for host in self._config.hosts]

    def _probe_once(self, host: HostPort) -> Optional[ImpalaError]:
        try:
            with self._route([host]) as route:
                route.session().open(min(PROBE_LIMIT_S, self._config.timeout_s))
        except UntrustedError as exc:
            return ImpalaRejectedError(str(exc), hint=exc.hint)
        except RejectedError as exc:
            return ImpalaRejectedError(str(exc), hint="Check impala.hosts")
        except NoAnswerError as exc:
            return ImpalaUnavailableError(str(exc), hint="Check impala.hosts")
        return None

    def _hosts(self) -> list[HostPort]:
        """Returns all hosts in turn, starting with the one that executed the last batch."""
        hosts = list(self._config.hosts)
        first = hosts.index(self._coordinator) if self._coordinator is not None else 0
        return hosts[first:] + hosts[:first]

    @contextmanager
    def _route(self, hosts: Sequence[HostPort]) -> Iterator[ImpalaRoute]:
        route = ImpalaRoute(
            hosts,
            lambda host: ImpalaSession(self._config, self._password, self._login, self._tls, host, self._checkpoint),
            close_limit_s=min(CLOSE_LIMIT_S, self._config.timeout_s),
            retry=self._config.retry,
            sleep=self._sleep,
            clock=self._clock,
            random=self._random,
        )
        try:
            yield route
        except ImpalaError:
            route.close()
            raise
        except BaseException:  # a signal: leave without waiting for the coordinator
            route.abandon()
            raise
        route.close()

    def _send_batch(self, route: ImpalaRoute, statements: Sequence[str], sent: list[SentStatement]) -> None:
        pending = deque(refreshes_together(statements))
        several: Optional[bool] = None
        while pending:
            statement, parts = pending.popleft()
            if len(parts) > 1 and several is None:
                several = self._takes_several_partitions(route)
            if len(parts) > 1 and not several:
                pending.extendleft((part, [part]) for part in reversed(parts))
                continue
            options = {"SYNC_DDL": "true"} if self._config.sync_ddl and not pending else {}
            try:
                self._send(route, statement, options, sent)
            except ImpalaRejectedError as exc:
                if len(parts) == 1 or not was_rejected_as(exc, Kind.SYNTAX):
                    raise
                # The route has moved to another coordinator, or the build predates its version's release.
                one_by_one = counted(len(parts), "statement")
                log.warning("%s takes one partition in a REFRESH; sending %s", route.host, one_by_one)
                several = False
                pending.appendleft((statement, parts))

    def _takes_several_partitions(self, route: ImpalaRoute) -> bool:
        """Whether the coordinator takes several PARTITION clauses in one REFRESH; False when it does not say."""
        try:
            said = route.session().version(min(PROBE_LIMIT_S, self._config.timeout_s))
        except (NoAnswerError, RejectedError) as exc:
            log.info("%s does not say its version (%s)", route.host, exc)
            route.abandon()
            return False
        version = _VERSION.search(said)
        return version is not None and (int(version[1]), int(version[2])) >= SEVERAL_PARTITIONS_SINCE

    def _send(self, route: ImpalaRoute, sql: str, options: Mapping[str, str], sent: list[SentStatement]) -> list[Row]:
        """Sends one statement until it succeeds or is given up, and appends its outcome to ``sent``."""
        sending = _Sending(sql, dict(options), self._clock)
        stale: list[SentStatement] = []
        refreshes: list[str] = []
        refreshed = 0

        def attempt() -> list[Row]:
            nonlocal refreshes, refreshed
            if stale:
                sent.append(stale.pop())
                sending.become(sql)
            if refreshes:
                self._refresh_before(route, refreshes, sent)
                refreshes, refreshed = [], refreshed + 1
            try:
                return self._carried_out(route, sending, sent)
            except RejectedError as exc:
                if exc.trouble.kind in (Kind.STALE, Kind.BROKEN):
                    refreshes = refreshes_before(sql, exc.said, refreshed)
                if refreshes:
                    stale.append(sending.ended(route.host, f"rejected: {exc}"))
                raise

        try:
            rows = route.answered(shown(sql, STATEMENT_CHARACTERS), attempt)
        except ImpalaError as exc:
            outcome = "rejected" if isinstance(exc, ImpalaRejectedError) else "failed"
            if sending.attempts:
                sent.append(sending.ended(route.host, f"{outcome}: {exc.__cause__}"))
            exc.sent = tuple(sent)
            raise
        sent.append(sending.ended(route.host, "ok"))
        route.close_operation()
        return rows

    def _refresh_before(self, route: ImpalaRoute, refreshes: Sequence[str], sent: list[SentStatement]) -> None:
        """Sends the ``refreshes`` that a query needs, once. A RejectedError names the statement that it is about."""
        statements = shown("; ".join(refreshes), STATEMENT_CHARACTERS)
        log.warning("%s has stale metadata; sending %s first", route.host, statements)
        for refresh in refreshes:
            sending = _Sending(refresh, {}, self._clock)
            try:
                self._carried_out(route, sending, sent)
            except RejectedError as exc:
                sent.append(sending.ended(route.host, f"rejected: {exc}"))
                raise RejectedError(f"{refresh}: {exc.said}") from exc
            except NoAnswerError as exc:
                sent.append(sending.ended(route.host, f"failed: {exc}"))
                raise
            sent.append(sending.ended(route.host, "ok"))
            route.close_operation()

    def _carried_out(self, route: ImpalaRoute, sending: _Sending, sent: list[SentStatement]) -> list[Row]:
        """Makes one attempt. A REFRESH that needs INVALIDATE METADATA becomes one, for later attempts too."""

        def execute() -> list[Row]:
            sending.attempts += 1
            return route.session().execute(sending.sql, sending.options, self._config.timeout_s)

        try:
            return execute()
        except RejectedError as exc:
            table = _REFRESH.match(sending.sql)
            if table is None or exc.trouble.kind not in (Kind.UNKNOWN, Kind.BROKEN):
                raise
            sent.append(sending.ended(route.host, f"rejected: {exc}"))
            why = "does not know" if exc.trouble.kind is Kind.UNKNOWN else "failed to load"
            log.warning("%s %s %s; sending INVALIDATE METADATA in place of REFRESH", route.host, why, table[1])
            sending.become(f"INVALIDATE METADATA {table[1]}")
            return execute()


class _Sending:
    """A statement being sent: its attempts and when they began."""

    def __init__(self, sql: str, options: dict[str, str], clock: Callable[[], float]) -> None:
        self.options = options
        self._clock = clock
        self.become(sql)

    def become(self, sql: str) -> None:
        """Starts over with another statement."""
        self.sql = sql
        self.attempts = 0
        self._began = self._clock()
        self._started = timestamp()

    def ended(self, host: HostPort, outcome: str) -> SentStatement:
        seconds = round(self._clock() - self._began, 3)
        return SentStatement(self.sql, str(host), self.attempts, self._started, seconds, self.options, outcome)
