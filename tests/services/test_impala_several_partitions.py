from __future__ import annotations

import logging
from typing import Any

import pytest

from devtools.impala_double import DROP, HANG, Answer, ImpalaDouble, InMemoryCatalog, Refuse
from tests.support.refreshers import (
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
from traffic_aggr.errors import ImpalaRejectedError
from traffic_aggr.hive import sql
from traffic_aggr.hive.partitions import partitions_between
from traffic_aggr.run.refreshes import Refreshes

pytestmark = pytest.mark.usefixtures("no_thread_left_behind")

FINAL = sql.TableName("mnaas", "final")
MONTH = partitions_between("2021-04-01..2021-04-30").partitions
REFRESHES = Refreshes(sql.TableName("mnaas", "staging"), FINAL)
BATCH = REFRESHES.put_back(MONTH)
DAYS = BATCH[1:]
TOGETHER = f"{REFRESH} " + " ".join(f"PARTITION (partition_date='{day}')" for day in MONTH)
OLD, NEW = "4.5.2", "5.0.0"


def asked_for_its_version(double: ImpalaDouble) -> int:
    return double.journal.calls.count("GetInfo")


@pytest.mark.parametrize(("version", "statements"), [(OLD, BATCH), (NEW, [REFRESH, TOGETHER])])
def test_thirty_days_are_31_statements_or_two(start_impala: Any, version: str, statements: list[str]) -> None:
    double = start_impala(version=version)
    sent = refresher(config(address(double), sync_ddl=True)).execute(BATCH)
    assert [one.sql for one in sent] == received(double) == statements
    assert [one.options for one in double.journal.statements] == [{}] * (len(statements) - 1) + [SYNC]
    assert asked_for_its_version(double) == 1


@pytest.mark.parametrize(("days", "statements"), [(1, 2), (2, 2), (100, 2), (101, 2)])
def test_up_to_a_hundred_days_are_one_statement_beside_the_tables(
    start_impala: Any, days: int, statements: int
) -> None:
    double = start_impala(version=NEW)
    batch = REFRESHES.put_back(partitions_between("2021-01-01..2021-12-31").partitions[:days])
    refresher(config(address(double))).execute(batch)
    assert len(received(double)) == statements
    assert ("INVALIDATE METADATA mnaas.final" in received(double)) == (days > 100)


def test_a_single_partition_asks_for_no_version(start_impala: Any) -> None:
    double = start_impala(version=NEW)
    refresher(config(address(double))).execute([REFRESH, REFRESH_DAY])
    assert asked_for_its_version(double) == 0


@pytest.mark.parametrize(
    ("version", "several"),
    [
        ("5.0.0-SNAPSHOT", True),
        ("5.1.0", True),
        ("10.0.0", True),
        ("4.5.0.2025.0.21.3-3", False),
        ("3.4.2", False),
        ("unknown", False),
    ],
)
def test_the_version_is_read_as_impala_writes_it(start_impala: Any, version: str, several: bool) -> None:
    double = start_impala(version=version)
    refresher(config(address(double))).execute(DAYS[:2])
    assert len(received(double)) == (1 if several else 2)


@pytest.mark.parametrize("how", [DROP, HANG, Refuse("Unsupported operation"), Answer(b"\x80\x01")], ids=case)
def test_a_version_that_is_not_told_costs_no_attempt(start_impala: Any, how: Any) -> None:
    double = start_impala(version=NEW)
    double.plan("GetInfo", how, times=None)
    waits = Waits()
    sent = refresher(config(address(double), timeout_s=4 * TIMEOUT_S), sleep=waits).execute(BATCH[:3])
    assert [(one.sql, one.attempts) for one in sent] == [(statement, 1) for statement in BATCH[:3]]
    assert waits == []


def test_a_build_that_refuses_all_the_same_is_sent_one_by_one(
    start_impala: Any, caplog: pytest.LogCaptureFixture
) -> None:
    double = start_impala(version=NEW)
    double.plan("ExecuteStatement", Refuse("ParseException: Syntax error in line 1:"), when=TOGETHER.__eq__)
    with caplog.at_level(logging.WARNING, "traffic_aggr"):
        sent = refresher(config(address(double), sync_ddl=True)).execute(BATCH)
    assert [one.sql for one in sent] == [REFRESH, TOGETHER, *DAYS]
    assert sent[1].outcome.startswith("rejected: ")
    assert {one.outcome for one in sent[2:]} == {"ok"}
    assert [bool(one.query_options) for one in sent] == [False, True, *[False] * 29, True]
    assert caplog.messages == [f"{double} takes one partition in a REFRESH; sending 30 statements"]


def test_an_older_coordinator_that_takes_over_is_sent_one_by_one(start_impala: Any) -> None:
    new, old = start_impala(version=NEW), start_impala(version=OLD)
    new.plan("ExecuteStatement", DROP, when=TOGETHER.__eq__)
    refresher(config(address(new), address(old))).execute(BATCH)
    assert received(old) == [TOGETHER, *DAYS]


def test_another_rejection_is_not_tried_in_another_form(start_impala: Any) -> None:
    double = start_impala(version=NEW)
    double.plan("ExecuteStatement", Refuse("AuthorizationException: no privileges"), when=TOGETHER.__eq__)
    with pytest.raises(ImpalaRejectedError, match="no privileges"):
        refresher(config(address(double))).execute(BATCH)
    assert received(double) == [REFRESH]


def test_an_unknown_table_is_made_known_once_for_all_its_partitions(
    start_impala: Any, catalog: InMemoryCatalog
) -> None:
    double = start_impala(version=NEW)
    catalog.create("mnaas", "new", catalog.infos["mnaas", "final"])
    refresher(config(address(double))).execute(sql.refresh_moved(sql.TableName("mnaas", "new"), MONTH))
    assert received(double)[1:] == ["INVALIDATE METADATA mnaas.new"]
