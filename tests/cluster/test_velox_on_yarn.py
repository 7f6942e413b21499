"""spark.engine: velox on YARN and HDFS: Gluten's jar travels with the application, libhdfs.so is on the executors."""

from __future__ import annotations

import importlib.util

import pytest

from devtools.libhdfs import libhdfs
from tests.support.requirements import require
from tests.support.yarn_job import Warehouse, YarnJob

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(importlib.util.find_spec("velox_spark") is None, reason="needs `make EXTRAS=velox setup`"),
]


@pytest.fixture
def velox_job(job: YarnJob) -> YarnJob:
    job.configure(
        {
            "publish": {"mode": "swap"},
            "spark": {"engine": "velox", "conf": {"spark.memory.offHeap.size": "512m"}},
        }
    )
    return job


@pytest.fixture(scope="session")
def library_path() -> dict[str, str]:
    require(libhdfs, "libhdfs.so")
    return {"spark.executorEnv.ARROW_LIBHDFS_DIR": str(libhdfs().parent)}


@pytest.mark.parametrize("deploy_mode", [pytest.param("client", marks=pytest.mark.thorough), "cluster"])
def test_velox_aggregates_on_the_executors(
    velox_job: YarnJob, warehouse: Warehouse, library_path: dict[str, str], deploy_mode: str
) -> None:
    velox_job.configure({"spark": {"deploy_mode": deploy_mode, "conf": library_path}})

    code, out, err = velox_job.run("run")

    assert code == 0, err
    assert "raw = staging = final (Impala not asked) on all 3 days" in out
    warehouse.assert_side("new")
    (record,) = velox_job.records()
    assert record["engine"] == "velox"
    assert "CollectMetrics" in record["fallbacks"]


def test_velox_without_libhdfs_is_refused_before_anything_is_touched(velox_job: YarnJob, warehouse: Warehouse) -> None:
    velox_job.configure({"spark": {"deploy_mode": "client"}})

    code, _, err = velox_job.run("run")

    assert code == 2, err
    assert "velox needs Hadoop's libhdfs.so on the executors" in err.splitlines()[-1]
    assert "spark.executorEnv.ARROW_LIBHDFS_DIR" in err.splitlines()[-1]
    warehouse.assert_side("old")
