"""Newer metastores, which may delete the files of an external table when its partitions are dropped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Callable

import pytest

from devtools.metastore_server import MetastoreServer
from devtools.newer_metastores import Hive3Metastore, Hive4Metastore, NewerMetastore
from tests.support.installation import DAYS, PATIENCE_S, ROOT
from tests.support.metastore_proxy import AFTER
from tests.support.requirements import require
from tests.support.served_warehouse import ServedWarehouse, served_warehouse
from tests.support.spark_session import QUICK_JVM

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket.*:ResourceWarning")

WarehouseOn = Callable[[type[MetastoreServer]], ServedWarehouse]
DROP, POINT = "drop_partition", "alter_partitions"
PLAIN, OURS, AT_ONCE = "2021-04-01", "2021-04-02", "2021-04-03"
DROPS = """
import sys
from pyspark.sql import SparkSession
from traffic_aggr.hive.catalog import HiveCatalog
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.sql import TableName

uri, home, plain, ours, at_once, java_options = sys.argv[1:]
spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.hadoop.hive.metastore.uris", uri)
    .config("spark.sql.warehouse.dir", f"{home}/warehouse")
    .config("spark.hadoop.hive.exec.dynamic.partition.mode", "nonstrict")
    .config("spark.driver.extraJavaOptions", java_options)
    .config("spark.ui.enabled", "false")
    .enableHiveSupport()
    .getOrCreate()
)
spark.sql(f"CREATE DATABASE drops LOCATION '{home}/drops'")
catalog = HiveCatalog(spark)
for purge in ("true", "false"):
    name = f"drops.purge_{purge}"
    spark.sql(
        f"CREATE EXTERNAL TABLE {name} (kb INT) PARTITIONED BY (partition_date STRING) "
        f"ROW FORMAT DELIMITED FIELDS TERMINATED BY ';' LOCATION '{home}/{purge}' "
        f"TBLPROPERTIES ('external.table.purge' = '{purge}')"
    )
    spark.sql(f"INSERT INTO {name} VALUES (1, '{plain}'), (2, '{ours}'), (3, '{at_once}')")
    spark.sql(f"ALTER TABLE {name} DROP IF EXISTS PARTITION (partition_date = '{plain}')")
    facts = catalog.facts(TableName.parse(name))
    catalog.table(facts).drop([Partition(ours)])
    assert catalog.metastore.partitions(facts.name) == [([at_once], f"{facts.location}/partition_date={at_once}")]
    catalog.metastore.drop(facts.name, [Partition(at_once).directory])
"""


@pytest.fixture(scope="module")
def warehouse_on(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WarehouseOn]:
    """Makes a warehouse on a kind of metastore, once. Its final table is ``;``-delimited text, which Hive 4 purges."""
    made: dict[type[MetastoreServer], ServedWarehouse] = {}
    with ExitStack() as servers:

        def on(kind: type[MetastoreServer]) -> ServedWarehouse:
            if issubclass(kind, NewerMetastore):
                require(kind.jars, "metastore")
            if kind not in made:
                made[kind] = servers.enter_context(served_warehouse(tmp_path_factory.mktemp("warehouse"), kind, "text"))
            return made[kind]

        yield on


@pytest.fixture
def warehouse(warehouse_on: WarehouseOn) -> ServedWarehouse:
    return warehouse_on(Hive4Metastore)


@pytest.mark.parametrize(
    ("kind", "left_by_plain_drop"), [(Hive3Metastore, [PLAIN]), (Hive4Metastore, [])], ids=["Hive 3", "Hive 4"]
)
def test_a_plain_drop_may_delete_files_and_the_jobs_drops_do_not(
    warehouse_on: WarehouseOn,
    kind: type[NewerMetastore],
    left_by_plain_drop: list[str],
    tmp_path: Path,
) -> None:
    server = warehouse_on(kind).server
    done = subprocess.run(
        [sys.executable, "-c", DROPS, server.uri, str(tmp_path), PLAIN, OURS, AT_ONCE, QUICK_JVM],
        cwd=ROOT,
        env={**os.environ, "PYSPARK_PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    for purge, left in {"true": [*left_by_plain_drop, OURS, AT_ONCE], "false": [PLAIN, OURS, AT_ONCE]}.items():
        assert server.catalog.partitions("drops", f"purge_{purge}") == {}
        directories = sorted(path.name for path in (tmp_path / purge).iterdir())
        assert directories == [f"partition_date={day}" for day in left]


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        pytest.param(MetastoreServer, "drop_and_load", marks=pytest.mark.thorough),  # the crash tests have it too
        pytest.param(MetastoreServer, "swap", marks=pytest.mark.thorough),
        pytest.param(Hive3Metastore, "swap"),
        pytest.param(Hive3Metastore, "drop_and_load", marks=pytest.mark.thorough),
        pytest.param(Hive4Metastore, "swap", marks=pytest.mark.thorough),
        pytest.param(Hive4Metastore, "drop_and_load"),
    ],
)
def test_a_run_makes_every_day_right_and_its_rollback_brings_back_every_old_row_and_parameter(
    warehouse_on: WarehouseOn, kind: type[MetastoreServer], mode: str
) -> None:
    warehouse = warehouse_on(kind)
    warehouse.reset(mode)
    code, out, err = warehouse.installation.run("run")
    assert code == 0, err
    assert "raw = staging = final" in out
    assert warehouse.content() == {**warehouse.unlisted, **warehouse.new}
    found = warehouse.parameters()
    assert {day: found[day] for day in DAYS} == {day: warehouse.new_parameters(day) for day in DAYS}
    assert {day: found[day] for day in warehouse.unlisted} == {
        day: warehouse.old_parameters[day] for day in warehouse.unlisted
    }

    code, _, err = warehouse.installation.run("rollback", warehouse.installation.newest_record()["run_id"])
    assert code == 0, err
    assert warehouse.content() == warehouse.old
    assert warehouse.parameters() == warehouse.old_parameters


@pytest.mark.thorough
def test_a_run_whose_drop_fails_puts_every_old_row_back_itself(warehouse: ServedWarehouse) -> None:
    warehouse.reset("drop_and_load")
    # Hive's client asks again, and hears that there is no such partition.
    warehouse.proxy.plan(DROP, 2, AFTER, warehouse.server.restart)
    code, _, err = warehouse.installation.run("run")

    assert warehouse.proxy.struck.is_set()
    assert code == 1, err
    assert "old data is back in place for 3 partitions" in err.strip().splitlines()[-1]
    assert warehouse.content() == warehouse.old
    assert warehouse.parameters() == warehouse.old_parameters


@pytest.mark.parametrize(
    ("mode", "call", "nth"), [("drop_and_load", DROP, 2), pytest.param("swap", POINT, 1, marks=pytest.mark.thorough)]
)
def test_a_run_that_lost_its_metastore_is_taken_back_without_losing_a_row(
    warehouse: ServedWarehouse, mode: str, call: str, nth: int
) -> None:
    warehouse.reset(mode)

    def die() -> None:
        warehouse.server.kill()
        warehouse.proxy.refuse()

    warehouse.proxy.plan(call, nth, AFTER, die)
    code, _, err = warehouse.installation.run("run")
    warehouse.server.restart()
    warehouse.proxy.listen()
    assert warehouse.proxy.struck.is_set()
    assert code == 1, err

    code, out, err = warehouse.installation.run("recover")
    assert code == 0, err
    assert "old data is back in place for 3 partitions" in out
    assert warehouse.content() == warehouse.old
    assert warehouse.parameters() == warehouse.old_parameters
