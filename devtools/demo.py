"""
The demonstration behind `make demo`: sample data, then the real job on it, with an Impala stand-in on a socket.

Everything is in ``demo/`` (or ``$TRAFFIC_AGGR_DEMO``) and is created from scratch each time. The job runs in this
process, on the only session that an embedded metastore allows. The stand-in asks that session as a coordinator asks its
catalog.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession

from devtools.impala_double import ImpalaDouble
from devtools.impala_double.spark_catalog import SparkCatalog
from traffic_aggr.cli.main import main
from traffic_aggr.config.load import load_config
from traffic_aggr.errors import TrafficAggrError
from traffic_aggr.spark.session import start_session, stop_session

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "conf" / "local.yaml"
MADE = ("sample", "state", "logs", "metastore_db", "warehouse", "alerts.jsonl")
DAYS, ROWS_PER_DAY = 30, 2000


def demo() -> int:
    """Runs the demonstration. Returns the exit code of the first command that fails, else 0."""
    home = Path(os.environ.get("TRAFFIC_AGGR_DEMO") or ROOT / "demo").resolve()
    os.environ["TRAFFIC_AGGR_DEMO"] = str(home)
    for name in MADE:
        path = home / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    config = load_config(CONFIG, os.environ)
    started = time.monotonic()
    print("Starting Spark with an embedded metastore", flush=True)
    spark = start_session(config.spark, config.job.name, log_dir=config.logs.dir)
    try:
        sample = ["--out", str(home / "sample"), "--days", str(DAYS), "--rows-per-day", str(ROWS_PER_DAY)]
        code = _command(spark, "sample-data", *sample)
        with ImpalaDouble(SparkCatalog(spark)) as impala:
            os.environ["TRAFFIC_AGGR_IMPALA_PORT"] = str(impala.port)
            print(f"\nA stand-in for Impala listens on {impala}", flush=True)
            code = code or _command(spark, "run")
        if code:
            return code
    finally:
        stop_session(spark)
    print(f"\nThe demo took {time.monotonic() - started:.0f} s. Look further with:")
    print("  .venv/bin/traffic-aggr status")
    print("  .venv/bin/traffic-aggr history")
    print("The stand-in for Impala has ended. To restate days yourself, run `make demo-shell`, and there:")
    print("  traffic-aggr run --dates 2021-04-01..2021-04-03")
    return 0


def _command(spark: SparkSession, *words: str) -> int:
    print(f"\n$ traffic-aggr {' '.join(words)}", flush=True)
    return main([*words, "--config", str(CONFIG)], spark=spark)


if __name__ == "__main__":
    try:
        sys.exit(demo())
    except TrafficAggrError as exc:
        sys.exit(f"demo: {exc}")
