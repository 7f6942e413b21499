"""Stopping on real signals, sent to this very process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from traffic_aggr.errors import Interrupted
from traffic_aggr.restate import signals as stop_module
from traffic_aggr.restate.signals import Stop

LONG_S = 60.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop_module, "_CANCEL_EVERY_S", 0.01)


@pytest.fixture
def stop() -> Iterator[Stop]:
    with Stop().listening() as stop:
        yield stop


def send(signum: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), signum)


def send_soon() -> None:
    timer = threading.Timer(0.05, send)
    timer.daemon = True
    timer.start()


def test_without_a_signal_nothing_happens(stop: Stop) -> None:
    stop.check()
    stop.sleep(0.001)
    assert not stop.wished
    assert stop.reason() is None


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_noticed_at_the_next_check_with_its_exit_code(stop: Stop, signum: int, code: int) -> None:
    send(signum)
    assert stop.wished
    with pytest.raises(Interrupted) as caught:
        stop.check()
    assert caught.value.exit_code == code


def test_a_signal_breaks_into_nothing_before_the_next_check(stop: Stop) -> None:
    done = []
    for number in range(3):
        send()
        done.append(number)
    assert done == [0, 1, 2]


def test_a_signal_is_raised_once_so_that_old_data_can_be_put_back(stop: Stop) -> None:
    send()
    with pytest.raises(Interrupted):
        stop.check()
    stop.check()
    send()
    stop.check()


def test_the_first_signal_is_the_reason(stop: Stop) -> None:
    send(signal.SIGTERM)
    send(signal.SIGINT)
    reason = stop.reason()
    assert reason is not None
    assert reason.exit_code == 143


def test_the_reason_stays_after_it_was_noticed(stop: Stop) -> None:
    send()
    with pytest.raises(Interrupted):
        stop.check()
    assert isinstance(stop.reason(), Interrupted)


def test_a_signal_ends_a_wait(stop: Stop) -> None:
    send_soon()
    with pytest.raises(Interrupted):
        stop.sleep(LONG_S)


def test_a_signal_from_before_a_wait_ends_it_too(stop: Stop) -> None:
    send()
    with pytest.raises(Interrupted):
        stop.sleep(LONG_S)


def test_after_the_signal_was_noticed_waits_are_waits_again(stop: Stop) -> None:
    send()
    with pytest.raises(Interrupted):
        stop.check()
    stop.sleep(0.001)


class Jobs:
    """What runs in Spark: counts how often it is cancelled; the first ``failing`` times that fails."""

    def __init__(self, failing: int = 0) -> None:
        self.cancelled = 0
        self.again = threading.Event()
        self._failing = failing

    def cancel(self) -> None:
        self.cancelled += 1
        if self.cancelled <= self._failing:
            raise ConnectionRefusedError("the JVM is gone")
        if self.cancelled > 1:
            self.again.set()


def cancellers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "_keep_cancelling" in thread.name]


def test_what_is_running_is_cancelled_again_and_again_until_a_check(stop: Stop) -> None:
    jobs = Jobs()
    stop.cancel = jobs.cancel
    send()
    assert jobs.again.wait(LONG_S)
    with pytest.raises(Interrupted):
        stop.check()
    for thread in cancellers():
        thread.join(LONG_S)
    cancelled = jobs.cancelled
    stop.sleep(0.05)
    assert jobs.cancelled == cancelled


def test_a_cancellation_that_fails_is_tried_again(stop: Stop) -> None:
    # Ctrl-C may take the JVM first: then a traceback of this thread would be all that the operator sees.
    jobs = Jobs(failing=1)
    stop.cancel = jobs.cancel
    send()
    assert jobs.again.wait(5)


def test_nothing_is_cancelled_without_a_signal(stop: Stop) -> None:
    jobs = Jobs()
    stop.cancel = jobs.cancel
    stop.sleep(0.05)
    assert jobs.cancelled == 0


def test_afterwards_the_handlers_are_those_of_before() -> None:
    before = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    with Stop().listening():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_handlers_come_back_after_an_error_too() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError), Stop().listening():
        raise KeyError
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_nobody_noticed_is_not_cancelled_for_afterwards() -> None:
    jobs = Jobs()
    with Stop().listening() as stop:
        stop.cancel = jobs.cancel
        send()
    for thread in cancellers():
        thread.join(LONG_S)
        assert not thread.is_alive()
