"""Tables whose files lie on HDFS, as the Impala double sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from impala._thrift_gen.hive_metastore import ttypes as hive
from impala.dbapi import connect
from impala.error import OperationalError

from devtools.cluster import Cluster
from devtools.daemons import HOST
from tests.support.coordinator import coordinator

LOCATION = "/tmp/impala on hdfs/final"
DAY = f"{LOCATION}/partition_date=2021-04-01"
USAGE = "SELECT partition_date, COUNT(*), SUM(kb) FROM default.final GROUP BY partition_date"
RunArguments = Callable[..., Any]


@pytest.fixture(scope="module")
def table(running_cluster: Cluster) -> None:
    """``default.final``: delimited text with one day, on HDFS."""
    columns = [hive.FieldSchema("msisdn", "string", ""), hive.FieldSchema("kb", "decimal(28,10)", "")]
    serde = hive.SerDeInfo("", "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", {"field.delim": ";"})

    def stored(path: str) -> Any:
        text = "org.apache.hadoop.mapred.TextInputFormat"
        output = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
        uri = f"{running_cluster.hadoop.hdfs_uri}{path}"
        return hive.StorageDescriptor(columns, uri, text, output, False, 0, serde, [], [], {}, None, False)

    days = [hive.FieldSchema("partition_date", "string", "")]
    parameters = {"EXTERNAL": "TRUE"}
    made = hive.Table(
        "final", "default", "etl", 0, 0, 0, stored(LOCATION), days, parameters, None, None, "EXTERNAL_TABLE"
    )
    with running_cluster.metastore.catalog.client() as client:
        client.create_table(made)
        client.add_partition(hive.Partition(["2021-04-01"], "default", "final", 0, 0, stored(DAY), {}))


@pytest.fixture
def ask(cluster: Cluster, table: None) -> Iterator[RunArguments]:
    """
    Executes statements at a coordinator of the test's own, to which the day has two rows; the rows of the last one.
    """
    cluster.hadoop.hdfs.write(f"{DAY}/part-0", b"a;1.5\nb;2\n")
    with coordinator(cluster) as port, closing(connect(HOST, port, timeout=60, retries=1)) as connection:

        def run(*statements: str) -> Any:
            with closing(connection.cursor()) as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return cursor.fetchall() if cursor.has_result_set else None

        yield run


def test_files_are_counted_and_summed_as_of_the_last_refresh(ask: RunArguments, cluster: Cluster) -> None:
    hdfs = cluster.hadoop.hdfs
    assert ask(USAGE) == [("2021-04-01", 2, Decimal("3.5"))]
    hdfs.write(f"{DAY}/part-1", b"c;4\n")
    hdfs.write(f"{DAY}/_SUCCESS", b"no row\n")
    assert ask(USAGE) == [("2021-04-01", 2, Decimal("3.5"))]
    assert ask("REFRESH default.final", USAGE) == [("2021-04-01", 3, Decimal("7.5"))]
    hdfs.write(f"{DAY}/part-1", b"c;44\n")
    with pytest.raises(OperationalError, match=r"could only read 5 bytes.*hdfs://\S+ on hdfs/\S+part-1"):
        ask(USAGE)
    hdfs.delete(f"{DAY}/part-1")
    with pytest.raises(OperationalError, match=r"Failed to open HDFS file hdfs://.*part-1"):
        ask(USAGE)
    refresh = "REFRESH default.final PARTITION (partition_date='2021-04-01')"
    assert ask(refresh, USAGE) == [("2021-04-01", 2, Decimal("3.5"))]


def test_a_file_of_the_same_size_with_other_content_is_read_anew(ask: RunArguments, cluster: Cluster) -> None:
    assert ask(USAGE) == [("2021-04-01", 2, Decimal("3.5"))]
    cluster.hadoop.hdfs.write(f"{DAY}/part-0", b"a;2.5\nb;2\n")
    assert ask(USAGE) == [("2021-04-01", 2, Decimal("4.5"))]
