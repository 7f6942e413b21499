"""
HDFS and YARN on one machine, each daemon a process of its own, in the Hadoop version that pip's pyspark ships.

    with HadoopCluster(directory) as cluster:
        os.environ["HADOOP_CONF_DIR"] = str(cluster.conf)
        cluster.hdfs.write("/user/etl/list", b"2021-04-01")
        cluster.namenode.kill()
        cluster.namenode.start()

HDFS checks permissions against the name that a client claims, which HADOOP_USER_NAME sets. Whoever starts the cluster
is HDFS's superuser. All daemons listen on the loopback interface only. ``home`` holds ``conf``, the daemons' ``logs``,
and the containers' ``nodemanager-N/logs``. A cluster on a used ``home`` has the same files and addresses again.

With ``login`` the cluster requires Kerberos, except for WebHDFS, and does not aggregate logs.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from devtools import hadoop_conf
from devtools.daemons import (
    HOST,
    Daemon,
    Startable,
    fetch,
    fetch_json,
    java_command,
    java_environment,
    kept_ports,
    wait_until,
)
from devtools.hadoop_client import Application, HadoopClient
from devtools.hadoop_jars import daemon_class_path, spark_jars
from devtools.sweeper import MARK, Sweeper, kill_processes_of
from devtools.webhdfs import WebHdfs

COMMAND_TIMEOUT_S = 120

_NODE_PORTS = ("yarn.nodemanager.address", "yarn.nodemanager.localizer.address", "yarn.nodemanager.webapp.address")


class NodeManager(Daemon):
    """
    A node's daemon and its directory ``home/nodemanager-N``, in which its containers run.

    Containers outlive a killed daemon; a driver in one keeps running until it asks the ResourceManager. ``lose`` ends
    the containers too, as losing the machine would.
    """

    node_id: str
    container_logs: Path

    def lose(self) -> None:
        """Kills the daemon and every process that it started."""
        self.kill()
        kill_processes_of(self.directory)


class HadoopCluster(Startable):
    """
    A cluster with its data in ``home``; use it as a context manager.

    Each node offers ``node_memory_mb`` MiB to containers. The daemons are ``namenode``, ``datanode``,
    ``resource_manager`` and the list ``node_managers``; each can be killed and restarted. Raises JarsUnavailableError
    when the servers' jars are unavailable.
    """

    def __init__(
        self,
        home: Path,
        node_managers: int = 2,
        *,
        node_memory_mb: int = 2560,
        daemon_memory: str = "192m",
        login: Optional[hadoop_conf.Login] = None,
    ) -> None:
        self.home = home.resolve()
        self.conf = self.home / "conf"
        self.logs = self.home / "logs"
        self.login = login
        self._node_memory_mb = node_memory_mb
        self._daemon_memory = daemon_memory
        self._class_path: list[Path] = [self.conf, *daemon_class_path()]
        # Drivers and executors in containers announce this address.
        logged_in = login.environment if login is not None else {}
        local = {"SPARK_LOCAL_IP": HOST, "SPARK_LOCAL_HOSTNAME": "localhost"}
        self._environment = java_environment(self.home, **local, **logged_in)
        self._java_properties = {
            "log4j2.configurationFile": (self.conf / hadoop_conf.LOG4J).as_uri(),
            "java.io.tmpdir": self.home / "tmp",
        }
        self._client: Optional[HadoopClient] = None
        self._sweeper: Optional[Sweeper] = None
        names = [hadoop_conf.DEFAULT_FS, *hadoop_conf.HDFS_ADDRESSES, *hadoop_conf.YARN_ADDRESSES]
        self._ports = kept_ports(self.home / "ports.json", names)
        self.hdfs = WebHdfs(self._ports[hadoop_conf.NAMENODE_WEB], getpass.getuser())
        self.namenode = self._daemon("namenode", "hdfs.server.namenode.NameNode", lambda: self.hdfs.exists("/"))
        self.datanode = self._daemon(
            "datanode", "hdfs.server.datanode.DataNode", _serves(self._ports[hadoop_conf.DATANODE_WEB], "/jmx?qry=none")
        )
        self.resource_manager = self._daemon(
            "resourcemanager",
            "yarn.server.resourcemanager.ResourceManager",
            _serves(self._ports[hadoop_conf.RESOURCE_MANAGER_WEB], "/ws/v1/cluster/info"),
        )
        self.node_managers = [self._node_manager(number) for number in range(1, node_managers + 1)]

    @property
    def hdfs_uri(self) -> str:
        """The root of the file system, without a trailing slash."""
        return f"hdfs://{HOST}:{self._ports[hadoop_conf.DEFAULT_FS]}"

    @property
    def resource_manager_address(self) -> str:
        """The host and port to which applications are submitted."""
        return f"{HOST}:{self._ports[hadoop_conf.RESOURCE_MANAGER]}"

    @property
    def resource_manager_web(self) -> str:
        """The URL of the ResourceManager's pages and web service."""
        return f"http://{HOST}:{self._ports[hadoop_conf.RESOURCE_MANAGER_WEB]}"

    @property
    def daemons(self) -> list[Daemon]:
        """All daemons, HDFS before YARN."""
        return [self.namenode, self.datanode, self.resource_manager, *self.node_managers]

    @property
    def local_spark_jars(self) -> str:
        """Value for ``spark.yarn.jars``: every node has Spark's jars at this path, so YARN copies none."""
        return f"local:{spark_jars()}/*"

    def start(self) -> None:
        """
        Starts the daemons that are not running and waits until work can be submitted.

        Raises RuntimeError when a daemon does not start.
        """
        hadoop_conf.write_configuration(self.conf, self.home, self._ports, self._node_memory_mb, self.login)
        (self.home / "tmp").mkdir(exist_ok=True)
        if self._sweeper is None:
            self._sweeper = Sweeper(self.home)
        try:
            for daemon in (self.resource_manager, *self.node_managers):
                daemon.launch()
            if not (self.home / "namenode").exists():
                self.run(_main("hdfs.server.namenode.NameNode"), "-format", "-nonInteractive")
            for daemon in (self.namenode, self.datanode):
                daemon.launch()
            self.wait_until_ready()
            self._make_standard_directories()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """
        Stops all daemons and kills whatever their containers left running.

        Files stay. The ResourceManager's state is deleted, since applications would otherwise resume at the next start.
        """
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in reversed(self.daemons):
            daemon.stop()
        client, self._client = self._client, None
        if client is not None:
            client.close()
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.sweep()
        shutil.rmtree(self.home / "resourcemanager", ignore_errors=True)

    def mend(self) -> None:
        """Restarts daemons that have exited, leaves safe mode, and waits until work can be submitted."""
        entered = self.namenode.pid is not None and self.in_safe_mode()
        for daemon in self.daemons:
            daemon.launch()
        if entered:
            self.leave_safe_mode()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Waits until HDFS accepts writes and every NodeManager runs. Raises RuntimeError when that fails."""
        for daemon in self.daemons:
            daemon.wait_until_it_answers()
        if self.login is not None:
            self._calm_resource_manager()
        wait_until(lambda: self._live_datanodes() == 1 and not self.in_safe_mode(), "HDFS to leave safe mode")
        nodes = {node.node_id: "RUNNING" for node in self.node_managers}
        wait_until(lambda: self.node_states() == nodes, "every NodeManager to run")

    def run(self, main_class: str, *arguments: str, user: Optional[str] = None) -> str:
        """
        Runs one of Hadoop's command line tools and returns its output.

        Raises CalledProcessError, with ``stderr``, when it fails.
        """
        environment = {**self._environment, **({"HADOOP_USER_NAME": user} if user else {})}
        done = subprocess.run(
            java_command(
                environment,
                self._class_path,
                main_class,
                arguments,
                memory=self._daemon_memory,
                properties={**self._java_properties, "devtools.level": "warn"},
            ),
            env=environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=COMMAND_TIMEOUT_S,
        )
        return done.stdout

    def make_user(self, name: str) -> None:
        """Creates the home directory on HDFS that Spark on YARN needs for a user who is not the superuser."""
        self.hdfs.make_directories(f"/user/{name}", 0o755, owner=name)

    @property
    def client(self) -> HadoopClient:
        """Hadoop's clients for operators, in a JVM that starts at first use."""
        if self._client is None:
            self._client = HadoopClient(self._class_path, self._environment, self.home, self.login)
        return self._client

    def enter_safe_mode(self) -> None:
        """Makes HDFS refuse changes."""
        self.client.set_safe_mode(on=True)

    def leave_safe_mode(self) -> None:
        """Makes HDFS accept changes again."""
        self.client.set_safe_mode(on=False)

    def in_safe_mode(self) -> bool:
        """Whether HDFS refuses changes."""
        return bool(self._namenode_bean("NameNodeInfo")["Safemode"])

    def applications(self) -> list[Application]:
        """Returns what YARN knows of each application, oldest first."""
        return self.client.applications()

    def application_state(self, application_id: str) -> str:
        """Returns ACCEPTED, RUNNING, FINISHED, FAILED, KILLED, ..."""
        return self.client.application(application_id).state

    def kill_application(self, application_id: str) -> None:
        """Has YARN kill an application, and waits until it has ended."""
        self.client.kill_application(application_id)
        wait_until(lambda: self.client.application(application_id).has_ended, f"{application_id} to end")

    def node_states(self) -> dict[str, str]:
        """Returns the state (RUNNING, LOST, SHUTDOWN, ...) of each NodeManager by its id."""
        return self.client.node_states()

    def container_logs(self, application_id: str) -> dict[str, str]:
        """Returns what an application's containers have logged so far, by container and file (``.../stderr``)."""
        found = {}
        for node in self.node_managers:
            top = node.container_logs / application_id
            for path in sorted(top.glob("*/*")):
                found[str(path.relative_to(top))] = path.read_text(encoding="utf-8", errors="replace")
        return found

    def _daemon(self, name: str, main_class: str, answers: Callable[[], bool]) -> Daemon:
        return Daemon(
            name,
            self._command(main_class),
            environment=self._environment,
            directory=self.home / "run",
            log=self.logs / f"{name}.log",
            answers=answers,
        )

    def _node_manager(self, number: int) -> NodeManager:
        name = f"nodemanager-{number}"
        directory = self.home / name
        ports = kept_ports(directory / "ports.json", _NODE_PORTS)
        settings: dict[str, object] = {
            **{setting: f"{HOST}:{port}" for setting, port in ports.items()},
            "yarn.nodemanager.local-dirs": directory / "local",
            "yarn.nodemanager.log-dirs": directory / "logs",
        }
        node = NodeManager(
            name,
            self._command("yarn.server.nodemanager.NodeManager", settings),
            environment={**self._environment, MARK: str(directory)},
            directory=directory,
            log=self.logs / f"{name}.log",
            answers=_serves(ports["yarn.nodemanager.webapp.address"], "/ws/v1/node/info"),
        )
        node.node_id = f"localhost:{ports['yarn.nodemanager.address']}"
        node.container_logs = directory / "logs"
        return node

    def _command(self, main_class: str, settings: Optional[Mapping[str, object]] = None) -> Sequence[str]:
        arguments = [word for name, value in (settings or {}).items() for word in ("-D", f"{name}={value}")]
        return java_command(
            self._environment,
            self._class_path,
            _main(main_class),
            arguments,
            memory=self._daemon_memory,
            properties=self._java_properties,
        )

    def _namenode_bean(self, name: str) -> dict[str, Any]:
        port = self._ports[hadoop_conf.NAMENODE_WEB]
        beans = fetch_json(f"http://{HOST}:{port}/jmx?qry=Hadoop:service=NameNode,name={name}")["beans"]
        return dict(beans[0])

    def _live_datanodes(self) -> int:
        return int(self._namenode_bean("FSNamesystemState")["NumLiveDataNodes"])

    def _calm_resource_manager(self) -> None:
        """Lowers the priority of the ResourceManager's token threads: one never pauses and would hog a processor."""
        for thread in Path(f"/proc/{self.resource_manager.pid}/task").glob("*"):
            with contextlib.suppress(OSError):  # the thread has ended
                if (thread / "comm").read_text(encoding="utf-8").startswith("DelegationToken"):
                    os.setpriority(os.PRIO_PROCESS, int(thread.name), 19)

    def _make_standard_directories(self) -> None:
        for path in ("/tmp", "/yarn/logs", "/user/hive/warehouse"):
            self.hdfs.make_directories(path, 0o1777)
        self.make_user(getpass.getuser())


def _serves(port: int, path: str) -> Callable[[], bool]:
    return lambda: bool(fetch(f"http://{HOST}:{port}{path}"))


def _main(name: str) -> str:
    return f"org.apache.hadoop.{name}"
