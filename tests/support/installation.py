"""The job as cron starts it: its own configuration and sample data, and real processes through spark-submit.sh."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

import duckdb
import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.spark_session import QUICK_JVM

DAYS = ("2021-04-01", "2021-04-02", "2021-04-03")
PATIENCE_S = 300


class Installation:
    """
    A configuration with sample data of its own, and the launcher as cron would call it.

    The metastore is an embedded one, or the server at ``metastore_uri``. ``spark_conf`` is merged over spark.conf;
    ``java_options`` are added to the driver's.
    """

    def __init__(
        self,
        home: Path,
        *,
        metastore_uri: Optional[str] = None,
        spark_conf: Optional[Mapping[str, Any]] = None,
        java_options: str = "",
    ) -> None:
        self.home = home
        local = yaml.safe_load((ROOT / "conf" / "local.yaml").read_text())
        local["impala"], local["dependants"] = {"enabled": False}, []
        conf = local["spark"]["conf"]
        conf["spark.driver.memory"] = "1g"
        conf["spark.driver.extraJavaOptions"] += f" -Dderby.system.durability=test {QUICK_JVM} {java_options}"
        if metastore_uri is not None:
            conf["spark.hadoop.hive.metastore.uris"] = metastore_uri
        conf.update(spark_conf or {})
        self._document = local
        self.configure({})

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Rewrites the configuration with ``settings`` merged over the current one."""
        for section, values in settings.items():
            whole = not isinstance(values, Mapping)
            self._document[section] = values if whole else {**self._document[section], **values}
        (self.home / "config.yaml").write_text(yaml.safe_dump(self._document))

    def make_sample_data(self, final_format: str = "parquet") -> None:
        sizes = ("--days", str(len(DAYS)), "--rows-per-day", "300")
        out = str(self.home / "sample")
        command = ("sample-data", "--out", out, *sizes, "--final-format", final_format)
        code, _, err = self.run(*command)
        assert code == 0, err

    def start(self, *command: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        environment = {"TRAFFIC_AGGR_DEMO": str(self.home), "LANG": "C"}
        environment.update(dict.fromkeys(("TRAFFIC_AGGR_PYTHON", "PYSPARK_PYTHON"), sys.executable))
        for name in ("JAVA_HOME", "PATH"):  # where this machine keeps its Java
            if name in os.environ:
                environment[name] = os.environ[name]
        return subprocess.Popen(
            [*(launcher or (str(ROOT / "spark-submit.sh"),)), *command, "--config", str(self.home / "config.yaml")],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, launcher: tuple[str, ...] = ()) -> tuple[int, str, str]:
        process = self.start(*command, launcher=launcher)
        out, err = process.communicate(timeout=PATIENCE_S)
        return process.returncode, out, err

    def newest_record(self) -> dict[str, Any]:
        runs = self.home / "state" / "runs"
        records = sorted(runs.glob("*/run.json")) if runs.exists() else []
        return json.loads(records[-1].read_text()) if records else {}

    def wait_until(self, reached: Callable[[dict[str, Any]], bool], process: subprocess.Popen[str]) -> None:
        """Waits until the newest run record satisfies ``reached``, while ``process`` runs."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if reached(self.newest_record()):
                return
            if process.poll() is not None:
                pytest.fail(f"ended before it got there: {process.communicate()}")
            time.sleep(0.005)
        pytest.fail("never got there")

    def data(self) -> list[tuple[Any, ...]]:
        """Returns the rows in the standard directories of the listed days, sorted by their repr."""
        found = []
        for day in DAYS:
            files = [str(path) for path in (self.home / "sample" / "final" / f"partition_date={day}").glob("*.parquet")]
            if files:
                found += duckdb.execute("SELECT *, ? FROM read_parquet(?)", [day, files]).fetchall()
        return sorted(found, key=repr)

    def status(self) -> str:
        return (self.home / "state" / "process_status").read_text()
