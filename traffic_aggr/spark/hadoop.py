"""
Hadoop's clients in this process's JVM, which starts when one of them is first used.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Optional

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from traffic_aggr.errors import ConfigError
from traffic_aggr.files.hadoop import HadoopFiles
from traffic_aggr.spark.errors import java_says
from traffic_aggr.spark.session import (
    SparkSettings,
    end_gateway,
    gateway_process_id,
    hadoop_configuration,
    start_gateway,
)
from traffic_aggr.spark.yarn import Applications


class Hadoop:
    """Files, secrets and applications of Hadoop. ``spark`` is a running session whose JVM to use, if there is one."""

    def __init__(self, config: SparkSettings, log_dir: Path, spark: Optional[SparkSession] = None) -> None:
        self._config = config
        self._log_dir = log_dir
        self._spark = spark
        self._started: Optional[Any] = None

    @property
    def gateway(self) -> Any:
        """PySpark's gateway to the JVM. Raises InputError when it cannot start."""
        if self._spark is not None:
            return self._spark.sparkContext._gateway
        if self._started is None:
            self._started = start_gateway(self._config, self._log_dir)
        return self._started

    @property
    def process_id(self) -> int:
        """The process id of the JVM, on this host."""
        return gateway_process_id(self.gateway)

    @cached_property
    def files(self) -> HadoopFiles:
        """Files of any file system that Hadoop's client supports."""
        return HadoopFiles(self.gateway.jvm, self._configuration)

    @cached_property
    def applications(self) -> Applications:
        """YARN's resource manager."""
        return Applications(self.gateway.jvm, self._configuration)

    def runs(self, application_id: str) -> bool:
        """Whether YARN knows the application and it has not ended. Raises StateError."""
        return self.applications.runs(application_id)

    def secret(self, alias: str) -> str:
        """Returns the credential provider's secret for ``alias``, empty when it has none. Raises ConfigError."""
        try:
            found = self._configuration.getPassword(alias)
        except Py4JJavaError as exc:
            reason = java_says(exc.java_exception)
            raise ConfigError(
                f"the credential provider does not give {alias}: {reason}",
                hint="Check spark.hadoop.hadoop.security.credential.provider.path in spark.conf",
            ) from exc
        return "".join(found) if found is not None else ""

    def stop(self) -> None:
        """Ends the JVM if this object started it."""
        started, self._started = self._started, None
        if started is not None:
            end_gateway(started)

    @cached_property
    def _configuration(self) -> Any:
        return hadoop_configuration(self._config, self.gateway)
