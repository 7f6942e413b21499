"""
The contenders: how each is prepared, what is timed, and where its final rows are.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import yaml

from bench.data import Data
from bench.statements import DATABASE
from bench.warehouse import CORES, settings
from traffic_aggr.cli.warm import make_class_archive
from traffic_aggr.config.sections import SparkConfig
from traffic_aggr.config.yaml_nodes import literal
from traffic_aggr.spark.engine import with_engine
from traffic_aggr.spark.jvm import class_archive

ROOT = Path(__file__).resolve().parent.parent
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
SPARK4_PYTHON = ROOT / ".venv-spark4" / "bin" / "python"


@dataclass(frozen=True)
class Contender:
    """
    One way to do the work; ``title`` names it in tables.

    ``command`` returns what is timed, from its home and the data. ``has_tables`` says whether it needs a warehouse in
    its home. ``result`` returns where the final rows are afterwards. For the job itself, ``engine`` is its engine: its
    class archive is made before anything is timed, as `make setup` or `check --warm` does. ``packages`` are the pinned
    ones that it runs on.
    """

    name: str
    title: str
    command: Callable[[Path, Data], Sequence[str]]
    has_tables: bool = True
    result: Callable[[Path], Path] = lambda home: home / "final"
    engine: Optional[str] = None
    packages: Sequence[str] = ()

    def prepare(self, home: Path, data: Data, other_partitions: int = 0) -> None:
        home.mkdir(parents=True)
        if self.has_tables:
            subprocess.run(
                [sys.executable, "-m", "bench.warehouse", str(home), str(data.home), str(other_partitions)],
                check=True,
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        if self.engine is not None:
            spark = SparkConfig(engine=self.engine)
            if not class_archive(with_engine(spark), spark.submit).options:
                make_class_archive(spark)


def environment() -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "SPARK_LOCAL_IP": "127.0.0.1"}


def _ours(mode: str, engine: str = "jvm") -> Callable[[Path, Data], Sequence[str]]:
    def command(home: Path, data: Data) -> Sequence[str]:
        conf = {key: literal(value) for key, value in settings(home).items() if key != "spark.master"}
        (home / "days").write_text("".join(f"{day}\n" for day in data.dates))
        document = {
            "tables": {"database": DATABASE, "raw": "raw", "staging": "staging", "final": "final"},
            "partitions": {"file": str(home / "days"), "max_per_run": data.days},
            "publish": {"mode": mode},
            "impala": {"enabled": False},
            "state": {"dir": f"{home}/state", "status_file": f"{home}/status", "lock_file": f"{home}/lock"},
            "logs": {"dir": f"{home}/logs"},
            "notify": {"smtp": {"host": None}, "alert_file": f"{home}/alerts.jsonl"},
            "spark": {"master": f"local[{CORES}]", "engine": engine, "conf": conf},
        }
        (home / "config.yaml").write_text(yaml.safe_dump(document))
        return [
            sys.executable,
            str(ROOT / "jobs" / "traffic_adhoc_aggr.py"),
            "run",
            "--config",
            str(home / "config.yaml"),
        ]

    return command


def _newest_staged(home: Path) -> Path:
    """Returns what the newest run staged; in swap mode partitions point at that."""
    return max((home / "final" / ".traffic_aggr").glob("*/staged"))


def _new(home: Path) -> Path:
    return home / "new"


def _peer(module: str, python: Path = Path(sys.executable)) -> Callable[[Path, Data], Sequence[str]]:
    return lambda home, data: [str(python), "-m", f"bench.peers.{module}", str(home), str(data.home), *data.dates]


def _on_velox(command: Callable[[Path, Data], Sequence[str]]) -> Callable[[Path, Data], Sequence[str]]:
    return lambda home, data: ["env", "BENCH_ENGINE=velox", *command(home, data)]


CONTENDERS = (
    Contender("swap", "traffic_aggr, swap", _ours("swap"), result=_newest_staged, engine="jvm"),
    Contender("velox", "traffic_aggr, swap, velox", _ours("swap", "velox"), result=_newest_staged, engine="velox"),
    Contender("drop_and_load", "traffic_aggr, drop_and_load", _ours("drop_and_load"), engine="jvm"),
    Contender("unproven", "traffic_aggr without its proof", _peer("unproven"), result=_new, engine="jvm"),
    Contender(
        "unproven_velox",
        "traffic_aggr without its proof, velox",
        _on_velox(_peer("unproven")),
        result=_new,
        engine="velox",
    ),
    Contender("hand_written", "hand-written Spark SQL", _peer("hand_written")),
    Contender("hand_written_velox", "hand-written Spark SQL, velox", _on_velox(_peer("hand_written"))),
    Contender(
        "hand_written_spark4",
        "hand-written Spark SQL, Spark 4",
        _peer("hand_written", SPARK4_PYTHON),
        packages=("pyspark",),
    ),
    Contender("old_way", "an INSERT a day, then INSERT INTO", _peer("old_way")),
    Contender(
        "dbt", "dbt-spark, insert_overwrite, 4 tests", _peer("in_dbt", PEERS_PYTHON), packages=("dbt-core", "dbt-spark")
    ),
    Contender(
        "sail",
        "hand-written SQL in Sail, files only",
        _peer("in_sail", PEERS_PYTHON),
        has_tables=False,
        packages=("pysail",),
    ),
    Contender("duckdb", "DuckDB, files only", _peer("in_duckdb", PEERS_PYTHON), has_tables=False, packages=("duckdb",)),
    Contender("polars", "Polars, files only", _peer("in_polars", PEERS_PYTHON), has_tables=False, packages=("polars",)),
)
