"""
Submits the application to YARN, through ``spark-submit`` in cluster mode.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Callable

from pyspark.find_spark_home import _find_spark_home

from traffic_aggr.cluster.request import DriverRequest
from traffic_aggr.config.config import Config
from traffic_aggr.errors import InputError
from traffic_aggr.spark import shipping
from traffic_aggr.spark.engine import with_engine
from traffic_aggr.spark.jvm import child_environment, open_log, told_by_spark

COMMAND = "in-cluster"
CONFIG_FILE = "traffic_aggr.yaml"
REQUEST_FILE = "request.json"
AUTHORITY_FILE = "impala-ca.pem"

_POLL_S = 0.2
# These hold paths of this host, which mean nothing on another.
_NOT_INHERITED = ("PYTHONPATH", "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")


def tag(run_id: str) -> str:
    """Returns the YARN tag that identifies the application of a run."""
    return f"traffic_aggr-{run_id}".lower()


def submit(config: Config, request: DriverRequest, sleep: Callable[[float], None]) -> None:
    """
    Submits the run; returns once ``spark-submit`` has, when YARN has accepted the application.

    ``sleep`` is called while waiting. If it raises, ``spark-submit`` is killed. The output of ``spark-submit`` goes to
    ``spark.log``. Raises InputError with the reason when ``spark-submit`` fails.
    """
    with tempfile.TemporaryDirectory(prefix="traffic_aggr-") as name:
        directory = Path(name)
        (directory / CONFIG_FILE).write_text(config.to_yaml(), encoding="utf-8")
        (directory / REQUEST_FILE).write_text(request.to_json(), encoding="utf-8")
        home: str = _find_spark_home()  # type: ignore[no-untyped-call]
        command = [os.path.join(home, "bin", "spark-submit"), *_arguments(config, request, directory)]
        path, log, start = open_log(config.logs.dir)
        try:
            environment = child_environment(config.logs.dir, without=_NOT_INHERITED)
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        finally:
            os.close(log)
        try:
            while process.poll() is None:
                sleep(_POLL_S)
        except BaseException:  # a signal: spark-submit must not submit unwatched
            process.kill()
            process.wait()
            raise
    if process.returncode:
        reason = told_by_spark(path, start)
        raise InputError(f"spark-submit refuses{f': {reason}' if reason else ''}", hint=f"See {path}")


def _arguments(config: Config, request: DriverRequest, directory: Path) -> list[str]:
    settings = _settings(config, request, directory)
    return [
        *("--master", config.spark.master),
        *("--deploy-mode", "cluster"),
        *("--name", config.job.name),
        *(part for key, value in settings.items() for part in ("--conf", f"{key}={value}")),
        *config.spark.submit,
        str(shipping.PACKAGE / "__main__.py"),
        COMMAND,
    ]


def _settings(config: Config, request: DriverRequest, directory: Path) -> Mapping[str, str]:
    """Returns the configured Spark settings, with the job's entries appended to those that are lists."""
    defaults = {
        # A second attempt would start before anyone knows why the first one failed.
        "spark.yarn.maxAppAttempts": "1",
        # The launcher polls the application and the run record itself.
        "spark.yarn.submit.waitAppCompletion": "false",
    }
    settings = shipping.with_packages(
        {**defaults, **with_engine(config.spark)}, directory, config.job.definition.partition(":")[0]
    )
    shipping.append(settings, "spark.yarn.tags", tag(request.run_id))
    shipping.append(settings, "spark.yarn.dist.files", f"{directory / CONFIG_FILE},{directory / REQUEST_FILE}")
    authority = config.impala.tls.ca_cert
    if authority is not None:
        shipping.append(settings, "spark.yarn.dist.files", f"{authority}#{AUTHORITY_FILE}")
    return settings


def on_arrival(config: Config, directory: Path) -> Config:
    """Returns the configuration with the launcher host's paths replaced by those in the container's ``directory``."""
    impala = config.impala
    if impala.tls.ca_cert is None:
        return config
    tls = replace(impala.tls, ca_cert=directory / AUTHORITY_FILE)
    return replace(config, impala=replace(impala, tls=tls))
