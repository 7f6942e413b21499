"""Error answers of Impala, worded as in its sources: which are ridden out, and which end the run at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from devtools.impala_double import DROP, EndIn, ImpalaDouble, InMemoryCatalog, Refuse
from tests.support.paths import IMPALA_MESSAGES
from tests.support.refreshers import (
    ATTEMPTS,
    REFRESH,
    REFRESH_DAY,
    Waits,
    address,
    config,
    received,
    refresher,
)
from traffic_aggr.config.config import HostPort, RetryConfig
from traffic_aggr.errors import ImpalaRejectedError, ImpalaUnavailableError

pytestmark = pytest.mark.usefixtures("no_thread_left_behind")

MESSAGES: list[dict[str, str]] = yaml.safe_load(IMPALA_MESSAGES.read_text())
PASSING = [each["said"] for each in MESSAGES if each["kind"] == "PASSING"]
PASSING_FOR_A_REFRESH = PASSING + [each["said"] for each in MESSAGES if each["kind"] == "STALE"]
FINAL = [each["said"] for each in MESSAGES if each["kind"] in ("FINAL", "SYNTAX")]
BROKEN = [each["said"] for each in MESSAGES if each["kind"] == "BROKEN"]
NO_CATALOGD = "Couldn't open transport for catalogd:26000 (connect() failed: Connection refused)"
QUEUE_FULL = "Rejected query from pool root.etl: queue full, limit=200, num_queued=200."
NOT_ALLOWED = "AuthorizationException: User 'etl' does not have privileges to execute 'REFRESH' on: mnaas.final"

REFRESH_OTHER_DAY = REFRESH_DAY.replace("04-01", "04-02")
INVALIDATE = "INVALIDATE METADATA mnaas.final"
DAYS = "SELECT partition_date, COUNT(*) FROM mnaas.final WHERE partition_date IN ('2021-04-01', '2021-04-02') " \
    "GROUP BY partition_date"  # fmt: skip


class Way(NamedTuple):
    """A call that can answer with an error, and the answer made of a message."""

    rpc: str
    answer: Callable[[str], Any]


IN_THE_ANSWER = Way("ExecuteStatement", Refuse)
AS_THE_FINAL_STATE = Way("GetOperationStatus", lambda said: EndIn("ERROR_STATE", said))
ways = pytest.mark.parametrize("way", [IN_THE_ANSWER, AS_THE_FINAL_STATE], ids=["in the answer", "as the final state"])


# What passes is ridden out


@ways
@pytest.mark.parametrize("said", PASSING_FOR_A_REFRESH)
def test_a_refresh_is_sent_again_after_an_error_that_passes(start_impala: Any, way: Way, said: str) -> None:
    double = start_impala()
    double.plan(way.rpc, way.answer(said), times=ATTEMPTS - 1)
    waits = Waits()
    (sent,) = refresher(config(address(double)), sleep=waits).execute([REFRESH])
    assert (sent.sql, sent.attempts, sent.outcome) == (REFRESH, ATTEMPTS, "ok")
    assert waits == [1, 2]


@pytest.mark.parametrize("said", PASSING)
def test_a_query_is_asked_again_after_an_error_that_passes(start_impala: Any, said: str) -> None:
    double = start_impala()
    double.plan("FetchResults", Refuse(said))
    assert refresher(config(address(double))).query("SELECT COUNT(*) FROM mnaas.final") == [(0,)]
    assert len(received(double)) == 2


@ways
@pytest.mark.parametrize("said", FINAL)
def test_a_statement_is_not_sent_again_after_an_error_that_stays(start_impala: Any, way: Way, said: str) -> None:
    double = start_impala()
    double.plan(way.rpc, way.answer(said), times=None)
    waits = Waits()
    with pytest.raises(ImpalaRejectedError):
        refresher(config(address(double)), sleep=waits).execute([REFRESH])
    assert waits == []
    assert double.journal.calls.count("ExecuteStatement") == 1


def test_a_cause_at_the_end_of_a_long_answer_counts(start_impala: Any) -> None:
    double = start_impala()
    double.plan(
        "ExecuteStatement", Refuse(f"LocalCatalogException: {'long ' * 200}\nCAUSED BY: TException: {NO_CATALOGD}")
    )
    (sent,) = refresher(config(address(double))).execute([REFRESH])
    assert sent.attempts == 2


def test_the_next_host_is_tried_after_an_error_that_passes(start_impala: Any) -> None:
    first, second = start_impala(), start_impala()
    first.plan("ExecuteStatement", Refuse("Server is being shut down: deadline left: 10s"), times=None)
    (sent,) = refresher(config(address(first), address(second))).execute([REFRESH])
    assert (sent.host, sent.attempts) == (str(second), 2)


def test_a_session_that_answered_is_closed_before_the_next_is_opened(start_impala: Any) -> None:
    double = start_impala()
    double.plan("GetOperationStatus", EndIn("ERROR_STATE", NO_CATALOGD), times=ATTEMPTS - 1)
    refresher(config(address(double))).execute([REFRESH])
    assert double.journal.calls.count("OpenSession") == double.journal.calls.count("CloseSession") == ATTEMPTS
    assert not double.journal.open_sessions


def test_a_session_that_the_coordinator_has_forgotten_is_replaced(start_impala: Any) -> None:
    double = start_impala()
    double.plan("CloseImpalaOperation", Refuse("any"), when=lambda _: bool(double.journal.open_sessions.clear()))
    sent = refresher(config(address(double))).execute([REFRESH, REFRESH_DAY])
    assert [(one.sql, one.attempts, one.outcome) for one in sent] == [(REFRESH, 1, "ok"), (REFRESH_DAY, 2, "ok")]


def test_a_user_who_may_not_open_a_session_is_not_tried_again(start_impala: Any) -> None:
    double = start_impala()
    double.plan("OpenSession", Refuse("User 'etl' is not authorized to delegate to 'hive'."), times=None)
    with pytest.raises(ImpalaRejectedError, match="not authorized to delegate"):
        refresher(config(address(double))).execute([REFRESH])
    assert double.journal.calls.count("OpenSession") == 1


# An outage at the default settings


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("answer_s", [0, 27], ids=["fails at once", "tries ten times itself"])
@pytest.mark.parametrize("hosts", [1, 2])
def test_a_catalogd_that_is_down_for_three_minutes_costs_no_run(
    start_impala: Any, jitter: float, answer_s: float, hosts: int
) -> None:
    now = [1000.0]

    def is_down(statement: str) -> bool:
        down = now[0] < 1180
        now[0] += answer_s if down else 0
        return down

    def sleep(seconds: float) -> None:
        now[0] += seconds

    doubles = [start_impala() for _ in range(hosts)]
    for double in doubles:
        double.plan("ExecuteStatement", Refuse(NO_CATALOGD), times=None, when=is_down)
    settings = config(*map(address, doubles), retry=RetryConfig())
    patient = refresher(settings, sleep=sleep, clock=lambda: now[0], random=lambda: jitter)
    (sent,) = patient.execute([REFRESH])
    assert sent.outcome == "ok"
    assert now[0] < 1000 + 180 + 120


def test_a_catalogd_that_stays_down_ends_within_the_deadline(start_impala: Any) -> None:
    now = [1000.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    double = start_impala()
    double.plan("ExecuteStatement", Refuse(NO_CATALOGD), times=None)
    with pytest.raises(ImpalaUnavailableError):
        refresher(config(address(double), retry=RetryConfig()), sleep=sleep, clock=lambda: now[0]).execute([REFRESH])
    assert now[0] <= 1000 + RetryConfig().deadline_s


# A query of stale metadata


def day(catalog: InMemoryCatalog, directory: Path, value: str, lines: int) -> Path:
    directory.mkdir(parents=True)
    file = directory / "part-0"
    file.write_text("a;1\n" * lines)
    catalog.locations["mnaas", "final"][value] = str(directory)
    return file


@pytest.fixture
def two_days(catalog: InMemoryCatalog, tmp_path: Path) -> list[Path]:
    """A file for each of two days, in directories named for them."""
    days = ("2021-04-01", "2021-04-02")
    return [day(catalog, tmp_path / "old" / f"partition_date={value}", value, 1) for value in days]


def without_the_file(double: ImpalaDouble, file: Path) -> None:
    """The coordinator has read the table, then somebody replaces a file."""
    refresher(config(address(double))).query(DAYS)
    file.unlink()
    file.with_name("part-1").write_text("a;1\n" * 3)
    double.journal.statements.clear()
    double.journal.calls.clear()


def test_a_query_of_a_file_that_is_gone_is_sent_again_after_a_refresh_of_its_day(
    start_impala: Any, two_days: list[Path]
) -> None:
    double = start_impala()
    without_the_file(double, two_days[0])
    assert refresher(config(address(double))).query(DAYS) == [("2021-04-01", 3), ("2021-04-02", 1)]
    assert received(double) == [DAYS, REFRESH_DAY, DAYS]


def test_a_day_that_has_moved_is_found_at_its_new_place(
    start_impala: Any, catalog: InMemoryCatalog, two_days: list[Path], tmp_path: Path
) -> None:
    double = start_impala()
    without_the_file(double, two_days[0])
    day(catalog, tmp_path / "new", "2021-04-01", 5)
    assert refresher(config(address(double))).query(DAYS) == [("2021-04-01", 5), ("2021-04-02", 1)]


def test_when_a_second_file_is_gone_the_table_and_all_its_days_are_refreshed(
    start_impala: Any, two_days: list[Path]
) -> None:
    double = start_impala()
    refresher(config(address(double))).query(DAYS)
    for file in two_days:
        file.rename(file.with_name("part-1"))
    double.journal.statements.clear()
    sent = refresher(config(address(double), retry=RetryConfig(attempts=4))).query(DAYS)
    assert sent == [("2021-04-01", 1), ("2021-04-02", 1)]
    assert received(double) == [DAYS, REFRESH_DAY, DAYS, REFRESH, REFRESH_DAY, REFRESH_OTHER_DAY, DAYS]


@pytest.mark.parametrize("path", ["/wh/raw/a/part-0", "/wh/partition_date=2021-04-09/part-0", "/wh/partition_date=x/p"])
def test_a_file_of_no_day_that_was_asked_for_has_the_table_refreshed(start_impala: Any, path: str) -> None:
    double = start_impala()
    double.plan("GetOperationStatus", EndIn("ERROR_STATE", f"Disk I/O error on i:1: {path}\nError(2): No such file or "
                                            "directory"), when=DAYS.__eq__)  # fmt: skip
    refresher(config(address(double))).query(DAYS)
    assert received(double) == [DAYS, REFRESH, DAYS]


def test_a_table_that_failed_to_load_is_refreshed_before_the_query_is_sent_again(start_impala: Any) -> None:
    double = start_impala()
    double.plan("ExecuteStatement", Refuse("TableLoadingException: Error loading metadata for table: mnaas.final"))
    refresher(config(address(double))).query(DAYS)
    assert received(double) == [REFRESH, DAYS]


@pytest.mark.parametrize("said", BROKEN)
def test_a_table_whose_loading_stays_failed_is_invalidated_in_place_of_the_refresh(
    start_impala: Any, caplog: pytest.LogCaptureFixture, said: str
) -> None:
    double = start_impala()
    for statement in (DAYS, REFRESH):
        double.plan("ExecuteStatement", Refuse(said), when=statement.__eq__)
    with caplog.at_level(logging.WARNING, "traffic_aggr"):
        refresher(config(address(double))).query(DAYS)
    assert received(double) == [INVALIDATE, DAYS]
    assert caplog.messages[1:] == [
        f"{double} has stale metadata; sending {REFRESH} first",
        f"{double} failed to load mnaas.final; sending INVALIDATE METADATA in place of REFRESH",
    ]


def test_a_refresh_of_a_table_whose_loading_stays_failed_becomes_an_invalidation(start_impala: Any) -> None:
    double = start_impala()
    double.plan("ExecuteStatement", Refuse(BROKEN[0]), when=REFRESH.__eq__)
    sent = refresher(config(address(double))).execute([REFRESH])
    assert [(one.sql, one.outcome[:8]) for one in sent] == [(REFRESH, "rejected"), (INVALIDATE, "ok")]


def test_a_refresh_before_a_query_is_sent_again_too(start_impala: Any, two_days: list[Path]) -> None:
    double = start_impala()
    without_the_file(double, two_days[0])
    double.plan("ExecuteStatement", Refuse(NO_CATALOGD), when=REFRESH_DAY.__eq__)
    refresher(config(address(double))).query(DAYS)
    assert received(double) == [DAYS, REFRESH_DAY, DAYS]
    assert double.journal.calls.count("ExecuteStatement") == 4


def test_a_refresh_before_a_query_that_is_not_allowed_ends_it(start_impala: Any, two_days: list[Path]) -> None:
    double = start_impala()
    without_the_file(double, two_days[0])
    double.plan("ExecuteStatement", Refuse(NOT_ALLOWED), times=None, when=REFRESH_DAY.__eq__)
    with pytest.raises(ImpalaRejectedError) as caught:
        refresher(config(address(double))).query(DAYS)
    assert f"refused {DAYS[:100]}" in caught.value.message
    assert f": {REFRESH_DAY}: {NOT_ALLOWED}" in caught.value.message
    assert [(one.sql, one.attempts) for one in caught.value.sent] == [(DAYS, 1), (REFRESH_DAY, 1)]


def test_each_try_of_a_query_of_stale_metadata_is_kept_in_order_with_what_came_between(start_impala: Any) -> None:
    double = start_impala()
    double.plan("FetchResults", Refuse("Parquet file /wh/f has an invalid file length: 7"), times=None)
    with pytest.raises(ImpalaUnavailableError) as caught:
        refresher(config(address(double), retry=RetryConfig(attempts=2))).query(DAYS)
    assert [(one.sql, one.attempts, one.outcome.partition(":")[0]) for one in caught.value.sent] == [
        (DAYS, 1, "rejected"),
        (REFRESH, 1, "ok"),
        (DAYS, 1, "failed"),
    ]


def test_a_refresh_before_a_query_that_is_not_answered_is_kept_too(start_impala: Any) -> None:
    double = start_impala()
    double.plan("FetchResults", Refuse("Parquet file /wh/f has an invalid file length: 7"))
    double.plan("ExecuteStatement", DROP, times=None, when=REFRESH.__eq__)
    with pytest.raises(ImpalaUnavailableError) as caught:
        refresher(config(address(double))).query(DAYS)
    assert [(one.sql, one.outcome.partition(":")[0]) for one in caught.value.sent] == [
        (DAYS, "rejected"),
        (REFRESH, "failed"),
        (REFRESH, "failed"),
    ]


# What the operator is told


def test_what_never_passes_says_how_often_where_and_what_to_do(start_impala: Any, nobody: HostPort) -> None:
    double = start_impala()
    double.plan("ExecuteStatement", Refuse(QUEUE_FULL), times=None)
    with pytest.raises(ImpalaUnavailableError) as caught:
        refresher(config(nobody, address(double), retry=RetryConfig(attempts=4))).execute([REFRESH])
    assert str(caught.value) == (
        f"Impala could not carry out {REFRESH}: 4 attempts on {nobody}, {double}, the last answer, from {double}: "
        f"{QUEUE_FULL}. Wait until the resource pool has fewer queries, or raise its limits"
    )
    (sent,) = caught.value.sent
    assert (sent.attempts, sent.host, sent.outcome) == (4, str(double), f"failed: {QUEUE_FULL}")


def test_what_stays_says_what_to_do(start_impala: Any) -> None:
    double = start_impala()
    double.plan("ExecuteStatement", Refuse(NOT_ALLOWED))
    with pytest.raises(ImpalaRejectedError) as caught:
        refresher(config(address(double))).execute([REFRESH])
    assert str(caught.value) == (
        f"Impala ({double}) refused {REFRESH}: {NOT_ALLOWED}. Have the job's user granted what it names"
    )


def test_a_retry_after_an_answer_is_a_warning_that_quotes_it(
    start_impala: Any, caplog: pytest.LogCaptureFixture
) -> None:
    double = start_impala()
    double.plan("ExecuteStatement", Refuse(QUEUE_FULL))
    with caplog.at_level(logging.WARNING, "traffic_aggr"):
        refresher(config(address(double))).execute([REFRESH])
    assert caplog.messages == [
        f"{REFRESH}: not carried out by {double}: {QUEUE_FULL}; trying {double} in 1.0 s, attempt 2 of 3"
    ]
