"""HDFS under a second name, as after its NameNode became highly available and the metastore was rewritten."""

from __future__ import annotations

import pytest

from devtools.cluster import Cluster
from devtools.daemons import HOST
from tests.support.yarn_job import DATABASE, FINAL, Warehouse, YarnJob

pytestmark = pytest.mark.timeout(1200)


def rename(cluster: Cluster) -> None:
    """Gives the final table and its partitions locations with the cluster's other name."""
    old, new = f"hdfs://{HOST}:", "hdfs://localhost:"
    with cluster.metastore.catalog.client() as client:
        table = client.get_table(DATABASE, FINAL)
        table.sd.location = table.sd.location.replace(old, new)
        client.alter_table(DATABASE, FINAL, table)
        partitions = client.get_partitions(DATABASE, FINAL, -1)
        for partition in partitions:
            assert old in partition.sd.location
            partition.sd.location = partition.sd.location.replace(old, new)
        client.alter_partitions(DATABASE, FINAL, partitions)


@pytest.mark.parametrize("mode", ["drop_and_load", "swap"])
def test_cleanup_deletes_nothing_that_a_partition_uses_under_the_other_name(
    cluster: Cluster, job: YarnJob, warehouse: Warehouse, mode: str
) -> None:
    publish = {"mode": mode, "keep_days": 0}
    job.configure({"publish": publish, "spark": {"master": "local[2]", "deploy_mode": "client"}})
    code, _, err = job.run("run")
    assert code == 0, err
    rename(cluster)

    code, out, err = job.run("cleanup")

    assert code == 0, out + err
    warehouse.assert_side("new")
    code, out, err = job.run("run")
    assert code == 0, out + err
    warehouse.assert_side("new")
