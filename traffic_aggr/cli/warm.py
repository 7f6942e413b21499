"""`check --warm`: has Java keep Spark's classes for its next starts."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from traffic_aggr.config.config import (
    Config,
    ImpalaConfig,
    LogsConfig,
    NotifyConfig,
    PartitionsConfig,
    SparkConfig,
    StateConfig,
)
from traffic_aggr.config.sections import SmtpConfig
from traffic_aggr.errors import InputError
from traffic_aggr.text import first_line

_OF_THE_CLUSTER = ("HADOOP_CONF_DIR", "YARN_CONF_DIR")
_SAMPLE = ("sample-data", "--days", "1", "--rows-per-day", "100")


def make_class_archive(spark: SparkConfig) -> Path:
    """
    Makes the class archive of this Python environment, and returns its path.

    For that it makes sample data with Spark on this host, in a directory and a metastore of their own. Raises
    InputError where there can be no archive.
    """
    from traffic_aggr.spark.engine import with_engine
    from traffic_aggr.spark.jvm import class_archive

    with TemporaryDirectory(prefix="traffic_aggr-") as home:
        config = _on_samples(Path(home), spark)
        Path(home, "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
        archive = class_archive(with_engine(config.spark), config.spark.submit)
        with archive.made() as option:
            environment = {name: value for name, value in os.environ.items() if name not in _OF_THE_CLUSTER}
            # C1 alone: this JVM compiles nothing that pays off.
            options = [environment.get("SPARK_SUBMIT_OPTS", ""), option, "-XX:TieredStopAtLevel=1"]
            environment["SPARK_SUBMIT_OPTS"] = " ".join(options).strip()
            command = [sys.executable, "-m", "traffic_aggr", *_SAMPLE, "--out", f"{home}/sample"]
            made = subprocess.run(
                [*command, "--config", str(config.path)],
                cwd=home,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
            if made.returncode != 0:
                raise InputError(
                    f"no class archive was made: {first_line(made.stderr)}", hint="Run `check` without --warm"
                )
    return archive.path


def _on_samples(home: Path, spark: SparkConfig) -> Config:
    """Returns a configuration with Spark as configured, as far as Java's class path depends on it, and all else new."""
    conf = {
        **spark.conf,
        "spark.hadoop.hive.metastore.uris": "",
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={home}/metastore;create=true",
        "spark.sql.warehouse.dir": f"{home}/warehouse",
        "spark.ui.enabled": "false",
    }
    return Config(
        path=home / "config.yaml",
        partitions=PartitionsConfig(file=f"{home}/sample/partitions.txt"),
        state=StateConfig(dir=f"{home}/state", status_file=home / "process_status", lock_file=home / "run.lock"),
        logs=LogsConfig(dir=home / "logs"),
        notify=NotifyConfig(alert_file=home / "alerts.jsonl", smtp=SmtpConfig(host=None)),
        impala=ImpalaConfig(enabled=False),
        spark=replace(spark, master="local[2]", deploy_mode="client", conf=conf),
    )
