"""
Configuration of a Hadoop cluster on the loopback interface: NameNode, DataNode, ResourceManager and NodeManagers.

Daemons and clients share the directory that ``write_configuration`` fills; HADOOP_CONF_DIR names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional
from xml.sax.saxutils import escape

from devtools.daemons import HOST
from devtools.sweeper import MARK

LOG4J = "hadoop-log4j2.properties"  # Spark gets this directory too, and would read a log4j2.properties
QUEUES = ("default", "etl")
DEFAULT_FS = "fs.defaultFS"
NAMENODE_WEB = "dfs.namenode.http-address"
DATANODE_WEB = "dfs.datanode.http.address"
RESOURCE_MANAGER = "yarn.resourcemanager.address"
RESOURCE_MANAGER_WEB = "yarn.resourcemanager.webapp.address"
HDFS_ADDRESSES = (NAMENODE_WEB, DATANODE_WEB, "dfs.datanode.address", "dfs.datanode.ipc.address")
YARN_ADDRESSES = (
    RESOURCE_MANAGER,
    RESOURCE_MANAGER_WEB,
    "yarn.resourcemanager.scheduler.address",
    "yarn.resourcemanager.resource-tracker.address",
    "yarn.resourcemanager.admin.address",
)
"""Settings whose value is a host and a port. Each gets a port of its own; each NodeManager is given its own."""

# A node that sends no heartbeat for this long counts as lost.
NODE_EXPIRY_MS = 12_000
MINIMUM_CONTAINER_MB = 256

_STATE_STORE = "org.apache.hadoop.yarn.server.resourcemanager.recovery.FileSystemRMStateStore"
_LOG4J = """\
rootLogger.level = ${sys:devtools.level:-info}
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c{1}: %m%n%ex
"""


@dataclass(frozen=True)
class Login:
    """The Kerberos principal of all daemons and of their operator, its keytab, and the krb5.conf for Java."""

    principal: str
    keytab: Path
    krb5_conf: Path

    @property
    def java_option(self) -> str:
        """The option that tells a JVM where the realm is."""
        return f"-Djava.security.krb5.conf={self.krb5_conf}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Hadoop's classes log in."""
        return {"JAVA_TOOL_OPTIONS": self.java_option, "KRB5PRINCIPAL": self.principal, "KRB5KEYTAB": str(self.keytab)}


def write_configuration(
    directory: Path, home: Path, ports: Mapping[str, int], node_memory_mb: int, login: Optional[Login] = None
) -> None:
    """
    Writes all configuration files into ``directory``.

    The daemons keep their data beneath ``home``. With ``login`` they require Kerberos.
    """
    directory.mkdir(parents=True, exist_ok=True)
    addresses = {name: f"{HOST}:{port}" for name, port in ports.items()}
    hdfs, yarn = ({name: addresses[name] for name in names} for names in (HDFS_ADDRESSES, YARN_ADDRESSES))
    secured = _secured(login) if login is not None else {}
    write_site(directory / "core-site.xml", {**_core(home, addresses[DEFAULT_FS]), **secured.get("core", {})})
    write_site(directory / "hdfs-site.xml", {**_hdfs(home), **hdfs, **secured.get("hdfs", {})})
    write_site(directory / "yarn-site.xml", {**_yarn(home, node_memory_mb), **yarn, **secured.get("yarn", {})})
    write_site(directory / "capacity-scheduler.xml", _queues())
    (directory / LOG4J).write_text(_LOG4J, encoding="utf-8")


def write_site(path: Path, settings: Mapping[str, object]) -> None:
    """Writes settings as an XML file that Hadoop and Hive read."""
    lines = (
        f"  <property><name>{escape(name)}</name><value>{escape(str(value))}</value></property>"
        for name, value in settings.items()
    )
    path.write_text("\n".join(["<configuration>", *lines, "</configuration>", ""]), encoding="utf-8")


def _core(home: Path, namenode: str) -> dict[str, object]:
    return {
        DEFAULT_FS: f"hdfs://{namenode}",
        "hadoop.tmp.dir": home / "tmp",
        "fs.trash.interval": 0,
    }


def _hdfs(home: Path) -> dict[str, object]:
    return {
        "dfs.namenode.name.dir": (home / "namenode").as_uri(),
        "dfs.datanode.data.dir": (home / "datanode").as_uri(),
        "dfs.datanode.hostname": HOST,
        "dfs.replication": 1,
        "dfs.permissions.enabled": "true",
        # Without the fsync a kill loses nothing; only a power cut would.
        "dfs.namenode.edits.noeditlogchannelflush": "true",
        "dfs.namenode.safemode.extension": 0,
        "dfs.namenode.safemode.min.datanodes": 1,
        "dfs.heartbeat.interval": 1,
        # The DataNode reports a block a moment after the writer's ack; by default the writer then waits 400 ms.
        # Doubled at each retry: soon when the disk is quiet, up to 20 s when it is not.
        "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": 5,
        "dfs.client.block.write.locateFollowingBlock.retries": 12,
        "dfs.namenode.heartbeat.recheck-interval": 1_000,
    }


def _yarn(home: Path, node_memory_mb: int) -> dict[str, object]:
    return {
        "yarn.resourcemanager.hostname": HOST,
        "yarn.nodemanager.hostname": HOST,
        "yarn.nm.liveness-monitor.expiry-interval-ms": NODE_EXPIRY_MS,
        "yarn.resourcemanager.connect.retry-interval.ms": 1_000,
        "yarn.am.liveness-monitor.expiry-interval-ms": 30_000,
        # A restarted ResourceManager keeps its running applications, as on production clusters.
        "yarn.resourcemanager.recovery.enabled": "true",
        "yarn.resourcemanager.store.class": _STATE_STORE,
        "yarn.resourcemanager.fs.state-store.uri": (home / "resourcemanager").as_uri(),
        "yarn.resourcemanager.work-preserving-recovery.scheduling-wait-ms": 0,
        "yarn.scheduler.minimum-allocation-mb": MINIMUM_CONTAINER_MB,
        "yarn.scheduler.maximum-allocation-mb": node_memory_mb,
        "yarn.nodemanager.resource.memory-mb": node_memory_mb,
        "yarn.nodemanager.resource.cpu-vcores": 4,
        "yarn.nodemanager.vmem-check-enabled": "false",
        "yarn.nodemanager.pmem-check-enabled": "false",
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": 100,
        "yarn.nodemanager.env-whitelist": f"JAVA_HOME,SPARK_LOCAL_IP,SPARK_LOCAL_HOSTNAME,JAVA_TOOL_OPTIONS,{MARK}",
        # YARN copies logs to HDFS when an application ends. The delay below keeps the local ones as well.
        "yarn.log-aggregation-enable": "true",
        "yarn.nodemanager.remote-app-log-dir": "/yarn/logs",
        "yarn.nodemanager.delete.debug-delay-sec": 86_400,
    }


def _secured(login: Login) -> dict[str, dict[str, object]]:
    """
    Returns what Kerberos adds to each file.

    Pages and web services stay as they are: they believe the name that a caller claims.
    """
    principal, keytab = login.principal, login.keytab
    return {
        "core": {"hadoop.security.authentication": "kerberos"},
        "hdfs": {
            "dfs.namenode.kerberos.principal": principal,
            "dfs.namenode.keytab.file": keytab,
            "dfs.datanode.kerberos.principal": principal,
            "dfs.datanode.keytab.file": keytab,
            "dfs.block.access.token.enable": "true",
            "dfs.data.transfer.protection": "authentication",
            # Otherwise HDFS requires HTTPS with certificates, or ports that only root can open.
            "ignore.secure.ports.for.testing": "true",
        },
        "yarn": {
            "yarn.resourcemanager.principal": principal,
            "yarn.resourcemanager.keytab": keytab,
            "yarn.nodemanager.principal": principal,
            "yarn.nodemanager.keytab": keytab,
            # In a secured cluster it needs Hadoop's native library; without that the NodeManager crashes.
            "yarn.log-aggregation-enable": "false",
        },
    }


def _queues() -> dict[str, object]:
    settings: dict[str, object] = {
        "yarn.scheduler.capacity.root.queues": ",".join(QUEUES),
        "yarn.scheduler.capacity.maximum-am-resource-percent": 1.0,
        # Considers every node at once, instead of waiting some heartbeats for the node that has the data.
        "yarn.scheduler.capacity.node-locality-delay": 0,
    }
    for queue in QUEUES:
        settings[f"yarn.scheduler.capacity.root.{queue}.capacity"] = 100 / len(QUEUES)
        settings[f"yarn.scheduler.capacity.root.{queue}.maximum-capacity"] = 100
        settings[f"yarn.scheduler.capacity.root.{queue}.user-limit-factor"] = len(QUEUES)
    return settings
