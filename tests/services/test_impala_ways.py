from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from devtools.impala_double import DROP, HANG
from tests.support.refreshers import REFRESH, REFRESH_DAY, SYNC, received
from tests.support.ways import WAYS, Way, way
from traffic_aggr.config.config import RetryConfig
from traffic_aggr.errors import ImpalaUnavailableError

pytestmark = pytest.mark.usefixtures("no_thread_left_behind")

COUNT = "SELECT COUNT(*) FROM mnaas.final"
ONCE = RetryConfig(attempts=1)
SLACK_S = 20.0
"""How late a limit may be noticed on a busy machine."""


@pytest.fixture(params=WAYS)
def by(request: pytest.FixtureRequest) -> Way:
    return way(request.param, request)


def test_a_batch_goes_over_one_session_with_sync_ddl_on_its_last_statement(by: Way) -> None:
    double = by.start()
    sent = by.ask(double.port, sync_ddl=True).execute([REFRESH, REFRESH, REFRESH_DAY])
    assert received(double) == [REFRESH, REFRESH, REFRESH_DAY]
    assert [statement.options for statement in double.journal.statements] == [{}, {}, SYNC]
    assert [one.query_options for one in sent] == [{}, {}, SYNC]
    assert double.journal.calls.count("OpenSession") == 1
    assert not double.journal.open_sessions


def test_a_query_is_answered(by: Way) -> None:
    assert by.ask(by.start().port).query(COUNT) == [(0,)]


def each_way_at(*points: str) -> pytest.MarkDecorator:
    """Every way with each of the points that it passes."""
    table = [(name, point) for name in WAYS for point in points if (name, point) != ("NOSASL", "sasl")]
    return pytest.mark.parametrize(("by", "point"), table, indirect=["by"])


@each_way_at("connect", "sasl", "OpenSession", "ExecuteStatement", "GetOperationStatus")
def test_a_connection_that_is_lost_is_made_again(by: Way, point: str) -> None:
    double = by.start()
    double.plan(point, DROP)
    (sent,) = by.ask(double.port).execute([REFRESH])
    assert (sent.attempts, sent.outcome) == (2, "ok")


# A server that falls silent


def took(began: float, by: Way) -> bool:
    """Whether the limit has passed, and not the default limit of half a minute."""
    return by.patience_s - 0.1 <= time.monotonic() - began < by.patience_s + SLACK_S


@each_way_at("connect", "sasl", "OpenSession", "ExecuteStatement", "GetOperationStatus", "FetchResults")
def test_the_limit_holds_wherever_the_server_falls_silent(by: Way, point: str) -> None:
    double = by.start()
    double.plan(point, HANG, times=None)
    began = time.monotonic()
    with pytest.raises(ImpalaUnavailableError, match="no answer within"):
        by.ask(double.port, timeout_s=by.patience_s, retry=ONCE).query(COUNT)
    assert took(began, by)
    reached = double.journal.calls[-1] if double.journal.calls else None
    assert reached == (None if point in ("connect", "sasl") else point)
    assert bool(double.journal.authenticated) == (by.sasl and reached is not None)


@pytest.mark.parametrize("point", ["CloseImpalaOperation", "CloseSession"])
def test_a_server_that_falls_silent_at_the_end_fails_nothing(by: Way, point: str) -> None:
    double = by.start()
    double.plan(point, HANG)
    began = time.monotonic()
    (sent,) = by.ask(double.port, timeout_s=by.patience_s).execute([REFRESH])
    assert (sent.attempts, sent.outcome) == (1, "ok")
    assert took(began, by)


@pytest.fixture
def never_accepting() -> Iterator[int]:
    """A port whose queue is full: a connection to it is neither accepted nor refused."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_the_limit_holds_where_nobody_accepts(by: Way, never_accepting: int) -> None:
    began = time.monotonic()
    with pytest.raises(ImpalaUnavailableError, match=r"no answer within|timed out"):
        by.ask(never_accepting, timeout_s=by.patience_s, retry=ONCE).execute([REFRESH])
    assert took(began, by)
