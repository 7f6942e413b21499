"""Launches that race for one table from two hosts, each with a disk of its own: the files beside the table decide."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from devtools.cluster import Cluster
from tests.support.yarn_job import PATIENCE_S, Warehouse, YarnJob, silent_impala

pytestmark = pytest.mark.timeout(2400)

AT_ONCE = 5
ANOTHER_HOST = ("unshare", "--uts", "sh", "-c", 'hostname edge2 && exec "$@"', "sh")


@pytest.fixture
def other_host() -> tuple[str, ...]:
    """What a command begins with to run under another host's name."""
    tried = subprocess.run([*ANOTHER_HOST, "hostname"], capture_output=True, text=True, check=False)
    if tried.stdout != "edge2\n":
        pytest.skip(f"another host name is not permitted here: {tried.stderr.strip()}")
    return ANOTHER_HOST


def small_job(cluster: Cluster, home: Path, impala: Mapping[str, Any]) -> YarnJob:
    """A job with a driver and state on its own host, as little as will do: many run at once."""
    job = YarnJob(cluster, home, deploy_mode="client")
    job.configure(
        {
            "state": {"dir": str(home / "state")},
            "spark": {"master": "local[1]", "conf": {"spark.driver.memory": "512m"}},
            "impala": impala,
        }
    )
    return job


def running(launched: list[subprocess.Popen[str]]) -> int:
    return sum(each.poll() is None for each in launched)


def wait_for(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, "never got there"
        time.sleep(0.5)


@pytest.mark.parametrize("launches", [4, pytest.param(20, marks=pytest.mark.thorough)])
def test_of_many_launches_from_two_hosts_one_wins(
    cluster: Cluster, warehouse: Warehouse, tmp_path: Path, other_host: tuple[str, ...], launches: int
) -> None:
    # The winner asks Impala as soon as it has the table, and gets no answer until nobody else is left.
    with silent_impala(tmp_path) as (impala, silence):
        jobs = [small_job(cluster, tmp_path / f"launch-{number}", impala) for number in range(launches)]
        launched: list[subprocess.Popen[str]] = []
        for number, job in enumerate(jobs):
            wait_for(lambda: running(launched) < AT_ONCE)
            launched.append(job.start("run", before=other_host * (number % 2)))
        wait_for(lambda: running(launched) == 1)
        silence.answer.set()
        told = [each.communicate(timeout=PATIENCE_S)[1] for each in launched]

    codes = [each.returncode for each in launched]
    assert sorted(codes) == [0] + [75] * (launches - 1), told
    for code, err in zip(codes, told):
        assert code == 0 or "the table is held by run" in err.splitlines()[-1], err
    winner = jobs[codes.index(0)]
    assert winner.status()["MNAAS_job_status"] == "Success"
    warehouse.assert_side("new")
