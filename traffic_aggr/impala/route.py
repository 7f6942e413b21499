"""
Tries the coordinators in turn, with exponential backoff, until one answers (contract: "Impala").
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import Callable, Optional, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception

from traffic_aggr.config.config import HostPort, RetryConfig
from traffic_aggr.errors import ImpalaRejectedError, ImpalaUnavailableError
from traffic_aggr.impala.outcomes import NoAnswerError, RejectedError, UntrustedError
from traffic_aggr.impala.session import ImpalaSession
from traffic_aggr.units import counted

log = logging.getLogger(__name__)

T = TypeVar("T")


class ImpalaRoute:
    """
    The session of a batch. It stays on one of ``hosts`` until an attempt there fails, then moves to the next.

    ``connect`` makes a session, which opens itself when first used. Creating a route sends nothing.
    """

    def __init__(
        self,
        hosts: Sequence[HostPort],
        connect: Callable[[HostPort], ImpalaSession],
        *,
        close_limit_s: float,
        retry: RetryConfig,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._hosts = hosts
        self._turns = 0
        self._tried: dict[HostPort, None] = {}
        self._connect = connect
        self._close_limit_s = close_limit_s
        self._retry = retry
        self._sleep = sleep
        self._clock = clock
        self._random = random
        self._session: Optional[ImpalaSession] = None

    @property
    def host(self) -> HostPort:
        """The current host: the last one tried, or the next after a failed attempt."""
        return self._hosts[self._turns % len(self._hosts)]

    def session(self) -> ImpalaSession:
        """Returns the session on the current host, a new one if the last was closed or abandoned."""
        if self._session is None:
            self._session = self._connect(self.host)
            self._tried[self.host] = None
        return self._session

    def answered(self, what: str, attempt: Callable[[], T]) -> T:
        """
        Calls ``attempt`` until it succeeds, moving to the next host each time; ``what`` names it in messages.

        Raises ImpalaRejectedError at once for an error that a retry cannot fix. Raises ImpalaUnavailableError when
        ``retry.attempts`` are used up or the next attempt would start after ``retry.deadline_s``.
        """
        began = self._clock()

        @functools.cache
        def pause(attempt_number: int) -> float:
            longest: float = min(self._retry.max_wait_s, self._retry.initial_wait_s * 2.0 ** (attempt_number - 1))
            return longest * (1 + self._random()) / 2

        def give_up(state: RetryCallState) -> bool:
            late = self._clock() - began + pause(state.attempt_number) > self._retry.deadline_s
            return late or state.attempt_number >= self._retry.attempts

        def turn(state: RetryCallState) -> None:
            reason = state.outcome.exception() if state.outcome else None
            failed = self.host
            self._turn()
            wait = f"trying {self.host} in {pause(state.attempt_number):.1f} s"
            attempts = f"attempt {state.attempt_number + 1} of {self._retry.attempts}"
            outcome = "not carried out by" if isinstance(reason, RejectedError) else "no answer from"
            log.warning("%s: %s %s: %s; %s, %s", what, outcome, failed, reason, wait, attempts)

        def tried() -> str:
            return f"{counted(retrying.statistics['attempt_number'], 'attempt')} on {', '.join(map(str, self._tried))}"

        retrying = Retrying(
            sleep=self._sleep,
            stop=give_up,
            wait=lambda state: pause(state.attempt_number),
            retry=retry_if_exception(_passes),
            before_sleep=turn,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except UntrustedError as exc:
            raise ImpalaRejectedError(f"{what} was not sent to {self.host}: {exc}", hint=exc.hint) from exc
        except RejectedError as exc:
            hint = exc.trouble.advice
            if not exc.trouble.passes:
                raise ImpalaRejectedError(f"Impala ({self.host}) refused {what}: {exc}", hint=hint) from exc
            raise ImpalaUnavailableError(
                f"Impala could not carry out {what}: {tried()}, the last answer, from {self.host}: {exc}", hint=hint
            ) from exc
        except NoAnswerError as exc:
            raise ImpalaUnavailableError(
                f"Impala did not answer {what}: {tried()}, the last one: {exc}",
                hint="The command check shows which of impala.hosts answer",
            ) from exc

    def close_operation(self) -> None:
        """Closes the finished statement. An error here costs the session, not the statement."""
        try:
            self.session().close_operation(self._close_limit_s)
        except (NoAnswerError, RejectedError) as exc:
            log.info("%s did not close a finished statement (%s); the next gets a new session", self.host, exc)
            self.abandon()

    def close(self) -> None:
        """Closes the session, if there is one."""
        if self._session is not None:
            self._session.close(self._close_limit_s)
            self._session = None

    def abandon(self) -> None:
        """Drops the session, if there is one, without telling the coordinator."""
        if self._session is not None:
            self._session.abandon()
            self._session = None

    def _turn(self) -> None:
        self.close()  # a coordinator that has answered keeps the session until it is closed
        self._turns += 1


def _passes(error: BaseException) -> bool:
    return isinstance(error, NoAnswerError) or (isinstance(error, RejectedError) and error.trouble.passes)
