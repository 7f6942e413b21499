"""
A whole cluster on one machine: HDFS, YARN, a metastore whose warehouse is on that HDFS, and Spark standalone.

    python -m devtools.cluster up     # or: make cluster-up
    source .cluster/env               # HADOOP_CONF_DIR and the like, for spark-submit and the job
    python -m devtools.cluster down   # or: make cluster-down

The cluster runs in the background and keeps everything in ``.cluster`` (or ``$TRAFFIC_AGGR_CLUSTER``). HDFS and the
metastore keep their contents between starts. The whole cluster takes 2 GB of memory. Tests start a ``Cluster`` of their
own.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn, Optional

from devtools.daemons import HOST, Startable, kept_ports
from devtools.hadoop_cluster import HadoopCluster
from devtools.hadoop_conf import Login, write_site
from devtools.hadoop_jars import JarsUnavailableError, daemon_class_path
from devtools.metastore_server import MetastoreServer
from devtools.spark_standalone import SparkStandalone
from devtools.sweeper import Sweeper, kill_processes_of, processes_of
from traffic_aggr.errors import TrafficAggrError

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 600
STOP_TIMEOUT_S = 120


class Cluster(Startable):
    """
    Runs ``hadoop``, ``metastore`` and, with ``standalone``, Spark's own manager, all beneath ``home``.

    With ``login`` HDFS and YARN require Kerberos. The metastore server does not: it creates directories on that HDFS as
    ``metastore_login``, whoever the client is.

    Use it as a context manager. Raises JarsUnavailableError when the jars of Hadoop's servers are unavailable.
    """

    def __init__(
        self,
        home: Path,
        *,
        node_managers: int = 2,
        standalone: bool = True,
        login: Optional[Login] = None,
        metastore_login: Optional[Login] = None,
    ) -> None:
        self.home = home.resolve()
        self.hadoop = HadoopCluster(self.home / "hadoop", node_managers, login=login)
        self._login = login
        port = kept_ports(self.home / "ports.json", ["metastore"])["metastore"]
        warehouse = f"{self.hadoop.hdfs_uri}/user/hive/warehouse"
        self.metastore = MetastoreServer(
            self.home / "metastore",
            port=port,
            warehouse=warehouse,
            conf=self.hadoop.conf,
            environment=metastore_login.environment if metastore_login is not None else None,
        )
        self.standalone = SparkStandalone(self.home / "standalone", conf=self.hadoop.conf) if standalone else None
        self._started = contextlib.ExitStack()

    @property
    def conf(self) -> Path:
        """The directory for HADOOP_CONF_DIR, YARN_CONF_DIR and SPARK_CONF_DIR."""
        return self.hadoop.conf

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that let a client find the cluster."""
        names = ("HADOOP_CONF_DIR", "YARN_CONF_DIR", "SPARK_CONF_DIR")
        realm = {"JAVA_TOOL_OPTIONS": self._login.java_option} if self._login is not None else {}
        return {**dict.fromkeys(names, str(self.conf)), "SPARK_LOCAL_IP": HOST, **realm}

    @property
    def spark_conf(self) -> dict[str, str]:
        """Settings that Spark needs here or that make it faster; ``conf/spark-defaults.conf`` has them too."""
        return {
            "spark.yarn.jars": self.hadoop.local_spark_jars,
            "spark.yarn.appMasterEnv.PYSPARK_PYTHON": sys.executable,
            "spark.executorEnv.PYSPARK_PYTHON": sys.executable,
        }

    def start(self) -> None:
        """Starts each server once its dependencies are up. Raises RuntimeError when a server does not start."""
        with contextlib.ExitStack() as starting:
            starting.callback(Sweeper(self.home).sweep)
            starting.enter_context(self.hadoop)
            self._write_configuration()
            starting.enter_context(self.metastore)
            if self.standalone is not None:
                starting.enter_context(self.standalone)
            self._started = starting.pop_all()

    def mend(self) -> None:
        """Restarts servers that were stopped or killed since, and leaves safe mode; touches nothing else."""
        self.hadoop.mend()
        self.metastore.start()
        if self.standalone is not None:
            self.standalone.start()

    def stop(self) -> None:
        """Stops everything, in reverse order."""
        self._started.close()

    def summary(self) -> str:
        """Returns a few lines for people: addresses, and where the logs are."""
        rows = {
            "HADOOP_CONF_DIR": self.conf,
            "HDFS": self.hadoop.hdfs_uri,
            "ResourceManager": f"{self.hadoop.resource_manager_address}, pages on {self.hadoop.resource_manager_web}",
            "metastore": self.metastore.uri,
            "Spark master": self.standalone.uri if self.standalone is not None else "none",
            "logs": f"{self.hadoop.logs}, {self.metastore.home}/metastore.log, {self.home}/standalone/logs",
            "containers": f"{self.hadoop.home}/nodemanager-*/logs",
            "environment": f"source {self.home}/env",
        }
        return "".join(f"{name:<16} {value}\n" for name, value in rows.items())

    def _write_configuration(self) -> None:
        # Spark takes the metastore and the warehouse from here, as on clusters where Hive is installed.
        hive = {"hive.metastore.uris": self.metastore.uri, "hive.metastore.warehouse.dir": self.metastore.warehouse}
        if self._login is not None:
            # With setugi the metastore acts as the user that a client claims to be, and HDFS refuses such a user.
            hive["hive.metastore.execute.setugi"] = "false"
        write_site(self.conf / "hive-site.xml", hive)
        defaults = "".join(f"{name} {value}\n" for name, value in self.spark_conf.items())
        (self.conf / "spark-defaults.conf").write_text(defaults, encoding="utf-8")
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.environment.items())
        (self.home / "env").write_text(exports, encoding="utf-8")


def up(home: Path) -> int:
    """Starts the cluster in the background unless it is running, and prints where things are."""
    home.mkdir(parents=True, exist_ok=True)
    summary, server = home / "summary", None
    if _serving(home):
        print(f"The cluster is up already; it keeps its things in {home}")
    else:
        daemon_class_path()
        kill_processes_of(home)
        summary.unlink(missing_ok=True)
        print("Starting the cluster; that takes half a minute or more", flush=True)
        server = _start_serving(home)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not summary.exists():
        if (server is not None and server.poll() is not None) or time.monotonic() > deadline:
            print(f"cluster: it did not start: see {home}/serve.log", file=sys.stderr)
            return 1
        time.sleep(0.2)
    print(summary.read_text(encoding="utf-8"), end="")
    print("stop it with     make cluster-down")
    return 0


def down(home: Path) -> int:
    """Stops the cluster and kills whatever it left running."""
    pid = _serving(home)
    if pid:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while _serving(home):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
    elif not processes_of(home):
        print("The cluster is not up")
        return 0
    kill_processes_of(home)
    print(f"The cluster is down; what it stored is in {home}")
    return 0


def serve(home: Path) -> int:
    """Runs the cluster until SIGTERM or SIGINT."""
    summary = home / "summary"
    with (home / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end)
        with Cluster(home) as cluster, _written(summary, cluster.summary()):
            while True:
                signal.pause()


def main() -> int:
    """Runs the command and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m devtools.cluster", description=up.__doc__)
    parser.add_argument("command", choices=["up", "down", "serve"])
    command = parser.parse_args().command
    home = Path(os.environ.get("TRAFFIC_AGGR_CLUSTER") or ROOT / ".cluster").resolve()
    try:
        return {"up": up, "down": down, "serve": serve}[command](home)
    except (JarsUnavailableError, TrafficAggrError, RuntimeError) as exc:
        print(f"cluster: {exc}", file=sys.stderr)
        return 1


def _start_serving(home: Path) -> subprocess.Popen[bytes]:
    with (home / "serve.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "devtools.cluster", "serve"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _serving(home: Path) -> int:
    """Returns the PID of the process that runs the cluster in ``home``, or 0."""
    try:
        with (home / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 0)
    except FileNotFoundError:
        pass
    return 0


def _end(number: int, frame: Optional[FrameType]) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)


@contextlib.contextmanager
def _written(path: Path, text: str) -> Iterator[None]:
    arriving = path.with_suffix(".tmp")
    arriving.write_text(text, encoding="utf-8")
    arriving.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
