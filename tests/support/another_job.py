"""The job that docs/another-job.md shows, as the page has it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.warehouse import LISTED, RAW, UNLISTED, Job

PAGE = (ROOT / "docs" / "another-job.md").read_text()
ORDERS = "order_id BIGINT, shop STRING, amount DECIMAL(12,2)"
SHOP_DAYS = "shop STRING, orders BIGINT, amount DECIMAL(22,2)"


def block(language: str) -> str:
    """Returns the page's code in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@contextmanager
def importable(directory: Path) -> Iterator[None]:
    """Saves the page's module in ``directory``, from which Python can import it inside."""
    (directory / "shop_days.py").write_text(block("python"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(directory)
        yield
    sys.modules.pop("shop_days", None)


class ShopJob(Job):
    """The page's job, on tables that have the names and the place of the traffic job's."""

    def create_sources(self) -> None:
        orders = [
            (number, shop, Decimal(amount), day)
            for day in LISTED
            for number, (shop, amount) in enumerate([("north", "10.10"), ("north", "0.05"), ("south", "-2.50")])
        ]
        frame = self.spark.createDataFrame(orders, f"{ORDERS}, partition_date STRING")
        where = self.home.parent / f"{self.home.name}-orders"
        frame.write.partitionBy("partition_date").parquet(str(where))
        self._create(RAW, ORDERS, where, LISTED)
        self.settings["job"] = {"name": "shop_days", "definition": "shop_days:SHOP_DAYS"}

    def create_old_days(self) -> None:
        """Creates the final table with old rows of all days but the last listed one."""
        days = [*LISTED[:-1], *UNLISTED]
        rows = [("north", 1, Decimal("1.00"), day) for day in days]
        where = self.home / "a ware house" / "final"
        frame = self.spark.createDataFrame(rows, f"{SHOP_DAYS}, partition_date STRING")
        frame.write.partitionBy("partition_date").parquet(str(where))
        self._create(self.final.name, SHOP_DAYS, where, days)

    def _create(self, name: str, columns: str, where: Path, days: Any) -> None:
        self.spark.sql(
            f"CREATE EXTERNAL TABLE {self.database}.{name} ({columns}) PARTITIONED BY (partition_date STRING)"
            f" STORED AS PARQUET LOCATION 'file:{where}'"
        )
        specs = " ".join(f"PARTITION (partition_date='{day}')" for day in days)
        self.spark.sql(f"ALTER TABLE {self.database}.{name} ADD {specs}")


class ShopSources:
    """What a run makes of the orders."""

    def expected(self) -> list[tuple[Any, ...]]:
        shops = [("north", 2, Decimal("10.15")), ("south", 1, Decimal("-2.50"))]
        return [(*shop, day) for day in LISTED for shop in shops]
