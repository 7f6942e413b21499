from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from impala._thrift_gen.hive_metastore import ttypes as hive
from impala.dbapi import connect

from devtools.impala_double import Catalog, ImpalaDouble
from devtools.impala_double.spark_catalog import SparkCatalog
from devtools.metastore_server import MetastoreServer
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def ask(host: str, port: int, statement: str) -> list[Any]:
    connection = connect(host, port, timeout=60, retries=1)
    with closing(connection), closing(connection.cursor()) as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def run(catalog: Catalog, statement: str) -> list[Any]:
    with ImpalaDouble(catalog) as double:
        return ask(double.host, double.port, statement)


# Through a Spark session


@pytest.fixture
def text_table(spark: SparkSession, database: str, tmp_path: Path) -> str:
    """A delimited table with two days, one of them outside the table's directory."""
    name = f"{database}.final"
    spark.sql(
        f"CREATE EXTERNAL TABLE {name} (msisdn STRING, kb DECIMAL(28,10)) PARTITIONED BY (partition_date STRING) "
        f"ROW FORMAT DELIMITED FIELDS TERMINATED BY ';' STORED AS TEXTFILE LOCATION '{tmp_path / 'final'}'"
    )
    spark.sql(f"ALTER TABLE {name} ADD PARTITION (partition_date='2021-04-02') LOCATION '{tmp_path / 'else where'}'")
    spark.sql(f"INSERT INTO {name} VALUES ('a', 1.5, '2021-04-01'), ('b', NULL, '2021-04-01'), ('c', 2, '2021-04-02')")
    return name


def test_a_session_tells_what_a_table_is_like(spark: SparkSession, text_table: str, tmp_path: Path) -> None:
    info = SparkCatalog(spark).table(*text_table.split("."))
    assert info is not None
    assert info.columns == (("msisdn", "string"), ("kb", "decimal(28,10)"))
    assert (info.format, info.location, info.partition_columns) == (
        "text",
        str(tmp_path / "final"),
        ("partition_date",),
    )
    assert info.serde["field.delim"] == ";"


def test_a_session_tells_where_partitions_are(spark: SparkSession, text_table: str, tmp_path: Path) -> None:
    assert SparkCatalog(spark).partitions(*text_table.split(".")) == {
        "2021-04-01": str(tmp_path / "final" / "partition_date=2021-04-01"),
        "2021-04-02": str(tmp_path / "else where"),
    }


def test_a_session_lists_its_tables(spark: SparkSession, text_table: str) -> None:
    assert tuple(text_table.split(".")) in SparkCatalog(spark).tables()


def test_a_session_has_no_table_that_is_not_there(spark: SparkSession, database: str) -> None:
    assert SparkCatalog(spark).table(database, "nope") is None


def test_an_unpartitioned_table_has_no_partitions(spark: SparkSession, database: str) -> None:
    spark.sql(f"CREATE TABLE {database}.flat (n BIGINT) STORED AS PARQUET")
    catalog = SparkCatalog(spark)
    info = catalog.table(database, "flat")
    assert info is not None
    assert (info.format, info.partition_columns) == ("parquet", ())
    assert catalog.partitions(database, "flat") == {}


def test_text_that_spark_wrote_is_counted_and_summed(spark: SparkSession, text_table: str) -> None:
    usage = f"SELECT partition_date, COUNT(*), SUM(kb) FROM {text_table} GROUP BY partition_date"
    assert run(SparkCatalog(spark), usage) == [("2021-04-01", 2, Decimal("1.5")), ("2021-04-02", 1, Decimal(2))]


def test_parquet_that_spark_wrote_is_counted_and_summed(spark: SparkSession, database: str) -> None:
    spark.sql(
        f"CREATE TABLE {database}.p (kb DECIMAL(28,10), n BIGINT) PARTITIONED BY (partition_date STRING) "
        "STORED AS PARQUET"
    )
    spark.sql(f"INSERT INTO {database}.p VALUES (1.5, 2, '2021-04-01'), (NULL, 3, '2021-04-01')")
    assert run(SparkCatalog(spark), f"SELECT SUM(kb), SUM(n), COUNT(*) FROM {database}.p") == [(Decimal("1.5"), 5, 2)]


def test_a_moved_partition_is_seen_by_its_own_refresh_only(
    spark: SparkSession, text_table: str, tmp_path: Path
) -> None:
    with ImpalaDouble(SparkCatalog(spark)) as double:
        connection = connect(double.host, double.port, timeout=60, retries=1)
        with closing(connection), closing(connection.cursor()) as cursor:

            def count(*statements: str) -> list[Any]:
                for statement in (*statements, f"SELECT COUNT(*) FROM {text_table}"):
                    cursor.execute(statement)
                return list(cursor.fetchall())

            assert count() == [(3,)]
            moved = "PARTITION (partition_date='2021-04-01')"
            spark.sql(f"ALTER TABLE {text_table} {moved} SET LOCATION '{tmp_path / 'empty'}'")
            assert count() == [(3,)]
            assert count(f"REFRESH {text_table}") == [(3,)]
            assert count(f"REFRESH {text_table} {moved}") == [(1,)]


# Through the metastore's own protocol


@pytest.fixture(scope="module")
def metastore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetastoreServer]:
    with MetastoreServer(tmp_path_factory.mktemp("metastore")) as server:
        yield server


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed <socket.*:ResourceWarning")
def test_a_metastore_server_tells_about_tables_and_partitions(metastore: MetastoreServer, tmp_path: Path) -> None:
    catalog = metastore.catalog
    columns = [hive.FieldSchema("msisdn", "string", ""), hive.FieldSchema("kb", "decimal(28,10)", "")]
    serde = hive.SerDeInfo("", "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", {"field.delim": ";"})

    def stored(location: Path) -> Any:
        text = "org.apache.hadoop.mapred.TextInputFormat"
        output = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
        return hive.StorageDescriptor(
            columns, location.as_uri(), text, output, False, 0, serde, [], [], {}, None, False
        )

    days = [hive.FieldSchema("partition_date", "string", "")]
    table = hive.Table("final", "default", "etl", 0, 0, 0, stored(tmp_path), days, {}, None, None, "EXTERNAL_TABLE")
    part = hive.Partition(["2021-04-01"], "default", "final", 0, 0, stored(tmp_path / "a"), {})
    with catalog.client() as client:
        client.create_table(table)
        client.add_partition(part)
    (tmp_path / "a" / "part-0").write_text("a;1.5\nb;2\n")

    assert ("default", "final") in catalog.tables()
    assert catalog.table("default", "nope") is None
    info = catalog.table("default", "final")
    assert info is not None
    assert (info.format, info.location, info.partition_columns) == ("text", str(tmp_path), ("partition_date",))
    assert catalog.partitions("default", "final") == {"2021-04-01": str(tmp_path / "a")}
    assert run(catalog, "SELECT COUNT(*), SUM(kb) FROM default.final") == [(2, Decimal("3.5"))]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed <socket.*:ResourceWarning")
def test_a_coordinator_runs_in_its_own_process(metastore: MetastoreServer) -> None:
    address = f"127.0.0.1:{metastore.port}"
    command = [sys.executable, "-m", "devtools.impala_double", "--metastore", address, "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as double:
        assert double.stdout is not None
        where, _, number = double.stdout.readline().strip().rpartition(":")
        assert ask(where, int(number), "SELECT 1") == [(1,)]
        double.terminate()
    assert double.returncode == 0
