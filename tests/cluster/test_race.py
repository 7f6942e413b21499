"""Launches that race for one table from two hosts, each with a disk of its own: the files beside the table decide."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import pytest

from devtools.cluster import Cluster
from devtools.impala_double import DROP, ImpalaDouble, InMemoryCatalog, TableInfo
from tests.cluster.yarn_job import DATABASE, FINAL, PATIENCE_S, Warehouse, YarnJob

pytestmark = pytest.mark.timeout(2400)

LAUNCHES = 20
ANOTHER_HOST = ("unshare", "--uts", "sh", "-c", 'hostname edge2 && exec "$@"', "sh")


@pytest.fixture
def other_host() -> tuple[str, ...]:
    """What a command begins with to run under another host's name."""
    tried = subprocess.run([*ANOTHER_HOST, "hostname"], capture_output=True, text=True, check=False)
    if tried.stdout != "edge2\n":
        pytest.skip(f"another host name is not permitted here: {tried.stderr.strip()}")
    return ANOTHER_HOST


def small_job(cluster: Cluster, home: Path, impala: ImpalaDouble) -> YarnJob:
    """A job with a driver and state on its own host, as little as will do: many run at once."""
    job = YarnJob(cluster, home, deploy_mode="client")
    job.configure(
        {
            "state": {"dir": str(home / "state")},
            "spark": {"master": "local[1]", "conf": {"spark.driver.memory": "512m"}},
            "impala": {"enabled": True, "hosts": [str(impala)], "timeout_s": PATIENCE_S, "verify": False},
        }
    )
    return job


def test_of_twenty_launches_from_two_hosts_one_wins(
    cluster: Cluster, warehouse: Warehouse, tmp_path: Path, other_host: tuple[str, ...]
) -> None:
    catalog, others_have_ended = InMemoryCatalog(), threading.Event()
    for name in (FINAL, f"{FINAL}_inter"):
        catalog.create(DATABASE, name, TableInfo((("msisdn", "string"),), "parquet", str(tmp_path), (), {}))
    with ImpalaDouble(catalog) as impala:
        # The winner asks Impala as soon as it has the table, and gets no answer until nobody else is left.
        impala.plan("OpenSession", DROP, times=None, when=lambda statement: not others_have_ended.wait(PATIENCE_S))
        jobs = [small_job(cluster, tmp_path / f"launch-{number}", impala) for number in range(LAUNCHES)]
        launched = [job.start("run", before=other_host * (number % 2)) for number, job in enumerate(jobs)]
        deadline = time.monotonic() + PATIENCE_S
        while sum(each.poll() is not None for each in launched) < LAUNCHES - 1 and time.monotonic() < deadline:
            time.sleep(0.5)
        others_have_ended.set()
        told = [each.communicate(timeout=PATIENCE_S)[1] for each in launched]

    codes = [each.returncode for each in launched]
    assert sorted(codes) == [0] + [75] * (LAUNCHES - 1), told
    for code, err in zip(codes, told):
        assert code == 0 or "the table is held by run" in err.splitlines()[-1], err
    winner = jobs[codes.index(0)]
    assert winner.status()["MNAAS_job_status"] == "Success"
    warehouse.assert_side("new")
