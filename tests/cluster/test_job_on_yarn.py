"""
The job on YARN, against HDFS and a metastore server, in both deploy modes; and what happens to it there: applications
killed, launchers killed, nodes lost, safe mode, a metastore that restarts.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.yarn_job import PATIENCE_S, Warehouse, YarnJob

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


@pytest.mark.parametrize(
    ("deploy_mode", "mode"), [("cluster", "drop_and_load"), ("cluster", "swap"), ("client", "swap")]
)
def test_a_run_restates_the_days(job: YarnJob, warehouse: Warehouse, deploy_mode: str, mode: str) -> None:
    job.configure({"publish": {"mode": mode}, "spark": {"deploy_mode": deploy_mode}})

    code, out, err = job.run("run")

    assert code == 0, err
    assert "raw = staging = final (Impala not asked) on all 3 days" in out
    warehouse.assert_side("new")
    assert job.status()["MNAAS_job_status"] == "Success"
    assert job.status()["MNAAS_Daily_ProcessStatusFlag"] == "0"
    (record,) = job.records()
    application = job.cluster.hadoop.client.application(record["application_id"])
    assert (application.state, application.final_status) == ("FINISHED", "SUCCEEDED")
    if deploy_mode == "cluster":
        assert f"run {record['run_id']} is {application.id}: follow it at" in err
        assert f"yarn logs -applicationId {application.id}" in err


def test_attempts_at_the_same_task_side_by_side_change_nothing_in_the_result(
    job: YarnJob, warehouse: Warehouse
) -> None:
    eager = {"spark.speculation": "true", "spark.speculation.interval": "10ms", "spark.speculation.multiplier": "1"}
    eager |= {"spark.speculation.quantile": "0.1", "spark.speculation.minTaskRuntime": "0ms"}
    job.configure({"spark": {"deploy_mode": "client", "conf": {**eager, "spark.executor.instances": "2"}}})

    code, _, err = job.run("run")

    assert code == 0, err
    warehouse.assert_side("new")


def test_a_guard_in_the_cluster_ends_the_launcher_with_3(job: YarnJob, warehouse: Warehouse) -> None:
    job.configure({"audit": {"max_change_pct": 0.0001}})

    code, _, err = job.run("run")

    assert code == 3, err
    assert "max_change_pct" in err.splitlines()[-1]
    assert "old data is in place" in err.splitlines()[-1]
    assert job.status()["MNAAS_job_status"] == "Failure"
    warehouse.assert_side("old")


def test_what_is_wrong_before_submission_submits_nothing(job: YarnJob, warehouse: Warehouse) -> None:
    (job.home / "list").write_text("2021-02-30\n")
    before = len(job.cluster.hadoop.applications())

    code, _, err = job.run("run", "--partitions", str(job.home / "list"))

    assert code == 2
    assert "2021-02-30" in err
    assert len(job.cluster.hadoop.applications()) == before


def test_a_local_list_travels_with_the_application(job: YarnJob, warehouse: Warehouse) -> None:
    (job.home / "list").write_text("2021-04-02\n")

    code, out, err = job.run("run", "--partitions", str(job.home / "list"))

    assert code == 0, err
    assert "on all 1 days" in out
    (record,) = job.records()
    assert record["partitions_source"] == str(job.home / "list")
    content = warehouse.content()
    assert content["2021-04-02"] == warehouse.new["2021-04-02"]
    assert content["2021-04-01"] == warehouse.old["2021-04-01"]


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
    assert "run `recover`" in last
    assert job.status()["MNAAS_job_status"] == "Failure"
    assert "was interrupted while withdrawn: settling it first" in assert_next_run_goes_through(job, warehouse)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_launcher_has_the_driver_put_old_data_back(
    job: YarnJob, warehouse: Warehouse, signum: signal.Signals
) -> None:
    process = job.start("run")
    record = job.wait_until(at("withdrawn"), process)

    code, err = job.stop(process, signum)

    assert code == 128 + signum
    assert "old data is back in place for 3 partitions" in err.splitlines()[-1]
    warehouse.assert_side("old")
    assert job.records()[0]["outcome"] == "stopped"
    assert job.cluster.hadoop.client.application(record["application_id"]).has_ended


def test_while_the_application_of_a_killed_launcher_lives_the_lock_is_not_free(
    job: YarnJob, warehouse: Warehouse
) -> None:
    process = job.start("run")
    record = job.wait_until(at("withdrawn"), process)
    drivers = drivers_of(record["application_id"])
    for pid in drivers:
        os.kill(pid, signal.SIGSTOP)
    process.kill()
    process.communicate(timeout=PATIENCE_S)

    code, _, err = job.run("run")
    for pid in drivers:
        os.kill(pid, signal.SIGCONT)

    assert code == 75, err
    assert f"its application {record['application_id']} still lives" in err
    job.wait_until(lambda found: found["outcome"] == "success")
    warehouse.assert_side("new")
    code, out, _ = job.run("status")
    assert code == 0
    assert "success" in out


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


def test_a_metastore_that_restarts_costs_at_most_the_run(job: YarnJob, warehouse: Warehouse) -> None:
    process = job.start("run")
    job.wait_until(at("withdrawn"), process)
    job.cluster.metastore.kill()
    job.cluster.metastore.start()
    process.communicate(timeout=PATIENCE_S)

    assert process.returncode in (0, 1)
    assert_next_run_goes_through(job, warehouse)


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
