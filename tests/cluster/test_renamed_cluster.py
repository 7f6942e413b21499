"""HDFS under a second name, as after its NameNode became highly available and the metastore was rewritten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from devtools.cluster import Cluster
from devtools.daemons import HOST
from tests.support.warehouse import RAW
from tests.support.yarn_job import DATABASE, DAYS, FINAL, Warehouse, YarnJob

pytestmark = pytest.mark.timeout(1200)

LOCAL = {"master": "local[2]", "deploy_mode": "client"}


def renamed(location: str) -> str:
    old = f"hdfs://{HOST}:"
    assert location.startswith(old)
    return location.replace(old, "hdfs://localhost:")


def rename(cluster: Cluster) -> None:
    """Gives the final table and its partitions locations with the cluster's other name."""
    with cluster.metastore.catalog.client() as client:
        table = client.get_table(DATABASE, FINAL)
        table.sd.location = renamed(table.sd.location)
        client.alter_table(DATABASE, FINAL, table)
        partitions = client.get_partitions(DATABASE, FINAL, -1)
        for partition in partitions:
            partition.sd.location = renamed(partition.sd.location)
        client.alter_partitions(DATABASE, FINAL, partitions)


@contextmanager
def shared(cluster: Cluster, table: str) -> Iterator[None]:
    """Meanwhile the last day lies in the directory of the first one, under the cluster's other name."""
    with cluster.metastore.catalog.client() as client:
        first, last = (client.get_partition(DATABASE, table, [day]) for day in (DAYS[0], DAYS[-1]))
        before, last.sd.location = last.sd.location, renamed(first.sd.location)
        client.alter_partition(DATABASE, table, last)
    try:
        yield
    finally:
        last.sd.location = before
        with cluster.metastore.catalog.client() as client:
            client.alter_partition(DATABASE, table, last)


@pytest.mark.parametrize("mode", ["drop_and_load", "swap"])
def test_cleanup_deletes_nothing_that_a_partition_uses_under_the_other_name(
    cluster: Cluster, job: YarnJob, warehouse: Warehouse, mode: str
) -> None:
    job.configure({"publish": {"mode": mode, "keep_days": 0}, "spark": LOCAL})
    code, _, err = job.run("run")
    assert code == 0, err
    rename(cluster)

    code, out, err = job.run("cleanup")

    assert code == 0, out + err
    warehouse.assert_side("new")
    code, out, err = job.run("run")
    assert code == 0, out + err
    warehouse.assert_side("new")


@pytest.mark.parametrize(
    ("table", "says"), [(RAW, f"belongs to partition_date={DAYS[0]} and"), (FINAL, "shared_directory")]
)
def test_a_directory_that_two_partitions_share_under_two_names_is_refused(
    cluster: Cluster, job: YarnJob, warehouse: Warehouse, table: str, says: str
) -> None:
    job.configure({"spark": LOCAL})
    with shared(cluster, table):
        code, out, err = job.run("run", "--dates", f"{DAYS[0]}..{DAYS[1]}")
    assert code == 3, out + err
    assert DAYS[-1] in err
    assert says in err
