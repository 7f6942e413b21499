"""
A list of more days than are staged, or named to the metastore, at once; with ``TRAFFIC_AGGR_MANY_DAYS=5000`` in the
environment, of so many.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest

from devtools.cluster import Cluster
from tests.support.yarn_job import DAYS, Warehouse, YarnJob

MANY = int(os.environ.get("TRAFFIC_AGGR_MANY_DAYS", "120"))
DATABASE, RAW = "many", "traffic_details_raw_daily_with_no_dups"
BATCH = 500

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(1200 + 4 * MANY)]


def test_many_days_are_restated_from_nothing_and_again(cluster: Cluster, tmp_path: Path) -> None:
    warehouse = Warehouse(cluster, tmp_path, database=DATABASE, rows_per_day=20)
    first = datetime.date(2022, 1, 1).toordinal()
    days = [datetime.date.fromordinal(first + number).isoformat() for number in range(MANY)]
    with cluster.metastore.catalog.client() as client:
        found = [client.get_partition(DATABASE, RAW, [DAYS[0]]) for _ in days]
        hdfs, model = cluster.hadoop.hdfs, found[0].sd.location
        source = model.removeprefix(cluster.hadoop.hdfs_uri)
        files = {name: hdfs.read(f"{source}/{name}") for name in hdfs.walk(source)}
        for day, partition in zip(days, found):
            partition.values = [day]
            partition.sd.location = model.replace(DAYS[0], day)
            for name, content in files.items():
                hdfs.write(f"{source.replace(DAYS[0], day)}/{name}", content)
        for start in range(0, MANY, BATCH):
            client.add_partitions(found[start : start + BATCH])
    job = YarnJob(cluster, tmp_path / "edge", deploy_mode="client")
    (tmp_path / "list").write_text("\n".join(days))
    job.configure(
        {
            "tables": {"database": DATABASE},
            "partitions": {"file": str(tmp_path / "list"), "max_per_run": MANY},
            "spark": {"master": "local[2]", "conf": {"spark.driver.memory": "2g"}},
        }
    )

    for _ in ("from nothing", "and again"):
        process = job.start("run")
        out, err = process.communicate()

        assert process.returncode == 0, err
        assert f"raw = staging = final (Impala not asked) on all {MANY:,} days" in out
        assert warehouse.content() == {**warehouse.old, **dict.fromkeys(days, warehouse.new[DAYS[0]])}
