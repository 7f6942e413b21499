"""
A private Hive metastore server, run from the jars of pip's pyspark, with its database in Derby.

    with MetastoreServer(directory) as metastore:
        print(metastore.uri)  # for spark.hadoop.hive.metastore.uris

The warehouse is beside the database unless ``warehouse`` names another place. A warehouse on HDFS also needs ``conf``,
Hadoop's configuration directory. A secured HDFS also needs the ``environment`` in which Hadoop's classes log in.

The server asks for no password and listens on every interface, since this version of Hive has no setting for that. Use
it for tests and trials, on a host behind a firewall. It starts in 10 s, in 6 s on a used directory, and takes 250 to
500 MB of memory.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from thrift.transport.TTransport import TTransportException

from devtools.daemons import Startable, free_ports, java_command, java_environment
from devtools.hadoop_jars import spark_jars
from devtools.impala_double.metastore_catalog import ThriftMetastoreCatalog

HOST = "127.0.0.1"
START_TIMEOUT_S = 300
STOP_TIMEOUT_S = 60

_ASK_EVERY_S = 0.2
# Without a configuration, Hive sets up logging through classes that are not among Spark's jars.
_LOG4J = """\
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c{1}: %m%n%ex
"""


class MetastoreServer(Startable):
    """
    A server over the database in ``home``, which it creates when missing; use it as a context manager.

    ``port`` 0 takes a free port, which it keeps over restarts. The server's output goes to ``home/metastore.log``.
    """

    def __init__(
        self,
        home: Path,
        *,
        port: int = 0,
        memory: str = "512m",
        warehouse: Optional[str] = None,
        conf: Optional[Path] = None,
        environment: Optional[Mapping[str, str]] = None,
    ) -> None:
        self.home = home
        self.port = port or free_ports(1)[0]
        self.warehouse = warehouse or (home / "warehouse").as_uri()
        self._memory = memory
        self._conf = conf
        self._environment = environment or {}
        self._process: Optional[subprocess.Popen[bytes]] = None

    @property
    def uri(self) -> str:
        """The address in the form that Hive's clients expect."""
        return f"thrift://{HOST}:{self.port}"

    @property
    def catalog(self) -> ThriftMetastoreCatalog:
        """A client of this server."""
        return ThriftMetastoreCatalog(HOST, self.port)

    def start(self) -> None:
        """
        Starts the server unless it is running, and waits until it answers.

        Raises RuntimeError when it exits first or stays silent.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "log4j2.properties").write_text(_LOG4J, encoding="utf-8")
        environment = java_environment(self.home, **self._environment)
        with (self.home / "metastore.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(environment),
                env=environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stops the server if it is running; kills it when it is still there after ``STOP_TIMEOUT_S``."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kills the server at once (SIGKILL), whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Stops the server if it is running, and starts it on the same port and database."""
        self.stop()
        self.start()

    def _class_path(self) -> Sequence[Path]:
        return [spark_jars() / "*"]

    def _settings(self) -> Mapping[str, object]:
        home = self.home
        return {
            "log4j.configurationFile": home / "log4j2.properties",
            "java.io.tmpdir": home,
            "derby.system.home": home,
            "javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={home}/metastore_db;create=true",
            "hive.metastore.warehouse.dir": self.warehouse,
            "datanucleus.schema.autoCreateAll": "true",
            "hive.metastore.schema.verification": "false",
        }

    def _command(self, environment: Mapping[str, str]) -> list[str]:
        return java_command(
            environment,
            [*filter(None, [self._conf]), *self._class_path()],
            "org.apache.hadoop.hive.metastore.HiveMetaStore",
            ["-p", str(self.port)],
            memory=self._memory,
            properties=self._settings(),
        )

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection((HOST, self.port), timeout=1).close()
                self.catalog.tables()
                return
            except (OSError, TTransportException) as exc:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the metastore server did not start: see {self.home}/metastore.log") from exc
            time.sleep(_ASK_EVERY_S)
