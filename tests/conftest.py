"""
Shared fixtures: one Spark session for all tests, a database for each, and an odd host time zone.
"""

from __future__ import annotations

import os
import pwd
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from tests.support.frames import frame_of
from tests.support.spark_session import HOST_TIME_ZONE, LONG_JVM, PY4J_SOCKETS, QUICK_JVM, start_session
from traffic_aggr.traffic.columns import RAW_COLUMNS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SPARK_TESTS = Path(__file__).parent / "spark"
MANY_RUNS = 100
RUNS_IN_CRASH_TEST = 6


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Marks tests that need a JVM.

    py4j leaves its sockets to the garbage collector, which may run in any later test. So a session that collects such
    tests tolerates unclosed sockets; a session without them stays strict.
    """
    needing_spark = [
        item for item in items if SPARK_TESTS in item.path.parents or "spark" in getattr(item, "fixturenames", ())
    ]
    for item in needing_spark:
        item.add_marker(pytest.mark.spark)
    if os.environ.get("TRAFFIC_AGGR_THOROUGH") != "1":
        for item in items:
            if item.get_closest_marker("thorough"):
                item.add_marker(pytest.mark.skip(reason="runs with TRAFFIC_AGGR_THOROUGH=1"))
    if needing_spark:
        config.addinivalue_line("filterwarnings", PY4J_SOCKETS)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """
    Prints what tests that cover many points each have covered.
    """
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "covered":
                terminalreporter.write_line(f"covered: {value}")


@pytest.fixture(scope="session", autouse=True)
def odd_time_zone() -> Iterator[str]:
    """
    Sets the host's time zone for every test: not UTC and off by half an hour, so that local days show.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", HOST_TIME_ZONE)
        time.tzset()
        yield HOST_TIME_ZONE
    time.tzset()


@pytest.fixture(scope="session")
def spark(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, odd_time_zone: str
) -> Iterator[SparkSession]:
    """
    One local session with an embedded metastore, all of it in a directory of this test session.
    """
    in_spark = [item for item in request.session.items if "spark" in getattr(item, "fixturenames", ())]
    runs = sum(RUNS_IN_CRASH_TEST if item.get_closest_marker("crash") else 1 for item in in_spark)
    jvm = LONG_JVM if runs > MANY_RUNS else QUICK_JVM
    session = start_session(tmp_path_factory.mktemp("spark"), odd_time_zone, jvm)
    yield session
    session.stop()


@pytest.fixture
def database(spark: SparkSession) -> Iterator[str]:
    """
    Name of a database that only this test uses. It stays until the session's metastore goes: dropping it takes longer
    than creating it.
    """
    name = f"test_{uuid.uuid4().hex[:12]}"
    spark.sql(f"CREATE DATABASE {name}")
    yield name
    spark.sql("USE default")


@pytest.fixture
def make_raw(spark: SparkSession) -> Callable[[Sequence[Mapping[str, Any]]], DataFrame]:
    """
    Makes a DataFrame with the columns of raw from dicts.

    A missing column is NULL; ``partition_date`` defaults to 2021-04-01.
    """
    schema = ", ".join(f"{column.name} {column.type}" for column in RAW_COLUMNS)
    names = [column.name for column in RAW_COLUMNS]

    def make(rows: Sequence[Mapping[str, Any]]) -> DataFrame:
        complete = [{"partition_date": "2021-04-01", **row} for row in rows]
        return frame_of(spark, [[row.get(name) for name in names] for row in complete], schema)

    return make


@pytest.fixture
def no_user_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulates a container whose user id has no name: ``docker run --user 12345``."""

    def missing(uid: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", missing)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
