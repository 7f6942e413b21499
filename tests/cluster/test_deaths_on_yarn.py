"""
What happens to the job on YARN: applications killed, launchers killed or stopped, drivers replaced, nodes lost, safe
mode.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.yarn_job import PATIENCE_S, Warehouse, YarnJob, silent_impala

pytestmark = pytest.mark.timeout(1200)


def at(publication: str) -> Callable[[dict[str, Any]], bool]:
    return lambda record: record["publication"] == publication and bool(record["application_id"])


def stages(record: dict[str, Any]) -> bool:
    return bool(record["steps"]) and record["steps"][-1]["name"] == "stage"


def assert_next_run_goes_through(job: YarnJob, warehouse: Warehouse) -> str:
    """In client mode, which is quicker to start, and works on the same state; what it logged."""
    job.configure({"spark": {"deploy_mode": "client"}})
    code, out, err = job.run("run")
    assert code == 0, err
    assert "raw = staging = final" in out
    assert job.status()["MNAAS_job_status"] == "Success"
    warehouse.assert_side("new")
    return err


def test_after_yarn_killed_the_application_the_launcher_ends_with_1_and_the_next_run_settles(
    job: YarnJob, warehouse: Warehouse
) -> None:
    process = job.start("run")
    record = job.wait_until(at("withdrawn"), process)
    job.cluster.hadoop.kill_application(record["application_id"])
    _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 1
    last = err.splitlines()[-1]
    assert f"{record['application_id']} killed before its run had ended" in last
    assert "may be missing from the table" in last
    assert job.status()["MNAAS_job_status"] == "Failure"
    # YARN's SIGTERM lets the driver begin to restore, its SIGKILL follows within a quarter of a second.
    left = job.records()[0]["publication"]
    assert left in ("withdrawn", "restoring")
    assert f"was interrupted while {left}: settling it first" in assert_next_run_goes_through(job, warehouse)


def test_a_signal_to_the_launcher_has_the_driver_put_old_data_back(job: YarnJob, warehouse: Warehouse) -> None:
    process = job.start("run")
    record = job.wait_until(at("withdrawn"), process)

    code, err = job.stop(process, signal.SIGTERM)

    assert code == 128 + signal.SIGTERM
    assert "old data is back in place for 3 partitions" in err.splitlines()[-1]
    warehouse.assert_side("old")
    assert job.records()[0]["outcome"] == "stopped"
    assert job.cluster.hadoop.client.application(record["application_id"]).has_ended


def test_while_the_application_of_a_killed_launcher_lives_the_lock_is_not_free(
    job: YarnJob, warehouse: Warehouse
) -> None:
    with silent_impala(job.home) as (impala, silence):
        job.configure({"impala": impala})
        process = job.start("run")
        record = job.wait_until(lambda found: found["settled_earlier_runs"], process)
        process.kill()
        process.communicate(timeout=PATIENCE_S)

        code, _, err = job.run("run")
        silence.answer.set()
        job.wait_until(lambda found: found["outcome"] == "success")

    assert code == 75, err
    assert f"its application {record['application_id']} still lives" in err
    warehouse.assert_side("new")
    code, out, _ = job.run("status")
    assert code == 0
    assert "succeeded" in out


@pytest.mark.thorough
def test_a_driver_that_died_is_replaced_by_a_second_attempt_where_the_site_allows_one(
    job: YarnJob, warehouse: Warehouse
) -> None:
    job.configure({"spark": {"conf": {"spark.yarn.maxAppAttempts": "2"}}})
    process = job.start("run")
    first = job.wait_until(at("withdrawn"), process)
    for pid in drivers_of(first["application_id"]):
        os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0, err
    assert "raw = staging = final" in out
    warehouse.assert_side("new")
    second, earlier = job.records()
    assert (second["application_id"], earlier["run_id"]) == (first["application_id"], first["run_id"])
    assert (second["outcome"], earlier["outcome"]) == ("success", "interrupted")


@pytest.mark.thorough
def test_safe_mode_fails_the_run_and_the_next_one_makes_every_day_whole(job: YarnJob, warehouse: Warehouse) -> None:
    job.configure({"spark": {"deploy_mode": "client"}})
    process = job.start("run")
    job.wait_until(stages, process)
    job.cluster.hadoop.enter_safe_mode()
    _, err = process.communicate(timeout=PATIENCE_S)
    job.cluster.hadoop.leave_safe_mode()

    assert process.returncode == 1
    assert "safe mode" in err.lower()
    assert "Traceback" not in err
    assert_next_run_goes_through(job, warehouse)


@pytest.mark.thorough
def test_a_metastore_that_restarts_between_two_calls_is_asked_again(job: YarnJob, warehouse: Warehouse) -> None:
    with silent_impala(job.home) as (impala, silence):
        job.configure({"impala": impala})
        process = job.start("run")
        assert silence.asked.wait(PATIENCE_S)
        job.cluster.metastore.restart()
        silence.answer.set()
        out, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0, err
    assert "raw = staging = final" in out
    warehouse.assert_side("new")


@pytest.mark.thorough
def test_a_metastore_that_stays_away_fails_the_run_and_the_next_one_makes_every_day_whole(
    job: YarnJob, warehouse: Warehouse
) -> None:
    process = job.start("run")
    job.wait_until(at("withdrawn"), process)
    job.cluster.metastore.kill()
    _, err = process.communicate(timeout=PATIENCE_S)
    job.cluster.metastore.start()

    assert process.returncode == 1
    assert "may be missing from the table" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert_next_run_goes_through(job, warehouse)


@pytest.mark.thorough
def test_a_lost_node_changes_nothing_in_the_result(job: YarnJob, warehouse: Warehouse) -> None:
    process = job.start("run")
    record = job.wait_until(at("withdrawn"), process)
    client = job.cluster.hadoop.client
    attempt = client.attempts(record["application_id"])[-1]
    nodes = {each.id: each.node for each in client.containers(attempt.id)}
    other = next(each for each in job.cluster.hadoop.node_managers if each.node_id != nodes[attempt.container])
    other.lose()
    _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0, err
    warehouse.assert_side("new")


def drivers_of(application_id: str) -> list[int]:
    """The processes of an application's first containers: the drivers' Python and JVM."""
    container = f"CONTAINER_ID=container_{application_id.partition('_')[2]}_"
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if _has(path, container)]


def _has(path: Path, container: str) -> bool:
    try:
        variables = path.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return any(each.startswith(container) and each.endswith("_000001") for each in variables)
