"""
Spark's own cluster manager on one machine: a master and a worker from pip's pyspark.

    with SparkStandalone(directory) as standalone:
        subprocess.run([spark_submit, "--master", standalone.uri, ...])
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from devtools.daemons import HOST, Daemon, Startable, fetch, java_command, java_environment, kept_ports, wait_until
from devtools.hadoop_jars import spark_jars
from devtools.sweeper import Sweeper

_PORTS = ("master", "master web", "worker", "worker web")


class SparkStandalone(Startable):
    """
    A ``master`` and a ``worker`` with ``cores`` and ``memory`` for executors; use it as a context manager.

    ``home`` holds their ``logs``, and the executors' output in ``work``. Drivers run where they are submitted: with
    this manager Spark does not run Python programs on the workers. ``conf`` is a Hadoop configuration for all of them.
    """

    def __init__(self, home: Path, *, cores: int = 2, memory: str = "2g", conf: Optional[Path] = None) -> None:
        self.home = home.resolve()
        self._ports = kept_ports(self.home / "ports.json", _PORTS)
        self._conf = conf
        self._sweeper: Optional[Sweeper] = None
        master, worker = "org.apache.spark.deploy.master.Master", "org.apache.spark.deploy.worker.Worker"
        self.master = self._daemon("master", master)
        work = ["--cores", str(cores), "--memory", memory, "--work-dir", str(self.home / "work")]
        self.worker = self._daemon("worker", worker, *work, self.uri)

    @property
    def uri(self) -> str:
        """Value for ``--master``."""
        return f"spark://{HOST}:{self._ports['master']}"

    def start(self) -> None:
        """Starts both and waits until the worker has registered. Raises RuntimeError when it does not."""
        if self._sweeper is None:
            self._sweeper = Sweeper(self.home)
        try:
            self.master.launch()
            self.worker.launch()
            self.master.wait_until_it_answers()
            self.worker.wait_until_it_answers()
            wait_until(self._has_worker, "the master to know its worker")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops both, and kills their executors."""
        self.worker.terminate()
        self.master.terminate()
        self.worker.stop()
        self.master.stop()
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.sweep()

    def _daemon(self, name: str, main_class: str, *arguments: str) -> Daemon:
        # The worker builds an executor's command as spark-class does, which sets SPARK_HOME and SPARK_SCALA_VERSION.
        home, (core,) = spark_jars().parent, spark_jars().glob("spark-core_*.jar")
        scala = core.name.split("_")[1].split("-")[0]
        environment = java_environment(self.home, SPARK_LOCAL_IP=HOST, SPARK_HOME=str(home), SPARK_SCALA_VERSION=scala)
        if self._conf is not None:
            environment["HADOOP_CONF_DIR"] = str(self._conf)
        web = self._ports[f"{name} web"]
        addresses = ["--host", HOST, "--port", str(self._ports[name]), "--webui-port", str(web)]
        return Daemon(
            name,
            java_command(
                environment,
                [*([self._conf] if self._conf else []), os.path.join(spark_jars(), "*")],
                main_class,
                [*addresses, *arguments],
                memory="256m",
            ),
            environment=environment,
            directory=self.home,
            log=self.home / "logs" / f"{name}.log",
            answers=_serves(web),
        )

    def _has_worker(self) -> bool:
        return b'"aliveworkers" : 1' in fetch(f"http://{HOST}:{self._ports['master web']}/json/")


def _serves(port: int) -> Callable[[], bool]:
    return lambda: bool(fetch(f"http://{HOST}:{port}/json/"))
