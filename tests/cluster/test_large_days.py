"""Days that outgrow an executor: many small files, and groups that do not fit into memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devtools.cluster import Cluster
from tests.support.yarn_job import DAYS, Warehouse, YarnJob

pytestmark = [pytest.mark.timeout(1200), pytest.mark.thorough]

ROWS_PER_DAY, ROWS_PER_FILE = 20_000, 100
LITTLE_MEMORY = {"spark.memory.fraction": "0.02", "spark.sql.shuffle.partitions": "1"}
"""Nine MiB of an executor of 768 to work in; groups take some hundred bytes each."""


def test_days_of_many_small_files_that_do_not_fit_into_memory_are_spilled_and_agree(
    cluster: Cluster, tmp_path: Path
) -> None:
    conf = {"spark.sql.files.maxRecordsPerFile": str(ROWS_PER_FILE)}
    warehouse = Warehouse(cluster, tmp_path, database="large", rows_per_day=ROWS_PER_DAY, conf=conf)
    events = tmp_path / "events"
    events.mkdir()
    log = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": events.as_uri(), "spark.eventLog.compress": "false"}
    job = YarnJob(cluster, tmp_path / "edge", deploy_mode="client")
    partitions = f"{cluster.hadoop.hdfs_uri}{warehouse.root}/partitions.txt"
    job.configure(
        {
            "tables": {"database": "large"},
            "partitions": {"file": partitions},
            "spark": {"conf": {**LITTLE_MEMORY, **log}},
        }
    )

    code, out, err = job.run("run")

    assert code == 0, err
    assert f"raw = staging = final (Impala not asked) on all {len(DAYS)} days" in out
    warehouse.assert_side("new")
    (record,) = job.records()
    assert all(day["files"] >= ROWS_PER_DAY / ROWS_PER_FILE for day in record["inputs"].values())
    assert spilled(events) > 0


def spilled(events: Path) -> int:
    """The bytes that the tasks of an application have spilled to disk."""
    lines = [line for log in events.iterdir() for line in log.read_text(encoding="utf-8").splitlines()]
    ends = [event for event in map(json.loads, lines) if event["Event"] == "SparkListenerTaskEnd"]
    return sum(event.get("Task Metrics", {}).get("Disk Bytes Spilled", 0) for event in ends)
