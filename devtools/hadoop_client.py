"""
Hadoop's clients for operators: they list and kill YARN applications, and switch the safe mode of HDFS.

They run in a small JVM of their own and answer in milliseconds, where each ``yarn`` or ``hdfs`` command would start
another JVM. The ResourceManager's web service is no substitute: in the shaded jar it returns next to nothing.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

from devtools.daemons import JVM_OPTIONS
from devtools.hadoop_conf import Login
from devtools.hadoop_jars import spark_jars

ENDED = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class Container:
    """A container that YARN gave to an application; ``node`` is the id of its NodeManager."""

    id: str
    node: str
    state: str


@dataclass(frozen=True)
class Attempt:
    """
    One attempt to run an application.

    ``container`` is the id of the application master's container, empty while there is none. With ``--deploy-mode
    cluster`` the driver runs in it.
    """

    id: str
    state: str
    container: str
    diagnostics: str


@dataclass(frozen=True)
class Application:
    """
    An application as YARN reports it.

    ``state`` is ACCEPTED, RUNNING, FINISHED, FAILED, KILLED or an earlier state; ``final_status`` is UNDEFINED,
    SUCCEEDED, FAILED or KILLED.
    """

    id: str
    name: str
    user: str
    queue: str
    state: str
    final_status: str
    diagnostics: str

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


class HadoopClient:
    """Clients of the cluster whose configuration comes first in ``class_path``; ``close`` ends their JVM."""

    def __init__(
        self, class_path: Sequence[Path], environment: Mapping[str, str], directory: Path, login: Optional[Login] = None
    ) -> None:
        port, token, self._process = launch_gateway(
            jarpath=str(next(spark_jars().glob("py4j-*.jar"))),
            classpath=os.pathsep.join(map(str, class_path)),
            javaopts=["-Xmx128m", *JVM_OPTIONS, *([login.java_option] if login is not None else [])],
            java_path=os.path.join(environment["JAVA_HOME"], "bin", "java"),
            die_on_exit=True,
            enable_auth=True,
            return_proc=True,
            cwd=str(directory),
        )
        self._gateway = JavaGateway(
            gateway_parameters=GatewayParameters(port=port, auth_token=token, auto_convert=True)
        )
        self._hadoop = self._gateway.jvm.org.apache.hadoop
        if login is not None:
            self._hadoop.security.UserGroupInformation.loginUserFromKeytab(login.principal, str(login.keytab))
        self._conf = self._hadoop.yarn.conf.YarnConfiguration()
        # Fail fast while a daemon is down.
        for setting, value in {
            "yarn.resourcemanager.connect.max-wait.ms": 5_000,
            "yarn.resourcemanager.connect.retry-interval.ms": 500,
            "ipc.client.connect.max.retries": 3,
        }.items():
            self._conf.setInt(setting, value)
        self._yarn = self._hadoop.yarn.client.api.YarnClient.createYarnClient()
        self._yarn.init(self._conf)
        self._yarn.start()

    def close(self) -> None:
        """Ends the JVM."""
        # After close() alone, py4j would release its Java objects in a JVM that is gone, and log tracebacks.
        self._gateway.shutdown()
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def applications(self) -> list[Application]:
        """Returns all applications, oldest first."""
        found = [_application(report) for report in self._yarn.getApplications()]
        return sorted(found, key=lambda application: application.id)

    def application(self, application_id: str) -> Application:
        """Returns one application."""
        return _application(self._yarn.getApplicationReport(self._application_id(application_id)))

    def attempts(self, application_id: str) -> list[Attempt]:
        """Returns the attempts at an application so far, oldest first."""
        found = [
            Attempt(
                id=report.getApplicationAttemptId().toString(),
                state=report.getYarnApplicationAttemptState().toString(),
                container=_text(report.getAMContainerId()),
                diagnostics=_text(report.getDiagnostics()),
            )
            for report in self._yarn.getApplicationAttempts(self._application_id(application_id))
        ]
        return sorted(found, key=lambda attempt: attempt.id)

    def containers(self, attempt_id: str) -> list[Container]:
        """Returns the containers that an attempt has now."""
        attempt = self._hadoop.yarn.api.records.ApplicationAttemptId.fromString(attempt_id)
        found = [
            Container(
                id=report.getContainerId().toString(),
                node=report.getAssignedNode().toString(),
                state=report.getContainerState().toString(),
            )
            for report in self._yarn.getContainers(attempt)
        ]
        return sorted(found, key=lambda container: container.id)

    def kill_application(self, application_id: str) -> None:
        """Asks YARN to kill an application, without waiting for it to end."""
        self._yarn.killApplication(self._application_id(application_id))

    def node_states(self) -> dict[str, str]:
        """Returns the state (RUNNING, LOST, SHUTDOWN, ...) of each NodeManager by its id."""
        states = self._gateway.new_array(self._hadoop.yarn.api.records.NodeState, 0)
        reports = self._yarn.getNodeReports(states)
        return {report.getNodeId().toString(): report.getNodeState().toString() for report in reports}

    def set_safe_mode(self, *, on: bool) -> None:
        """Turns the safe mode of HDFS, in which it refuses changes, on or off."""
        action = self._hadoop.hdfs.protocol.HdfsConstants.SafeModeAction
        system = self._hadoop.fs.FileSystem.get(self._conf)
        system.setSafeMode(action.SAFEMODE_ENTER if on else action.SAFEMODE_LEAVE)

    def _application_id(self, text: str) -> Any:
        return self._hadoop.yarn.api.records.ApplicationId.fromString(text)


def _application(report: Any) -> Application:
    return Application(
        id=report.getApplicationId().toString(),
        name=report.getName(),
        user=report.getUser(),
        queue=report.getQueue(),
        state=report.getYarnApplicationState().toString(),
        final_status=report.getFinalApplicationStatus().toString(),
        diagnostics=_text(report.getDiagnostics()),
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value if isinstance(value, str) else value.toString())
