from __future__ import annotations

import logging
import os
import re
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from devtools.impala_double import (
    DRIP,
    DROP,
    HANG,
    HANG_UP,
    LOSE_ANSWER,
    Answer,
    EndIn,
    InMemoryCatalog,
    Refuse,
)
from tests.support.refreshers import (
    ATTEMPTS,
    LONG_S,
    REFRESH,
    REFRESH_DAY,
    SYNC,
    TIMEOUT_S,
    Waits,
    address,
    case,
    config,
    received,
    refresher,
)
from traffic_aggr.config.config import HostPort, RetryConfig
from traffic_aggr.errors import ImpalaRejectedError, ImpalaUnavailableError, Interrupted

pytestmark = pytest.mark.usefixtures("no_thread_left_behind")

INVALIDATE = "INVALIDATE METADATA mnaas.final"
DAYS = "SELECT partition_date, COUNT(*), SUM(data_usage_in_kb) FROM mnaas.final GROUP BY partition_date"
PATIENCE_S = 1.0
"""For what answers, but for one call."""


# A batch


def test_a_batch_is_sent_in_order_over_one_session(start_impala: Any) -> None:
    double = start_impala()
    statements = [INVALIDATE, REFRESH, REFRESH_DAY]
    refresher(config(address(double))).execute(statements)
    assert received(double) == statements
    assert double.journal.calls.count("OpenSession") == 1


@pytest.mark.usefixtures("no_user_name")
def test_a_user_without_a_name_opens_a_session_under_the_number(start_impala: Any) -> None:
    double = start_impala()
    refresher(config(address(double))).execute([REFRESH])
    assert double.journal.users == [str(os.getuid())]


def test_a_batch_closes_its_operations_and_its_session(start_impala: Any) -> None:
    double = start_impala()
    refresher(config(address(double))).execute([REFRESH, REFRESH_DAY])
    assert double.journal.calls.count("CloseImpalaOperation") == 2
    assert double.journal.calls[-1] == "CloseSession"
    assert not double.journal.open_sessions


def test_a_batch_of_nothing_connects_to_nobody(nobody: HostPort) -> None:
    assert refresher(config(nobody)).execute([]) == []


def test_what_was_sent_is_returned_for_the_record(start_impala: Any) -> None:
    double = start_impala()
    (sent,) = refresher(config(address(double), sync_ddl=True)).execute([REFRESH])
    assert (sent.sql, sent.host, sent.attempts, sent.outcome) == (REFRESH, str(double), 1, "ok")
    assert sent.query_options == SYNC
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", sent.started)
    assert 0 <= sent.seconds < LONG_S


def test_sync_ddl_is_an_option_of_the_last_statement_only(start_impala: Any) -> None:
    double = start_impala()
    refresher(config(address(double), sync_ddl=True)).execute([REFRESH, REFRESH_DAY])
    assert [statement.options for statement in double.journal.statements] == [{}, SYNC]


def test_sync_ddl_is_not_sent_when_switched_off(start_impala: Any) -> None:
    double = start_impala()
    refresher(config(address(double))).execute([REFRESH, REFRESH_DAY])
    assert [statement.options for statement in double.journal.statements] == [{}, {}]


# Transient failures

BEFORE_THE_END = [
    ("connect", DROP),
    ("connect", HANG),
    *(
        (rpc, how)
        for rpc in ("OpenSession", "ExecuteStatement", "GetOperationStatus")
        for how in (DROP, LOSE_ANSWER, HANG, DRIP, Answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Answer(b"\x80\x01"))
    ),
    *(("GetOperationStatus", EndIn(state)) for state in ("CANCELED_STATE", "CLOSED_STATE", "UKNOWN_STATE")),
    ("OpenSession", Refuse("Server is being shut down")),
]


@pytest.mark.parametrize(("rpc", "how"), BEFORE_THE_END, ids=case)
def test_a_statement_without_an_answer_is_sent_again(start_impala: Any, rpc: str, how: Any) -> None:
    double = start_impala()
    double.plan(rpc, how)
    retry = RetryConfig(attempts=10)
    (sent,) = refresher(config(address(double), timeout_s=TIMEOUT_S, retry=retry)).execute([REFRESH])
    assert sent.outcome == "ok"
    assert sent.attempts >= 2
    assert double.journal.statements[-1].sql == REFRESH


@pytest.mark.parametrize(("rpc", "how"), BEFORE_THE_END, ids=case)
def test_a_statement_that_is_never_answered_fails_after_its_attempts(start_impala: Any, rpc: str, how: Any) -> None:
    double = start_impala()
    double.plan(rpc, how, times=None)
    waits = Waits()
    began = time.monotonic()
    with pytest.raises(ImpalaUnavailableError) as caught:
        refresher(config(address(double), timeout_s=TIMEOUT_S), sleep=waits).execute([REFRESH])
    assert waits == [1, 2]
    assert time.monotonic() - began < LONG_S
    assert f"{ATTEMPTS} attempts on {double}" in str(caught.value)


def test_a_statement_that_runs_for_ever_ends_at_the_limit(start_impala: Any) -> None:
    double = start_impala()
    double.plan("GetOperationStatus", EndIn("RUNNING_STATE"), times=None)
    with pytest.raises(ImpalaUnavailableError, match=f"no answer within {TIMEOUT_S} s"):
        refresher(config(address(double), timeout_s=TIMEOUT_S)).execute([REFRESH])
    assert double.journal.calls.count("GetOperationStatus") > ATTEMPTS


def test_a_statement_may_run_through_several_polls(start_impala: Any) -> None:
    double = start_impala()
    double.plan("GetOperationStatus", EndIn("RUNNING_STATE"), times=3)
    double.plan("GetOperationStatus", EndIn("PENDING_STATE"), times=1)
    (sent,) = refresher(config(address(double))).execute([REFRESH])
    assert (sent.attempts, sent.outcome) == (1, "ok")


def test_a_host_that_refuses_connections_hands_over_to_the_next(start_impala: Any, nobody: HostPort) -> None:
    double = start_impala()
    waits = Waits()
    (sent,) = refresher(config(nobody, address(double)), sleep=waits).execute([REFRESH])
    assert (sent.host, sent.attempts) == (str(double), 2)
    assert waits == [1]


def test_hosts_are_tried_in_turn_and_all_named_at_the_end(start_impala: Any, nobody: HostPort) -> None:
    double = start_impala()
    double.plan("ExecuteStatement", DROP, times=None)
    with pytest.raises(ImpalaUnavailableError, match=f"3 attempts on {nobody}, {double}, the last one: .*refused"):
        refresher(config(nobody, address(double))).execute([REFRESH])
    assert double.journal.calls.count("ExecuteStatement") == 1


def test_a_host_named_twice_does_not_hide_the_third(start_impala: Any, nobody: HostPort) -> None:
    double = start_impala()
    (sent,) = refresher(config(nobody, nobody, address(double))).execute([REFRESH])
    assert sent.host == str(double)


def test_a_host_whose_name_does_not_resolve_is_transient(start_impala: Any) -> None:
    double = start_impala()
    (sent,) = refresher(config(HostPort("no-such-host.invalid", 21050), address(double))).execute([REFRESH])
    assert sent.host == str(double)


def test_a_batch_goes_on_from_the_statement_that_was_not_answered(start_impala: Any) -> None:
    first, second = start_impala(), start_impala()
    first.plan("GetOperationStatus", DROP, when=lambda statement: "PARTITION" in statement)
    sent = refresher(config(address(first), address(second))).execute([REFRESH, REFRESH_DAY, INVALIDATE])
    assert received(first) == [REFRESH, REFRESH_DAY]
    assert received(second) == [REFRESH_DAY, INVALIDATE]
    assert [(one.host, one.attempts) for one in sent] == [(str(first), 1), (str(second), 2), (str(second), 1)]


def test_a_connection_lost_between_two_statements_is_replaced_with_its_session(start_impala: Any) -> None:
    double = start_impala()
    double.plan("CloseImpalaOperation", HANG_UP)
    sent = refresher(config(address(double))).execute([REFRESH, REFRESH_DAY])
    assert [(one.attempts, one.outcome) for one in sent] == [(1, "ok"), (2, "ok")]
    assert double.journal.calls.count("OpenSession") == 2


def test_each_statement_of_a_batch_has_its_own_attempts(start_impala: Any) -> None:
    double = start_impala()
    for refused in (REFRESH, REFRESH_DAY):
        double.plan("ExecuteStatement", DROP, times=ATTEMPTS - 1, when=refused.__eq__)
    sent = refresher(config(address(double))).execute([REFRESH, REFRESH_DAY])
    assert [one.attempts for one in sent] == [ATTEMPTS, ATTEMPTS]


def test_a_failure_carries_what_was_sent_before_it(start_impala: Any) -> None:
    double = start_impala()
    double.plan("ExecuteStatement", DROP, times=None, when=REFRESH_DAY.__eq__)
    with pytest.raises(ImpalaUnavailableError) as caught:
        refresher(config(address(double))).execute([REFRESH, REFRESH_DAY, INVALIDATE])
    done, failed = caught.value.sent
    assert (done.sql, done.outcome) == (REFRESH, "ok")
    assert (failed.sql, failed.attempts, failed.host) == (REFRESH_DAY, ATTEMPTS, str(double))
    assert failed.outcome.startswith("failed: ")


def test_waits_grow_exponentially_up_to_the_longest(nobody: HostPort) -> None:
    waits = Waits()
    retry = RetryConfig(attempts=6, initial_wait_s=1.5, max_wait_s=10, deadline_s=900)
    with pytest.raises(ImpalaUnavailableError):
        refresher(config(nobody, retry=retry), sleep=waits).execute([REFRESH])
    assert waits == [1.5, 3, 6, 10, 10]


def test_jitter_takes_up_to_half_of_a_wait_away(nobody: HostPort) -> None:
    waits = Waits()
    with pytest.raises(ImpalaUnavailableError):
        refresher(config(nobody), sleep=waits, random=iter([0.0, 0.5, 0.9]).__next__).execute([REFRESH])
    assert waits == [0.5, 1.5]


def test_no_attempt_starts_after_the_deadline(nobody: HostPort) -> None:
    now = [1000.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    retry = RetryConfig(attempts=100, initial_wait_s=4, max_wait_s=4, deadline_s=10)
    with pytest.raises(ImpalaUnavailableError, match="3 attempts"):
        refresher(config(nobody, retry=retry), sleep=sleep, clock=lambda: now[0]).execute([REFRESH])
    assert now == [1008.0]


def test_a_retry_is_a_warning_that_says_all_about_it(
    start_impala: Any, nobody: HostPort, caplog: pytest.LogCaptureFixture
) -> None:
    double = start_impala()
    with caplog.at_level(logging.WARNING, "traffic_aggr"):
        refresher(config(nobody, address(double))).execute([REFRESH])
    (line,) = caplog.messages
    assert line.startswith(f"{REFRESH}: no answer from {nobody}: ")
    assert "refused" in line
    assert line.endswith(f"; trying {double} in 1.0 s, attempt 2 of 3")


def test_a_wish_to_stop_ends_the_wait_for_an_answer(start_impala: Any) -> None:
    double = start_impala()
    double.plan("ExecuteStatement", HANG)

    def stop() -> None:
        raise Interrupted(15)

    with pytest.raises(Interrupted):
        refresher(config(address(double)), checkpoint=stop).execute([REFRESH])


# The end of a statement

AFTER_THE_END = [
    (rpc, how)
    for rpc in ("CloseImpalaOperation", "CloseSession")
    for how in (DROP, LOSE_ANSWER, HANG, DRIP, Refuse("Invalid query handle"))
]


@pytest.mark.parametrize(("rpc", "how"), AFTER_THE_END, ids=case)
def test_what_goes_wrong_while_closing_fails_nothing(start_impala: Any, rpc: str, how: Any) -> None:
    double = start_impala()
    double.plan(rpc, how)
    sent = refresher(config(address(double), timeout_s=PATIENCE_S)).execute([REFRESH, REFRESH_DAY])
    assert [(one.attempts, one.outcome) for one in sent] == [(1, "ok"), (1, "ok")]
    assert received(double) == [REFRESH, REFRESH_DAY]


# Rejections


@pytest.mark.parametrize(
    ("rpc", "how"),
    [
        ("ExecuteStatement", Refuse("AuthorizationException: User 'etl' does not have\n privileges")),
        ("GetOperationStatus", EndIn("ERROR_STATE", "AuthorizationException: User 'etl' does not have\n privileges")),
    ],
    ids=["in the answer", "as the final state"],
)
def test_a_rejected_statement_is_not_sent_again(start_impala: Any, rpc: str, how: Any) -> None:
    double = start_impala()
    double.plan(rpc, how)
    waits = Waits()
    with pytest.raises(ImpalaRejectedError) as caught:
        refresher(config(address(double)), sleep=waits).execute([REFRESH, REFRESH_DAY])
    assert waits == []
    assert double.journal.calls.count("ExecuteStatement") == 1
    said = "AuthorizationException: User 'etl' does not have privileges"
    assert caught.value.message == f"Impala ({double}) refused {REFRESH}: {said}"
    (sent,) = caught.value.sent
    assert sent.outcome == f"rejected: {said}"


def test_a_failure_without_a_message_is_a_rejection_all_the_same(start_impala: Any) -> None:
    double = start_impala()
    double.plan("GetOperationStatus", EndIn("ERROR_STATE"))
    with pytest.raises(ImpalaRejectedError, match="it does not say why"):
        refresher(config(address(double))).execute([REFRESH])


def test_a_long_message_is_cut_to_a_line(start_impala: Any) -> None:
    double = start_impala()
    double.plan("ExecuteStatement", Refuse("no \x1b[2J " * 10_000))
    with pytest.raises(ImpalaRejectedError) as caught:
        refresher(config(address(double))).execute([REFRESH])
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


def test_a_rejected_batch_still_closes_its_session(start_impala: Any) -> None:
    double = start_impala()
    with pytest.raises(ImpalaRejectedError, match="Syntax error"):
        refresher(config(address(double))).execute(["REFRSH mnaas.final"])
    assert not double.journal.open_sessions


# A table that Impala does not know


@pytest.mark.parametrize(
    "statement", ["REFRESH mnaas.new", "refresh mnaas.new PARTITION (partition_date='2021-04-01')"]
)
def test_an_unknown_table_is_made_known_in_place_of_the_refresh(
    start_impala: Any, catalog: InMemoryCatalog, statement: str
) -> None:
    double = start_impala()
    catalog.create("mnaas", "new", catalog.infos["mnaas", "final"])
    sent = refresher(config(address(double), sync_ddl=True)).execute([statement])
    assert received(double) == [statement, "INVALIDATE METADATA mnaas.new"]
    assert [one.outcome for one in sent] == ["rejected: AnalysisException: Table does not exist: mnaas.new", "ok"]
    assert double.journal.statements[-1].options == SYNC


def test_the_batch_goes_on_after_a_table_was_made_known(start_impala: Any, catalog: InMemoryCatalog) -> None:
    double = start_impala()
    catalog.create("mnaas", "new", catalog.infos["mnaas", "final"])
    refresher(config(address(double))).execute(["REFRESH mnaas.new", "REFRESH mnaas.new", REFRESH])
    assert received(double)[2:] == ["REFRESH mnaas.new", REFRESH]


def test_a_table_that_the_metastore_lacks_too_is_a_rejection(start_impala: Any) -> None:
    double = start_impala()
    with pytest.raises(ImpalaRejectedError, match=r"Table not found: mnaas\.nope"):
        refresher(config(address(double))).execute(["REFRESH mnaas.nope"])
    assert received(double) == ["REFRESH mnaas.nope", "INVALIDATE METADATA mnaas.nope"]


def test_a_lost_invalidation_is_sent_again_within_the_same_attempts(
    start_impala: Any, catalog: InMemoryCatalog
) -> None:
    double = start_impala()
    double.plan("ExecuteStatement", DROP, times=None, when=lambda statement: "INVALIDATE" in statement)
    catalog.create("mnaas", "new", catalog.infos["mnaas", "final"])
    waits = Waits()
    with pytest.raises(ImpalaUnavailableError) as caught:
        refresher(config(address(double)), sleep=waits).execute(["REFRESH mnaas.new"])
    assert len(waits) == ATTEMPTS - 1
    assert [(one.sql.split()[0], one.attempts) for one in caught.value.sent] == [
        ("REFRESH", 1),
        ("INVALIDATE", ATTEMPTS),
    ]


def test_a_query_of_an_unknown_table_invalidates_nothing(start_impala: Any) -> None:
    double = start_impala()
    with pytest.raises(ImpalaRejectedError, match="Could not resolve table reference"):
        refresher(config(address(double))).query("SELECT COUNT(*) FROM mnaas.nope")
    assert len(received(double)) == 1


# Queries


def day(catalog: InMemoryCatalog, value: str, *lines: str) -> None:
    directory = Path(catalog.infos["mnaas", "final"].location, value)
    directory.mkdir(parents=True)
    (directory / "part-0").write_text("".join(f"{line}\n" for line in lines))
    catalog.locations["mnaas", "final"][value] = str(directory)


def test_a_query_returns_rows_with_exact_decimals(start_impala: Any, catalog: InMemoryCatalog) -> None:
    day(catalog, "2021-04-01", "a;0.1000000001", "b;0.2", r"c;\N")
    day(catalog, "2021-04-02", r"a;\N")
    rows = refresher(config(address(start_impala()))).query(DAYS)
    assert rows == [("2021-04-01", 3, Decimal("0.3000000001")), ("2021-04-02", 1, None)]


@pytest.mark.parametrize("rpc", ["GetResultSetMetadata", "FetchResults"])
@pytest.mark.parametrize("how", [DROP, LOSE_ANSWER, HANG, DRIP], ids=case)
def test_a_query_that_loses_its_rows_is_asked_again(
    start_impala: Any, catalog: InMemoryCatalog, rpc: str, how: Any
) -> None:
    day(catalog, "2021-04-01", "a;1")
    double = start_impala()
    double.plan(rpc, how)
    asking = refresher(config(address(double), timeout_s=TIMEOUT_S, retry=RetryConfig(attempts=10)))
    assert asking.query(DAYS) == [("2021-04-01", 1, 1)]
    assert len(received(double)) >= 2


@pytest.mark.parametrize("rpc", ["GetResultSetMetadata", "FetchResults"])
def test_rows_that_never_come_end_at_the_limit(start_impala: Any, rpc: str) -> None:
    double = start_impala()
    double.plan(rpc, DRIP, times=None)
    with pytest.raises(ImpalaUnavailableError, match="no answer within"):
        refresher(config(address(double), timeout_s=TIMEOUT_S)).query("SELECT COUNT(*) FROM mnaas.final")


def test_without_sync_ddl_the_coordinator_of_the_last_batch_is_asked(start_impala: Any) -> None:
    first, second = start_impala(), start_impala()
    first.plan("connect", DROP)
    asking = refresher(config(address(first), address(second)))
    asking.execute([REFRESH])
    asking.query(DAYS)
    assert received(second) == [REFRESH, DAYS]


def test_without_sync_ddl_no_other_coordinator_is_asked(start_impala: Any) -> None:
    first, second = start_impala(), start_impala()
    asking = refresher(config(address(first), address(second)))
    asking.execute([REFRESH])
    first.refuse()
    with pytest.raises(ImpalaUnavailableError, match=f"3 attempts on {first}, the last"):
        asking.query(DAYS)
    assert received(second) == []


def test_with_sync_ddl_any_coordinator_is_asked(start_impala: Any) -> None:
    first, second = start_impala(), start_impala()
    asking = refresher(config(address(first), address(second), sync_ddl=True))
    asking.execute([REFRESH])
    first.refuse()
    asking.query(DAYS)
    assert received(second) == [DAYS]


def test_the_next_batch_begins_with_the_coordinator_of_the_last(start_impala: Any) -> None:
    first, second = start_impala(), start_impala()
    first.plan("connect", DROP)
    asking = refresher(config(address(first), address(second)))
    asking.execute([REFRESH])
    asking.execute([REFRESH_DAY])
    assert received(second) == [REFRESH, REFRESH_DAY]


# Probes


def test_a_probe_opens_and_closes_a_session_on_any_host(start_impala: Any, nobody: HostPort) -> None:
    double = start_impala()
    refresher(config(nobody, address(double))).probe()
    assert double.journal.calls == ["OpenSession", "CloseSession"]


def test_a_probe_that_finds_nobody_fails_after_its_attempts(nobody: HostPort) -> None:
    waits = Waits()
    with pytest.raises(ImpalaUnavailableError, match="opening a session: 3 attempts"):
        refresher(config(nobody), sleep=waits).probe()
    assert len(waits) == ATTEMPTS - 1


def test_each_host_can_be_probed_once_for_itself(start_impala: Any, nobody: HostPort) -> None:
    well, hung = start_impala(), start_impala()
    hung.plan("OpenSession", HANG, times=None)
    waits = Waits()
    probing = refresher(config(nobody, address(well), address(hung), timeout_s=PATIENCE_S), sleep=waits)
    refused, fine, silent = probing.probe_each()
    assert refused[0] == nobody
    assert "refused" in str(refused[1])
    assert fine == (address(well), None)
    assert silent[0] == address(hung)
    assert str(silent[1]) == "no answer within 1 s. Check impala.hosts"
    assert waits == []
