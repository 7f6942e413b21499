"""The job of docs/another-job.md, as the page has it: restated, refused, taken back and rolled back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from devtools.impala_double import ImpalaDouble
from tests.support.another_job import block, importable
from tests.support.warehouse import impala_double
from traffic_aggr.cli.main import main

DAYS = ("2021-04-01", "2021-04-02")
ORDERS = [
    (1, "north", "10.10", DAYS[0]),
    (2, "north", "0.05", DAYS[0]),
    (3, None, None, DAYS[0]),
    (None, "a;b", "7.00", DAYS[0]),
    (4, "south", "-2.50", DAYS[1]),
]
RESTATED = [
    (None, 1, None, DAYS[0]),
    ("a;b", 0, Decimal("7.00"), DAYS[0]),
    ("north", 2, Decimal("10.15"), DAYS[0]),
    ("south", 1, Decimal("-2.50"), DAYS[1]),
]


class Shops:
    """The tables and the configuration of the page."""

    def __init__(self, spark: SparkSession, database: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.spark, self.database, self.home, self.capsys = spark, database, home, capsys
        self.document: dict[str, Any] = yaml.safe_load(block("yaml"))
        self.document["tables"]["database"] = database
        self.document["partitions"] = {"file": str(home / "days")}
        self.document["impala"] = {"enabled": False}
        self.document["state"] = {"dir": str(home / "state"), "status_file": str(home / "status")}
        self.document["state"]["lock_file"] = str(home / "lock")
        self.document["logs"] = {"dir": str(home / "logs")}
        self.document["notify"] = {"smtp": {"host": None}, "alert_file": str(home / "alerts.jsonl")}
        (home / "days").write_text("\n".join(DAYS))
        rows = [(key, shop, None if amount is None else Decimal(amount), day) for key, shop, amount, day in ORDERS]
        frame = spark.createDataFrame(rows, "order_id BIGINT, shop STRING, amount DECIMAL(12,2), partition_date STRING")
        frame.write.partitionBy("partition_date").parquet(f"{home}/orders")
        columns = "order_id BIGINT, shop STRING, amount DECIMAL(12,2)"
        spark.sql(
            f"CREATE EXTERNAL TABLE {database}.orders ({columns}) PARTITIONED BY (partition_date STRING)"
            f" STORED AS PARQUET LOCATION 'file:{home}/orders'"
        )
        spark.sql(f"MSCK REPAIR TABLE {database}.orders")

    def __call__(self, command: str, *arguments: str) -> tuple[int, str, str]:
        path = self.home / "shop_days.yaml"
        path.write_text(yaml.safe_dump(self.document))
        code = main([command, "--config", str(path), *arguments], spark=self.spark)
        return (code, *self.capsys.readouterr())

    def rows(self) -> list[tuple[Any, ...]]:
        found = self.spark.table(f"{self.database}.shop_days").collect()
        return sorted(map(tuple, found), key=lambda row: (row[-1], str(row[0])))

    def newest(self) -> dict[str, Any]:
        newest = max((self.home / "state" / "runs").glob("*/run.json"))
        found: dict[str, Any] = json.loads(newest.read_text())
        return found


@pytest.fixture
def shops(
    spark: SparkSession,
    database: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shops]:
    (tmp_path / "site").mkdir()
    with importable(tmp_path / "site"):
        yield Shops(spark, database, tmp_path, capsys)


@pytest.mark.parametrize("mode", ["drop_and_load", "swap"])
def test_a_run_restates_another_table_and_its_rollback_takes_it_back(shops: Shops, mode: str) -> None:
    shops.document["publish"] = {"mode": mode}
    code, out, err = shops("run")
    assert code == 0, err
    assert "raw = staging = final (Impala not asked) on all 2 days" in out
    assert shops.rows() == sorted(RESTATED, key=lambda row: (row[-1], str(row[0])))
    report = json.loads((shops.home / "state" / "runs" / shops.newest()["run_id"] / "report.json").read_text())
    assert report["days"][DAYS[0]]["staging"] == {"orders": 3, "amount": "17.15", "rows": 3, "source_rows": 4}
    assert "orders 0 → 4" in report["verdict"]
    assert [part["value"] for part in report["breakdown"]["shop"]["parts"]] == ["north", "a;b", None, "south"]

    code, _, err = shops("rollback", shops.newest()["run_id"])
    assert code == 0, err
    assert shops.rows() == []


def test_impala_confirms_both_totals_by_their_expressions(shops: Shops, spark: SparkSession) -> None:
    for double in impala_double(spark):
        confirm(shops, double)


def confirm(shops: Shops, double: ImpalaDouble) -> None:
    shops.document["impala"] = {"enabled": True, "hosts": [str(double)], "timeout_s": 10}
    code, out, err = shops("run")
    assert code == 0, err
    assert "raw = staging = final = Impala on all 2 days" in out
    sent = [statement["sql"] for statement in shops.newest()["impala"] if statement["sql"].startswith("SELECT")]
    assert len(sent) == 2
    assert "COUNT(*), COUNT(order_id), SUM(amount) FROM" in sent[0]
    assert "COUNT(*), SUM(orders), SUM(amount) FROM" in sent[1]


def test_a_total_that_changes_too_much_is_refused_by_its_name(shops: Shops) -> None:
    assert shops("run")[0] == 0
    shops.document["audit"] = {"max_change_pct": 1.0}
    day = f"PARTITION (partition_date='{DAYS[0]}')"
    fewer = shops.spark.sql("SELECT 1L AS order_id, 'north' AS shop, CAST(1 AS DECIMAL(12,2)) AS amount")
    fewer.write.parquet(f"{shops.home}/fewer")
    shops.spark.sql(f"ALTER TABLE {shops.database}.orders {day} SET LOCATION 'file:{shops.home}/fewer'")
    code, _, err = shops("run")
    assert code == 3
    assert f"{DAYS[0]} orders by 66.7 %" in err


def test_an_aggregation_that_loses_a_row_is_not_published(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    import shop_days

    complete = shop_days.ShopDays.rows

    def losing(self: Any, *arguments: Any, **more: Any) -> Any:
        self.raw = self.raw.where("shop <> 'south'")
        return complete(self, *arguments, **more)

    monkeypatch.setattr(shop_days.ShopDays, "rows", losing)
    code, _, err = shops("run")
    assert code == 3, err
    assert "staging differs from raw" in err
    assert f"{DAYS[1]} orders: raw 1, staging 0" in err
    assert shops.rows() == []


def test_sample_data_is_the_matter_of_the_job(shops: Shops) -> None:
    code, _, err = shops("sample-data", "--out", str(shops.home / "sample"))
    assert code == 2
    assert "the job shop days has no sample data" in err
