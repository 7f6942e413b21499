"""The usage trend beside the traffic job: its configuration, and the months as DuckDB makes them from final's rows."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import yaml

from tests.support.warehouse import Job, Result
from traffic_aggr.cli.main import main
from traffic_aggr.hive import sql
from traffic_aggr.hive.sql import TableName
from traffic_aggr.usage_trend.columns import MONTH, TREND_COLUMNS

GROUPS = """
SELECT customername, tcl_secs_id, country, calltype,
       sum(coalesce(data_usage_in_kb, 0)),
       CAST(sum(coalesce(voice_usage_in_secs, 0)) AS BIGINT),
       CAST(sum(coalesce(sms_usage, 0)) AS BIGINT),
       {costs},
       CAST(sum(coalesce(noofcdrids, 0)) AS BIGINT),
       count(DISTINCT partition_date),
       partition_date[:7] AS month
FROM days WHERE month IN {months} GROUP BY customername, tcl_secs_id, country, calltype, month
"""


def half_up(value: Fraction) -> Decimal:
    """Rounds to four decimals, away from zero."""
    shifted = math.floor(abs(value) * 10_000 + Fraction(1, 2))
    return Decimal(shifted if value >= 0 else -shifted).scaleb(-4)


@dataclass
class Trend:
    """The trend of ``job``, in a configuration of its own that ``job`` names as a dependant."""

    job: Job

    def __post_init__(self) -> None:
        self.home = self.job.home / "trend"
        self.unfollowed = self.home / "unfollowed"
        self.settings: dict[str, Any] = {}
        self.job.settings["dependants"] = [str(self.path)]
        self.write_config()

    @property
    def path(self) -> Path:
        return self.job.home / "usage_trend.yaml"

    @property
    def table(self) -> str:
        return f"{self.job.database}.usage_trend"

    def write_config(self) -> None:
        home = self.home
        self.unfollowed.mkdir(parents=True, exist_ok=True)
        document: dict[str, Any] = {
            "job": {"name": "usage_trend", "definition": "traffic_aggr.usage_trend.job:USAGE_TREND"},
            "tables": {
                "database": self.job.database,
                "raw": "traffic_aggr_adhoc",
                "staging": "usage_trend_inter",
                "final": "usage_trend",
            },
            "partitions": {"file": str(home / "months.txt"), "empty_source": "clear"},
            "impala": self.job.settings.get("impala", {"enabled": False}),
            "state": {
                "dir": str(home / "state"),
                "status_file": str(home / "status"),
                "lock_file": str(self.unfollowed / "lock"),
            },
            "logs": {"dir": str(self.unfollowed / "logs"), "level": "DEBUG"},
            "notify": {"smtp": {"host": None}, "alert_file": str(home / "alerts.jsonl")},
        }
        for section, values in self.settings.items():
            document[section] = {**document.get(section, {}), **values}
        self.path.write_text(yaml.safe_dump(document))

    def __call__(self, command: str, *arguments: str) -> Result:
        """Runs one command with the trend's configuration, on the session of the tests."""
        self.write_config()
        self.job.capsys.readouterr()
        code = main([command, "--config", str(self.path), *arguments], spark=self.job.spark)
        out, err = self.job.capsys.readouterr()
        return Result(code, out, err)

    def create(self) -> None:
        """Creates the table, which the job would do elsewhere, beneath its home."""
        location = f"file:{self.home}/table"
        name = TableName(self.job.database, "usage_trend")
        self.job.spark.sql(sql.create_external_table(name, TREND_COLUMNS, MONTH.name, location))

    def rows(self) -> list[tuple[Any, ...]]:
        self.job.spark.catalog.refreshTable(self.table)
        return sorted(map(tuple, self.job.spark.table(self.table).collect()), key=repr)

    def expected(self, *months: str) -> list[tuple[Any, ...]]:
        """Returns ``months`` as DuckDB sums the rows that final has now, and Python rounds."""
        where = self.unfollowed / "days_for_duckdb"
        self.job.spark.catalog.refreshTable(self.job.final.quoted)
        self.job.spark.table(self.job.final.quoted).write.mode("overwrite").parquet(str(where))
        costs = ", ".join(f"sum(coalesce(whole_sale_cost_{number}, 0))" for number in range(1, 6))
        listed = ", ".join(f"'{month}'" for month in months)
        with duckdb.connect() as duck:
            duck.sql(f"CREATE VIEW days AS SELECT * FROM read_parquet('{where}/*.parquet')")
            groups = duck.sql(GROUPS.format(costs=costs, months=f"({listed})")).fetchall()
        rows = []
        for name, number, country, calltype, kb, secs, *rest in groups:
            data, voice = half_up(Fraction(kb) / 1024), half_up(Fraction(secs, 60))
            rows.append((name, number, country, calltype, kb, data, secs, voice, *rest))
        return sorted(rows, key=repr)

    def records(self) -> list[dict[str, Any]]:
        runs = sorted((self.home / "state" / "runs").glob("*/run.json"))
        return [json.loads(each.read_text()) for each in runs]
