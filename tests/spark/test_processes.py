"""The job as cron starts it: real processes through spark-submit.sh, an embedded metastore, signals and kills."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from tests.conftest import QUICK_JVM

ROOT = Path(__file__).resolve().parents[2]
DAYS = ("2021-04-01", "2021-04-02", "2021-04-03")
PATIENCE_S = 300


class Installation:
    """A configuration with sample data of its own, and the launcher as cron would call it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        local = yaml.safe_load((ROOT / "conf" / "local.yaml").read_text())
        local["impala"] = {"enabled": False}
        conf = local["spark"]["conf"]
        conf["spark.driver.memory"] = "1g"
        conf["spark.driver.extraJavaOptions"] += f" -Dderby.system.durability=test {QUICK_JVM}"
        (home / "config.yaml").write_text(yaml.safe_dump(local))

    def start(self, *command: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        environment = {"TRAFFIC_AGGR_DEMO": str(self.home), "LANG": "C", "PYSPARK_PYTHON": sys.executable}
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
        """Waits for a state of the newest run record while ``process`` runs."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if reached(self.newest_record()):
                return
            if process.poll() is not None:
                pytest.fail(f"ended before it got there: {process.communicate()}")
            time.sleep(0.005)
        pytest.fail("never got there")

    def data(self) -> list[tuple[Any, ...]]:
        """Rows in the standard directories of the listed days, in an order of their own."""
        found = []
        for day in DAYS:
            files = [str(path) for path in (self.home / "sample" / "final" / f"partition_date={day}").glob("*.parquet")]
            if files:
                found += duckdb.execute("SELECT *, ? FROM read_parquet(?)", [day, files]).fetchall()
        return sorted(found, key=repr)

    def status(self) -> str:
        return (self.home / "state" / "process_status").read_text()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    made = Installation(tmp_path_factory.mktemp("installation"))
    out = str(made.home / "sample")
    code, _, err = made.run("sample-data", "--out", out, "--days", "3", "--rows-per-day", "300")
    assert code == 0, err
    return made


@pytest.fixture(scope="module")
def right_data(installation: Installation) -> list[tuple[Any, ...]]:
    """What a run makes of the sample data; the old data is put back afterwards."""
    code, out, err = installation.run("run")
    assert code == 0, err
    assert "raw = staging = final" in out
    found = installation.data()
    code, _, err = installation.run("rollback", installation.newest_record()["run_id"])
    assert code == 0, err
    assert installation.data() != found
    return found


def in_step(name: str) -> Callable[[dict[str, Any]], bool]:
    def reached(record: dict[str, Any]) -> bool:
        return bool(record.get("steps")) and record["steps"][-1]["name"] == name and record["outcome"] == "running"

    return reached


def test_sigterm_puts_the_old_data_back_and_exits_143(
    installation: Installation, right_data: list[tuple[Any, ...]]
) -> None:
    before = installation.data()
    process = installation.start("run", "--from-step", "drop")
    installation.wait_until(in_step("stage"), process)

    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 143
    assert "old data is back in place" in err
    assert "Traceback" not in err
    assert installation.data() == before
    assert installation.newest_record()["publication"] == "restored"


@pytest.mark.parametrize("half_way", [("withdrawn",), ("publishing", "published")], ids=lambda states: states[0])
def test_after_kill_9_the_next_run_makes_every_day_whole(
    installation: Installation, right_data: list[tuple[Any, ...]], half_way: tuple[str, ...]
) -> None:
    process = installation.start("run", "--from-step", "drop")
    installation.wait_until(
        lambda record: record.get("publication") in half_way and record["outcome"] == "running", process
    )

    process.kill()
    process.communicate(timeout=PATIENCE_S)

    code, out, err = installation.run("run")
    assert code == 0, err
    assert "raw = staging = final" in out
    assert installation.data() == right_data
    assert "MNAAS_Daily_ProcessStatusFlag=0" in installation.status()


def test_recover_takes_an_interrupted_run_back_and_says_so(
    installation: Installation, right_data: list[tuple[Any, ...]]
) -> None:
    before = installation.data()
    process = installation.start("run", "--from-step", "drop")
    installation.wait_until(
        lambda record: record.get("publication") in ("withdrawing", "withdrawn") and record["outcome"] == "running",
        process,
    )
    process.kill()
    process.communicate(timeout=PATIENCE_S)

    code, status, _ = installation.run("status")
    assert code == 0
    assert "may be missing from the table, their data is kept" in status
    code, out, err = installation.run("recover")

    assert code == 0, err
    assert "old data is back in place for 3 partitions" in out
    assert installation.data() == before
    assert "MNAAS_Daily_ProcessStatusFlag=0" in installation.status()
    assert "MNAAS_job_status=Failure" in installation.status()


def test_a_second_run_exits_75_at_once_and_names_the_holder(installation: Installation) -> None:
    first = installation.start("run")
    installation.wait_until(lambda record: record.get("outcome") == "running", first)

    code, _, err = installation.run("run")

    assert code == 75
    assert re.search(rf"pid {first.pid}\b", err), err
    assert first.poll() is None, "the second run was told while the first was at work"
    first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 0


def test_a_plain_spark_submit_does_the_same(installation: Installation, right_data: list[tuple[Any, ...]]) -> None:
    import pyspark

    spark_submit = str(Path(pyspark.__file__).parent / "bin" / "spark-submit")
    local = yaml.safe_load((installation.home / "config.yaml").read_text())
    url = local["spark"]["conf"]["spark.hadoop.javax.jdo.option.ConnectionURL"].replace(
        "${TRAFFIC_AGGR_DEMO:-${CONFIG_DIR}/../demo}", str(installation.home)
    )
    job = str(ROOT / "jobs" / "traffic_adhoc_aggr.py")
    arguments = ("--conf", f"spark.hadoop.javax.jdo.option.ConnectionURL={url}", "--driver-memory", "1g", job)

    code, out, _ = installation.run("run", launcher=(spark_submit, *arguments))

    assert code == 0, out
    assert "raw = staging = final" in out
    assert installation.data() == right_data
