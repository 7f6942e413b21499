from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from devtools.impala_double import EndIn, ImpalaDouble
from tests.support.load_balancer import LoadBalancer
from tests.support.refreshers import REFRESH, REFRESH_DAY, Waits, received
from tests.support.ways import Way, way
from traffic_aggr.errors import ImpalaUnavailableError

pytestmark = pytest.mark.usefixtures("no_thread_left_behind")

IDLE_S = 1.0
"""More than what a busy machine may need to start a process or shake hands."""

STAGE_S = 2 * IDLE_S
COUNT = "SELECT COUNT(*) FROM mnaas.final"

Balance = Callable[..., LoadBalancer]


@pytest.fixture(params=["NOSASL", "LDAP+TLS", "GSSAPI+TLS"])
def by(request: pytest.FixtureRequest) -> Way:
    return way(request.param, request)


@pytest.fixture
def balance() -> Iterator[Balance]:
    """Starts a load balancer before coordinators; takes LoadBalancer's keywords."""
    with ExitStack() as running:

        def start(*doubles: ImpalaDouble, resets: bool = False) -> LoadBalancer:
            ports = [double.port for double in doubles]
            return running.enter_context(LoadBalancer(ports, idle_s=IDLE_S, resets=resets))

        yield start


in_both_manners = pytest.mark.parametrize("resets", [False, True], ids=["in silence", "by a reset"])


def slow_once(seconds: float) -> Callable[[str], bool]:
    """For a fault's ``when``: no fault, but the first call waits; in which nothing goes over the connection."""
    calls: list[str] = []

    def wait(statement: str) -> bool:
        calls.append(statement)
        if len(calls) == 1:
            time.sleep(seconds)
        return False

    return wait


@in_both_manners
def test_a_long_stage_between_two_batches_meets_no_dead_connection(by: Way, balance: Balance, resets: bool) -> None:
    first, second = by.start(), by.start()
    balancer = balance(first, second, resets=resets)
    waits = Waits()
    asking = by.ask(balancer.port, injected={"sleep": waits})
    (before,) = asking.execute([REFRESH])
    time.sleep(STAGE_S)
    (after,) = asking.execute([REFRESH_DAY])
    assert (before.attempts, after.attempts) == (1, 1)
    assert waits == []
    assert (received(first), received(second)) == ([REFRESH], [REFRESH_DAY])
    assert (balancer.accepted, balancer.forgotten) == (2, 0)


@in_both_manners
def test_a_connection_forgotten_within_a_batch_is_replaced(by: Way, balance: Balance, resets: bool) -> None:
    first, second = by.start(), by.start()
    first.plan("ExecuteStatement", EndIn("FINISHED_STATE"), when=slow_once(STAGE_S))
    balancer = balance(first, second, resets=resets)
    sent = by.ask(balancer.port, timeout_s=by.patience_s + STAGE_S).execute([REFRESH, REFRESH_DAY])
    assert [(one.attempts, one.outcome) for one in sent] == [(2, "ok"), (1, "ok")]
    assert received(second) == [REFRESH, REFRESH_DAY]
    assert balancer.forgotten == 1


def test_a_statement_that_is_polled_for_long_is_not_idle(by: Way, balance: Balance) -> None:
    double = by.start()
    double.plan("GetOperationStatus", EndIn("RUNNING_STATE"), times=35)
    balancer = balance(double)
    began = time.monotonic()
    (sent,) = by.ask(balancer.port).execute([REFRESH])
    assert sent.attempts == 1
    assert time.monotonic() - began > IDLE_S
    assert balancer.forgotten == 0


def test_coordinators_that_are_all_down_end_after_the_attempts(by: Way, balance: Balance) -> None:
    double = by.start()
    balancer = balance(double)
    double.refuse()
    with pytest.raises(ImpalaUnavailableError, match="3 attempts"):
        by.ask(balancer.port).execute([REFRESH])
    assert balancer.accepted == 3


def test_a_query_after_a_batch_may_reach_another_coordinator(by: Way, balance: Balance) -> None:
    first, second = by.start(), by.start()
    asking = by.ask(balance(first, second).port, sync_ddl=True)
    asking.execute([REFRESH])
    asking.query(COUNT)
    assert (received(first), received(second)) == ([REFRESH], [COUNT])
