"""One cluster for all tests that need one. They are skipped where Hadoop's servers are unavailable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.cluster import Cluster
from devtools.hadoop_jars import daemon_class_path
from tests.support.requirements import require
from tests.support.spark_session import PY4J_SOCKETS
from tests.support.yarn_job import Warehouse, YarnJob

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = [item for item in items if HERE in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.cluster)
    if here:
        config.addinivalue_line("filterwarnings", PY4J_SOCKETS)


@pytest.fixture(scope="session")
def hadoop_jars() -> None:
    """Skips what needs a cluster, and says why, unless a cluster is required."""
    require(daemon_class_path, "cluster")


@pytest.fixture(scope="session")
def running_cluster(hadoop_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), standalone=False) as made:
        yield made


@pytest.fixture
def cluster(running_cluster: Cluster) -> Iterator[Cluster]:
    """The shared cluster: whatever a test stopped or killed is restarted for the next one."""
    yield running_cluster
    running_cluster.mend()


@pytest.fixture(scope="session")
def made(running_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return Warehouse(running_cluster, tmp_path_factory.mktemp("warehouse"))


@pytest.fixture
def warehouse(cluster: Cluster, made: Warehouse) -> Warehouse:
    """The job's tables on the cluster, in their initial state."""
    made.reset()
    return made


@pytest.fixture
def job(cluster: Cluster, tmp_path: Path) -> YarnJob:
    return YarnJob(cluster, tmp_path)
