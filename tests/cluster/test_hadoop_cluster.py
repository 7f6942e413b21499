"""The cluster itself: what it can run, and that its parts fail and come back the way those of a real one do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.cluster import ROOT, Cluster
from devtools.daemons import wait_until
from devtools.spark_standalone import SparkStandalone
from devtools.sweeper import processes_of
from tests.support.submit import application_in, submit

COUNT = """\
import sys
from pyspark.sql import SparkSession

spark = SparkSession.builder.enableHiveSupport().getOrCreate()
database = sys.argv[1]
spark.sql(f"CREATE DATABASE {database}")
spark.range(100).write.saveAsTable(f"{database}.numbers")
doubled = spark.sparkContext.parallelize(range(4), 2).map(lambda number: number * 2).collect()
print("counted", spark.table(f"{database}.numbers").count(), doubled)
"""
SLEEP = """\
import time
from pyspark.sql import SparkSession

SparkSession.builder.getOrCreate()
time.sleep(600)
"""
COUNTED = "counted 100 [0, 2, 4, 6]\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "count.py"
    path.write_text(COUNT)
    return path


@pytest.mark.thorough
def test_a_job_with_its_driver_here_runs_on_yarn_and_writes_to_hdfs(cluster: Cluster, program: Path) -> None:
    done = submit(cluster, program, "from_here", options=("--master", "yarn"))
    assert (done.returncode, done.stdout) == (0, COUNTED), done.stderr
    written = cluster.hadoop.hdfs.list("/user/hive/warehouse/from_here.db/numbers")
    assert "_SUCCESS" in written


@pytest.mark.thorough
def test_a_job_with_its_driver_on_the_cluster_runs_in_the_queue_it_names(cluster: Cluster, program: Path) -> None:
    options = ("--master", "yarn", "--deploy-mode", "cluster", "--queue", "etl", "--name", "counting")
    done = submit(cluster, program, "over_there", options=options)
    assert done.returncode == 0, done.stderr
    ended = cluster.hadoop.client.application(application_in(done))
    assert (ended.name, ended.queue, ended.state, ended.final_status) == ("counting", "etl", "FINISHED", "SUCCEEDED")
    (attempt,) = cluster.hadoop.client.attempts(ended.id)
    assert cluster.hadoop.container_logs(ended.id)[f"{attempt.container}/stdout"] == COUNTED


@pytest.mark.thorough
def test_an_application_that_runs_can_be_killed_and_leaves_no_process(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "sleep.py").write_text(SLEEP)
    detached = ("--conf", "spark.yarn.submit.waitAppCompletion=false")
    options = ("--master", "yarn", "--deploy-mode", "cluster", *detached)
    application = application_in(submit(cluster, tmp_path / "sleep.py", options=options))
    hadoop = cluster.hadoop
    wait_until(lambda: hadoop.application_state(application) == "RUNNING", "the application to run")
    nodes = [node for node in hadoop.node_managers if len(processes_of(node.directory)) > 1]
    assert nodes
    hadoop.kill_application(application)
    assert hadoop.application_state(application) == "KILLED"
    daemons = [[node.pid] for node in nodes]
    wait_until(lambda: [processes_of(node.directory) for node in nodes] == daemons, "its processes to end")


def test_a_lost_node_is_noticed_and_comes_back(cluster: Cluster) -> None:
    node = cluster.hadoop.node_managers[0]
    node.lose()
    wait_until(lambda: cluster.hadoop.node_states()[node.node_id] == "LOST", "the node to be missed")
    node.start()
    wait_until(lambda: cluster.hadoop.node_states()[node.node_id] == "RUNNING", "the node to be back")


def test_in_safe_mode_hdfs_can_be_read_and_refuses_to_be_changed(cluster: Cluster) -> None:
    hadoop = cluster.hadoop
    hadoop.hdfs.write("/tmp/before", b"x")
    hadoop.enter_safe_mode()
    with pytest.raises(OSError, match="safe mode"):
        hadoop.hdfs.write("/tmp/during", b"x")
    assert hadoop.hdfs.read("/tmp/before") == b"x"
    hadoop.leave_safe_mode()
    hadoop.hdfs.write("/tmp/after", b"x")


def test_files_survive_the_death_of_namenode_and_datanode(cluster: Cluster) -> None:
    hadoop = cluster.hadoop
    content = bytes(range(256)) * 5000
    hadoop.hdfs.write("/tmp/kept/file", content)
    hadoop.namenode.kill()
    hadoop.datanode.kill()
    with pytest.raises(OSError, match="refused"):
        hadoop.hdfs.status("/tmp/kept/file")
    hadoop.mend()
    assert hadoop.hdfs.read("/tmp/kept/file") == content


def test_permissions_hold_for_all_but_the_superuser(cluster: Cluster) -> None:
    cluster.hadoop.make_user("etl")
    etl, hdfs = cluster.hadoop.hdfs.as_user("etl"), cluster.hadoop.hdfs
    etl.write("/user/etl/list", b"2021-04-01\n")
    etl.set_mode("/user/etl/list", 0o600)
    assert hdfs.status("/user/etl/list")["owner"] == "etl"
    with pytest.raises(PermissionError, match="eve"):
        hdfs.as_user("eve").read("/user/etl/list")
    with pytest.raises(PermissionError, match="etl"):
        etl.write("/spark/file", b"x")
    assert hdfs.read("/user/etl/list") == b"2021-04-01\n"


def test_the_metastore_knows_after_a_restart_what_it_knew(cluster: Cluster) -> None:
    with cluster.metastore.catalog.client() as client:
        kept = client.get_database("default")
    assert kept.locationUri == f"{cluster.hadoop.hdfs_uri}/user/hive/warehouse"
    cluster.metastore.kill()
    cluster.metastore.restart()
    with cluster.metastore.catalog.client() as client:
        assert client.get_database("default") == kept


@pytest.mark.thorough
def test_spark_has_a_cluster_of_its_own_as_well(cluster: Cluster, program: Path, tmp_path: Path) -> None:
    with SparkStandalone(tmp_path / "standalone", memory="1g", conf=cluster.conf) as standalone:
        done = submit(cluster, program, "on_its_own", options=("--master", standalone.uri))
    assert (done.returncode, done.stdout) == (0, COUNTED), done.stderr
    assert processes_of(tmp_path / "standalone") == []


@pytest.mark.slow
@pytest.mark.thorough
def test_a_cluster_in_the_background_is_started_once_and_ends_without_a_trace(
    hadoop_jars: None, tmp_path: Path
) -> None:
    home = tmp_path / "background"

    def make(command: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "devtools.cluster", command],
            cwd=ROOT,
            env={**os.environ, "TRAFFIC_AGGR_CLUSTER": str(home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    try:
        code, first = make("up")
        assert code == 0, first
        running = processes_of(home)
        code, second = make("up")
        assert (code, processes_of(home)) == (0, running)
        assert "is up already" in second
        assert f"HADOOP_CONF_DIR  {home}/hadoop/conf\n" in first
        assert first.splitlines()[1:] == second.splitlines()[1:]
    finally:
        code, third = make("down")
    assert (code, processes_of(home)) == (0, []), third
    assert make("down") == (0, "The cluster is not up\n")
