"""
Impala brought up to date, by batches of REFRESH and INVALIDATE METADATA, and asked what it sees (contract: "Impala").
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
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Callable, Optional

from traffic_aggr.config.config import HostPort, ImpalaConfig
from traffic_aggr.errors import ImpalaError, ImpalaRejectedError, ImpalaUnavailableError
from traffic_aggr.hive.sql import SEVERAL_PARTITIONS_SINCE, refreshes_together
from traffic_aggr.impala.answers import Kind, refreshes_before
from traffic_aggr.impala.kerberos_login import KerberosLogin
from traffic_aggr.impala.outcomes import NoAnswerError, RejectedError, UntrustedError
from traffic_aggr.impala.route import ImpalaRoute
from traffic_aggr.impala.security import check_mechanism, tls_context
from traffic_aggr.impala.session import ImpalaSession, Row
from traffic_aggr.text import shown
from traffic_aggr.units import counted

log = logging.getLogger(__name__)

CLOSE_LIMIT_S = 5.0
"""Longest wait for the end of an operation or session whose outcome is known already."""

PROBE_LIMIT_S = 20.0
"""Longest wait for a host when each is tried once for itself."""

STATEMENT_CHARACTERS = 160
NO_OPTIONS: Mapping[str, str] = MappingProxyType({})

_REFRESH = re.compile(r"\s*REFRESH\s+(\S+)", re.IGNORECASE)
_VERSION = re.compile(r"\bversion (\d+)\.(\d+)")


@dataclass(frozen=True)
class SentStatement:
    """
    A statement as the run record keeps it.

    ``host`` is the last one tried, ``started`` the first attempt (UTC, ISO 8601), ``seconds`` the time from then to the
    outcome, waits included. ``outcome`` is ``ok``, ``rejected: …`` or ``failed: …``.
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

    With Kerberos it shows them a ticket of ``login``, or of the user's own ticket cache where there is none.
    Attempts and deadline are counted for each statement of a batch by itself; neither a change of host nor the
    INVALIDATE METADATA that takes the place of a REFRESH starts the count again. A query that fails on stale metadata
    is sent again after a REFRESH. ``sleep`` waits between attempts, ``clock`` (seconds) measures the deadline,
    ``random`` (0 to 1) spreads the waits. ``checkpoint`` is called twice a second while an answer is awaited; what it
    raises ends the wait.

    Raises ConfigError when TLS is on without any authority to verify by, or Kerberos is on and not installed.
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
        Send a batch of idempotent statements over one connection, in order, and return what was sent.

        After a lost connection, or an error answer that passes, the batch goes on, on the next host, with the statement
        that was not carried out. A REFRESH of a table that Impala does not know, or failed to load, is replaced by one
        INVALIDATE METADATA of it. REFRESHes of several partitions are sent as one where the coordinator's version takes
        that. With ``sync_ddl`` the last statement returns when every coordinator knows of all of them.

        Raises ImpalaRejectedError (also for a certificate that cannot be verified and for failed authentication) and
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
        The rows of a query with its own query ``options``, decimals as Decimal; ``sent`` gets what was sent.

        Asked of the coordinator that executed the last batch, since another may not know of it yet; of any in turn when
        ``sync_ddl`` makes sure that all do. Raises as ``execute`` does.
        """
        pinned = self._coordinator is not None and not self._config.sync_ddl
        with self._route(self._hosts()[: 1 if pinned else None]) as route:
            return self._send(route, sql, options, [] if sent is None else sent)

    def probe(self) -> None:
        """Open and close a session on any host. Raises as ``execute`` does."""
        with self._route(self._hosts()) as route:
            route.answered("opening a session", lambda: route.session().open(self._config.timeout_s))

    def probe_each(self) -> list[tuple[HostPort, Optional[ImpalaError]]]:
        """Open and close a session on each host, one try each: what is wrong with it, or None."""
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
        """All hosts in turn, beginning with the one that executed the last batch."""
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
        except BaseException:  # a signal: leave without waiting for anyone
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
                refused = exc.__cause__
                if len(parts) == 1 or not isinstance(refused, RejectedError) or refused.trouble.kind is not Kind.SYNTAX:
                    raise
                # Another coordinator than was asked, or a build from before its version was complete.
                one_by_one = counted(len(parts), "statement")
                log.warning("%s takes one partition in a REFRESH; sending %s", route.host, one_by_one)
                several = False
                pending.appendleft((statement, parts))

    def _takes_several_partitions(self, route: ImpalaRoute) -> bool:
        """Whether several PARTITION clauses may stand in one REFRESH; where that cannot be found out, they may not."""
        try:
            said = route.session().version(min(PROBE_LIMIT_S, self._config.timeout_s))
        except (NoAnswerError, RejectedError) as exc:
            log.info("%s does not say its version (%s)", route.host, exc)
            route.abandon()
            return False
        version = _VERSION.search(said)
        return version is not None and (int(version[1]), int(version[2])) >= SEVERAL_PARTITIONS_SINCE

    def _send(self, route: ImpalaRoute, sql: str, options: Mapping[str, str], sent: list[SentStatement]) -> list[Row]:
        """Send one statement of a batch until it is carried out, and add to ``sent`` what became of it."""
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
        """Send what a query needs, once. An error becomes the query's, and says which statement it is of."""
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
        """One attempt. A REFRESH that needs an INVALIDATE METADATA in its place becomes that, for all further ones."""

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
    """A statement on its way, from its first attempt on."""

    def __init__(self, sql: str, options: dict[str, str], clock: Callable[[], float]) -> None:
        self.options = options
        self._clock = clock
        self.become(sql)

    def become(self, sql: str) -> None:
        """Begin anew with another statement."""
        self.sql = sql
        self.attempts = 0
        self._began = self._clock()
        self._started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")

    def ended(self, host: HostPort, outcome: str) -> SentStatement:
        seconds = round(self._clock() - self._began, 3)
        return SentStatement(self.sql, str(host), self.attempts, self._started, seconds, self.options, outcome)
