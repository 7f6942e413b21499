"""Fixtures of ``tests/spark`` and ``tests/crash``: the job on a small warehouse, and an Impala double that knows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from devtools.impala_double import ImpalaDouble
from tests.support.mail_server import Desk, LoopbackController
from tests.support.warehouse import Job, Sources, impala_double
from traffic_aggr.host import status_file


@pytest.fixture(scope="session")
def sources(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources(spark, tmp_path_factory.mktemp("sources"))


@pytest.fixture
def job(
    spark: SparkSession,
    database: str,
    tmp_path: Path,
    sources: Sources,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Job:
    """The job on raw traffic of three days. The test creates the final table."""
    # Each update of the status file waits for another program's, and there is none here.
    monkeypatch.setattr(status_file, "_SETTLE_S", 0)
    made = Job(spark, database, tmp_path, sources, capsys)
    made.create_sources()
    return made


@pytest.fixture
def impala(spark: SparkSession) -> Iterator[ImpalaDouble]:
    yield from impala_double(spark)


@pytest.fixture
def desk(job: Job) -> Iterator[Desk]:
    """A service desk that the job mails to."""
    made = Desk()
    controller = LoopbackController(made, hostname="127.0.0.1", port=0)
    controller.start()
    job.settings["notify"] = {
        "smtp": {"host": controller.hostname, "port": controller.port},
        "from": "job@example.com",
        "ticket_to": ["desk@example.com"],
    }
    yield made
    controller.stop()
