"""
A small warehouse with raw traffic of three days and an old, mismatched final table, and the job that works on it.

The files are made once per session. A test's tables are external ones over them, or over copies of its own.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Optional

import yaml
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from devtools.impala_double import ImpalaDouble
from devtools.impala_double.spark_catalog import SparkCatalog
from tests.support.frames import frame_of
from tests.support.oracle import expected_rows
from traffic_aggr.cli.main import main
from traffic_aggr.hive import sql
from traffic_aggr.hive.catalog import HiveCatalog
from traffic_aggr.hive.layout import TEXT_SERDE, RowFormat
from traffic_aggr.hive.sql import TableName
from traffic_aggr.traffic import aggregation
from traffic_aggr.traffic.columns import FINAL_COLUMNS, PARTITION_COLUMN, RAW_COLUMNS, STAGING_COLUMNS

RAW = "traffic_details_raw_daily_with_no_dups"
LISTED = ("2021-04-01", "2021-04-02", "2021-04-03")
UNLISTED = ("2021-03-31", "2021-04-04")
TEXT = RowFormat(
    TEXT_SERDE,
    "org.apache.hadoop.mapred.TextInputFormat",
    "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    {"field.delim": ";", "serialization.format": ";"},
)
FORMATS: Mapping[str, Optional[RowFormat]] = {"parquet": None, "text": TEXT}


def raw_rows(seed: int = 7, per_day: int = 150) -> list[dict[str, Any]]:
    """Returns awkward raw rows of the listed days."""
    chance = random.Random(seed)
    rows = []
    for index, day in enumerate(LISTED):
        moment = datetime.fromisoformat(f"{day}T00:00:00+00:00")
        for number in range(per_day):
            calltype = chance.choice(["Data", "Data", " data ", "Voice", "SMS", "sms", "MMS", "", None])
            mcc = chance.choice(["404", " 405 ", "999", None])
            rows.append(
                {
                    "partition_date": day,
                    "cdrid": chance.choice([number, number, number // 7, None]),
                    "tcl_secs_id": chance.choice([1, 2, 3, 77, None]),
                    "companyname": chance.choice(["Raw Co", " Raw Co", None]),
                    "country": chance.choice(["Rawland", None]),
                    "mcc": mcc,
                    "calltype": calltype,
                    "customernumber": chance.choice(["c1", " c1 ", "c2", ""]),
                    "sim": chance.choice(["s1", "s2", None]),
                    "calldate": moment.astimezone(timezone.utc) + timedelta(hours=chance.choice([0, 23, -30])),
                    "bytes": chance.choice([0, 1, 1023, 5_000_000_123, None]),
                    "retailduration": chance.choice([0, 59, 61, None]),
                    "whole_sale_cost_1": chance.choice([Decimal("0.000001"), Decimal("12.5"), None]),
                    "whole_sale_cost_5": Decimal(index),
                }
            )
    return rows


class Sources:
    """Files of raw, lookups and old final tables, made once."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.root = root
        schema = ", ".join(f"{column.name} {column.type}" for column in RAW_COLUMNS)
        names = [column.name for column in RAW_COLUMNS]
        frame = frame_of(spark, [tuple(row.get(name) for name in names) for row in raw_rows()], schema)
        raw = frame.withColumn("a_column_nobody_reads", F.lit("x")).select(
            "a_column_nobody_reads", *reversed(frame.columns)
        )
        raw.repartition(2).write.partitionBy("partition_date").parquet(f"{root}/raw")
        organisations = [(1, "Org One", "O1"), (2, "Org Two", "O2"), (3, None, "O3")]
        (root / "org_details").mkdir()
        (root / "org_details" / "rows.txt").write_text(
            "".join(f"{number},{name or chr(92) + 'N'},{short}\n" for number, name, short in organisations)
        )
        countries = frame_of(
            spark,
            [("404", "India", "IN"), ("405 ", "India Two", "IN")],
            "mcc string, country string, cntry_code string",
        )
        countries.coalesce(1).write.parquet(f"{root}/country_lookup")
        self._make_old_finals(spark, frame, countries)

    def _make_old_finals(self, spark: SparkSession, raw: DataFrame, countries: DataFrame) -> None:
        names = frame_of(spark, [(1, "Org One")], "orgno bigint, orgname string")
        repeated = aggregation.repeated_cdrids(raw)
        right = aggregation.aggregate(raw, names, countries, repeated=repeated).drop("source_rows").cache()
        lost = right.where("coalesce(customernumber, '') <> 'c2' AND partition_date <> '2021-04-03'")
        neighbours = right.where("partition_date = '2021-04-01'")
        old = lost.unionByName(neighbours.withColumn("partition_date", F.lit(UNLISTED[0])))
        old = old.unionByName(neighbours.withColumn("partition_date", F.lit(UNLISTED[1])))
        spark.sql("CREATE DATABASE IF NOT EXISTS old_finals")
        for kind, row_format in FORMATS.items():
            table = TableName("old_finals", kind)
            spark.sql(
                sql.create_external_table(
                    table, FINAL_COLUMNS, PARTITION_COLUMN, f"file:{self.root}/final_{kind}", row_format=row_format
                )
            )
            columns = [column.name for column in STAGING_COLUMNS]
            old.select(columns).repartition(1).write.insertInto(table.quoted)
        spark.sql("DROP DATABASE old_finals CASCADE")
        right.unpersist()

    def expected(self, days: Sequence[str] = LISTED) -> list[tuple[Any, ...]]:
        """Returns the final table's rows as DuckDB computes them, sorted; the partition column is last."""
        rows = expected_rows(self.root / "raw", self.root / "org_details", self.root / "country_lookup", days)
        return sorted((row[:-1] for row in rows), key=repr)


@dataclass
class Result:
    """The outcome of a command."""

    code: int
    out: str
    err: str


@dataclass
class Job:
    """The job with its own configuration; ``settings`` are merged over the tests' defaults."""

    spark: SparkSession
    database: str
    home: Path
    sources: Sources
    capsys: Any
    settings: dict[str, Any] = field(default_factory=dict)

    # ---- the warehouse

    def create_sources(self) -> None:
        root = self.sources.root
        fields = ", ".join(f"{column.name} {column.type}" for column in RAW_COLUMNS if column.name != "partition_date")
        self.spark.sql(
            f"CREATE EXTERNAL TABLE {self.database}.{RAW} ({fields}) "
            f"PARTITIONED BY (partition_date STRING) STORED AS PARQUET LOCATION 'file:{root}/raw'"
        )
        specs = " ".join(f"PARTITION (partition_date='{day}')" for day in LISTED)
        self.spark.sql(f"ALTER TABLE {self.database}.{RAW} ADD {specs}")
        self.spark.sql(
            f"CREATE EXTERNAL TABLE {self.database}.org_details (orgno BIGINT, orgname STRING, org_abbr STRING) "
            f"ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION 'file:{root}/org_details'"
        )
        self.spark.sql(
            f"CREATE EXTERNAL TABLE {self.database}.country_lookup (mcc STRING, country STRING, cntry_code STRING) "
            f"STORED AS PARQUET LOCATION 'file:{root}/country_lookup'"
        )

    def create_final(
        self, kind: str = "parquet", *, managed: bool = False, properties: Optional[Mapping[str, str]] = None
    ) -> Path:
        """Creates the old final table over a copy of its files, and returns the directory."""
        directory = self.home / "a ware house" / "final"
        shutil.copytree(self.sources.root / f"final_{kind}", directory)
        statement = sql.create_external_table(
            self.final,
            FINAL_COLUMNS,
            PARTITION_COLUMN,
            f"file:{directory}",
            row_format=FORMATS[kind],
            properties=properties,
        )
        self.spark.sql(statement.replace("CREATE EXTERNAL TABLE", "CREATE TABLE") if managed else statement)
        days = sorted(each.name.partition("=")[2] for each in directory.glob("partition_date=*"))
        specs = " ".join(f"PARTITION (partition_date='{day}')" for day in days)
        self.spark.sql(f"ALTER TABLE {self.final.quoted} ADD {specs}")
        return directory

    @property
    def final(self) -> TableName:
        return TableName(self.database, "traffic_aggr_adhoc")

    @property
    def staging(self) -> TableName:
        return TableName(self.database, "traffic_aggr_adhoc_inter")

    def rows(self) -> list[tuple[object, ...]]:
        """Returns the final table's rows of the listed days, sorted as ``Sources.expected`` returns them."""
        return sorted((tuple(row) for row in self.final_rows().collect()), key=repr)

    def final_rows(self, partitions: Sequence[str] = LISTED) -> DataFrame:
        self.spark.catalog.refreshTable(self.final.quoted)
        return self.spark.table(self.final.quoted).where(F.col("partition_date").isin(*partitions))

    def partitions(self) -> dict[str, str]:
        """Returns the final table's partitions and their directories."""
        catalog = SparkCatalog(self.spark)
        return catalog.partitions(self.final.database, self.final.name)

    def described(self) -> dict[str, dict[str, Any]]:
        """Returns all that the metastore says of the final table's partitions, except the time of their last change."""
        found = {each["spec"]["partition_date"]: each for each in HiveCatalog(self.spark).read(self._listed())}
        for each in found.values():
            each["parameters"].pop("transient_lastDdlTime", None)
        return found

    def parameters(self) -> dict[str, dict[str, str]]:
        return {day: each["parameters"] for day, each in self.described().items()}

    def alter(self, days: Collection[str], parameters: Mapping[str, str], **serde: str) -> None:
        """Adds ``parameters`` and serde properties to existing days of the final table, without the job."""
        catalog = HiveCatalog(self.spark)
        described, listed, altered = self.described(), self._listed(), []
        for index in range(listed.size()):
            java = listed.apply(index)
            found = described[java.spec().apply("partition_date")]
            if found["spec"]["partition_date"] not in days:
                continue
            size = java.storage().productArity()
            fields = [getattr(java.storage(), f"copy$default${number}")() for number in range(1, size + 1)]
            fields[5] = catalog.classes.map({**found["storage"]["properties"], **serde})
            mine = catalog.classes.map({**found["parameters"], **parameters})
            times, no_statistics = (java.createTime(), java.lastAccessTime()), catalog.classes.option.empty()
            altered.append(java.copy(java.spec(), java.storage().copy(*fields), mine, *times, no_statistics))
        self._client().alterPartitions(self.final.database, self.final.name, catalog.classes.seq(altered))

    def _listed(self) -> Any:
        everything = HiveCatalog(self.spark).classes.option.empty()
        return self._client().getPartitions(self.final.database, self.final.name, everything)

    def _client(self) -> Any:
        shared: Any = self.spark._jsparkSession
        return shared.sharedState().externalCatalog().unwrapped().client()

    def content(self, partitions: Sequence[str]) -> list[str]:
        """Returns the final table's rows of some days as sorted strings, to compare with those of another moment."""
        return sorted(str(row) for row in self.final_rows(partitions).collect())

    # ---- the job

    def write_config(self) -> Path:
        home = self.home
        document: dict[str, Any] = {
            "tables": {"database": self.database},
            "partitions": {"file": str(home / "partitions.txt")},
            "impala": {"enabled": False},
            "state": {
                "dir": str(home / "state"),
                "status_file": str(home / "status"),
                "lock_file": str(home / "lock"),
            },
            "logs": {"dir": str(home / "logs"), "level": "DEBUG"},
            "notify": {"smtp": {"host": None}, "alert_file": str(home / "alerts.jsonl")},
        }
        for section, values in self.settings.items():
            whole = not isinstance(values, Mapping)
            document[section] = values if whole else {**document.get(section, {}), **values}
        path = home / "config.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def __call__(self, command: str, *arguments: str) -> Result:
        """Runs one command in this process, on the session of the tests."""
        if not (self.home / "partitions.txt").exists():
            (self.home / "partitions.txt").write_text("\n".join(LISTED) + "\n")
        self.capsys.readouterr()
        code = main([command, "--config", str(self.write_config()), *arguments], spark=self.spark)
        out, err = self.capsys.readouterr()
        return Result(code, out, err)

    def record(self, run_id: Optional[str] = None) -> dict[str, Any]:
        """Returns the newest run's record, or that of ``run_id``."""
        runs = self.home / "state" / "runs"
        newest = run_id or max(path.parent.name for path in runs.glob("*/run.json"))
        found: dict[str, Any] = json.loads((runs / newest / "run.json").read_text())
        return found

    def status(self) -> dict[str, str]:
        """Returns the keys and values of the status file."""
        lines = (self.home / "status").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def use_impala(self, double: ImpalaDouble, **settings: Any) -> None:
        self.settings["impala"] = {
            "enabled": True,
            "hosts": [str(double)],
            "timeout_s": 10,
            "retry": {"attempts": 2, "initial_wait_s": 0, "max_wait_s": 0, "deadline_s": 30},
            **settings,
        }


def impala_double(spark: SparkSession, **options: Any) -> Iterator[ImpalaDouble]:
    with ImpalaDouble(SparkCatalog(spark), **options) as double:
        yield double


def snapshot(job: Job) -> object:
    """The final table as far as it can be read, and its files."""
    warehouse = job.home / "a ware house"
    found = {
        str(path): path.stat().st_mtime_ns
        for path in warehouse.rglob("*")
        if path.is_file() and ".traffic_aggr" not in path.parts
    }
    tables = sorted(row.tableName for row in job.spark.sql(f"SHOW TABLES IN {job.database}").collect())
    partitions = job.partitions() if "traffic_aggr_adhoc" in tables else {}
    return found, tables, partitions
