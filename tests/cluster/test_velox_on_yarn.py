"""spark.engine: velox on YARN: Gluten's jar travels with the application, in both deploy modes."""

from __future__ import annotations

import importlib.util

import pytest

from tests.support.yarn_job import Warehouse, YarnJob

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(importlib.util.find_spec("velox_spark") is None, reason="needs `make EXTRAS=velox setup`"),
]

OFF_HEAP = {"spark.memory.offHeap.size": "512m"}


@pytest.mark.parametrize("deploy_mode", ["client", "cluster"])
def test_velox_aggregates_on_the_executors(job: YarnJob, warehouse: Warehouse, deploy_mode: str) -> None:
    job.configure(
        {"publish": {"mode": "swap"}, "spark": {"engine": "velox", "deploy_mode": deploy_mode, "conf": OFF_HEAP}}
    )

    code, out, err = job.run("run")

    assert code == 0, err
    assert "raw = staging = final (Impala not asked) on all 3 days" in out
    warehouse.assert_side("new")
    (record,) = job.records()
    assert record["engine"] == "velox"
    assert "CollectMetrics" in record["fallbacks"]


def test_check_says_what_velox_leaves_to_the_jvm(job: YarnJob, warehouse: Warehouse) -> None:
    job.configure({"spark": {"engine": "velox", "deploy_mode": "client", "conf": OFF_HEAP}})
    code, out, err = job.run("check")
    assert code == 0, out + err
    assert "ok    velox aggregates; in its place, the JVM does " in out
    assert "CollectMetrics (" in out
