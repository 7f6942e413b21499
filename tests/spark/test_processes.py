"""The job as cron starts it: real processes through spark-submit.sh, an embedded metastore, signals and kills."""

from __future__ import annotations

import getpass
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.installation import PATIENCE_S, ROOT, Installation


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    home = tmp_path_factory.mktemp("installation")
    (home / "tmp").mkdir()
    made = Installation(home, java_options=f"-Djava.io.tmpdir={home}/tmp")
    made.make_sample_data()
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


def test_commands_leave_one_directory_of_hive_s_among_temporary_files(
    installation: Installation, right_data: list[tuple[Any, ...]]
) -> None:
    left = [each.name for each in (installation.home / "tmp").iterdir() if each.is_dir()]

    assert left == [f"hive_resources_{getpass.getuser()}"]


def test_check_says_that_compression_does_not_load_from_a_directory_mounted_noexec(installation: Installation) -> None:
    mount = ("unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o noexec tmpfs "$0" && exec "$@"')
    launcher = (*mount, str(installation.home / "tmp"))
    if subprocess.run([*launcher, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here: it needs root, or user namespaces")

    code, out, _ = installation.run("check", launcher=(*launcher, str(ROOT / "spark-submit.sh")))

    (failure,) = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert code == 1
    assert "Java cannot load Snappy" in failure
    assert "failed to map segment" in failure
    assert "spark.driver.extraJavaOptions: -Djava.io.tmpdir=DIR" in failure


def test_sigterm_puts_the_old_data_back_and_exits_143(
    installation: Installation, right_data: list[tuple[Any, ...]]
) -> None:
    before = installation.data()
    process = installation.start("run", "--from-step", "drop")
    installation.wait_until(in_step("stage"), process)

    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 143
    assert "stopped by SIGTERM: putting the old data of 3 days back" in err
    assert "old data is back in place" in err
    assert "An error occurred" not in err
    assert "Traceback" not in err
    assert installation.data() == before
    record = installation.newest_record()
    assert (record["publication"], record["steps"][-1]["outcome"]) == ("restored", "stopped")


@pytest.mark.parametrize(
    "half_way",
    [pytest.param(("withdrawn",), marks=pytest.mark.thorough), ("publishing", "published")],
    ids=lambda states: states[0],
)
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
    killed = installation.newest_record()["run_id"]
    runs = installation.home / "state" / "runs"
    assert "old data" in (runs / killed / "report.html").read_text(), "a killed run writes none"
    assert f"{killed}/report.html" in (runs / "index.html").read_text()
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
