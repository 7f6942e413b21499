"""
Neither a site's configuration nor a host changes a number: drivers of their own, on hosts as odd as can be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from tests.support.paths import ROOT
from tests.support.settings import known_settings, said_of_nonsense
from tests.support.spark_session import HOST_TIME_ZONE, QUICK_JVM
from traffic_aggr.spark.settings import CORRECTNESS

CORE = {
    "spark.broadcast.compress": "false",
    "spark.default.parallelism": "3",
    "spark.hadoop.cloneConf": "true",
    "spark.hadoopRDD.ignoreEmptySplits": "false",
    "spark.io.compression.codec": "zstd",
    "spark.memory.offHeap.enabled": "true",
    "spark.memory.offHeap.size": "200m",
    "spark.rdd.compress": "true",
    "spark.scheduler.mode": "FAIR",
    "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
    "spark.shuffle.compress": "false",
    "spark.shuffle.sort.bypassMergeThreshold": "0",
    "spark.shuffle.spill.numElementsForceSpillThreshold": "30",
    "spark.speculation": "true",
    "spark.sql.filesourceTableRelationCacheSize": "0",
}
"""Settings that can be given to a new session only, and that make Spark move rows in another way."""

OPPOSITES = {
    "true": "false",
    "false": "true",
    "ANSI": "LEGACY",
    "CORRECTED": "LEGACY",
    "TIMESTAMP_LTZ": "TIMESTAMP_NTZ",
    "NEVER_INFER": "INFER_AND_SAVE",
    "UTC": "Asia/Kolkata",
    "hive": "in-memory",
    "nonstrict": "strict",
    "PARQUET_1_0": "PARQUET_2_0",
    "part": "_hidden",
    "1000000": "1",
    "2147483647": "5",
}
"""Values that CORRECTNESS has, and what a site may have in their place."""

NOTHING: Mapping[str, str] = {}

DRIVER = """
import gzip, json, sys
from pathlib import Path
from traffic_aggr.config.config import SparkConfig
from pyspark.sql import functions as F
from tests.support.spark_session import HOST_TIME_ZONE, QUICK_JVM
from tests.support.awkward_days import DAYS, AwkwardDays
from traffic_aggr.restate.sources import open_sources
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.spark.session import start_session, stop_session
from traffic_aggr.spark.settings import CORRECTNESS
from traffic_aggr.traffic.aggregation import is_voice
from traffic_aggr.traffic.job import TRAFFIC

home = Path.cwd()
spark = start_session(
    SparkConfig(master="local[2]", deploy_mode="client", submit=(), conf=json.loads(sys.argv[1])),
    "a hostile site",
    log_dir=home / "logs",
)
spark.sql("CREATE DATABASE awkward")
days = AwkwardDays(spark, "awkward", home / "days")
file = next((home / "days" / "raw").glob("*/local-0.parquet"))
file.rename(file.with_name("\u00e9.parquet"))
told = {"wrong": days.wrong()}
shared = spark._jsparkSession.sharedState().hadoopConf()
hadoop = {key: shared.get(key.replace("spark.hadoop.", "")) for key in CORRECTNESS if key.startswith("spark.hadoop.")}
told["settings"] = {**{key: spark.conf.get(key) for key in CORRECTNESS}, **hadoop}
told["voice"] = spark.range(1).select(is_voice(F.lit("VO\u0130CE"))).first()[0]
lookup = home / "days" / "org_details" / "part-1.gz"
lookup.write_bytes(lookup.read_bytes()[:-12])
try:
    with open_sources(days.catalog, TRAFFIC, days.tables, DAYS, lambda location: LocalFiles()) as sources:
        told["a cut lookup"] = str(sources.lookups["org_details"].collect())
except Exception as exc:
    told["a cut lookup"] = type(exc).__name__
stop_session(spark)
print(json.dumps(told))
"""


def driver(
    home: Path,
    *,
    conf: Mapping[str, str] = NOTHING,
    defaults: Mapping[str, str] = NOTHING,
    hive_site: Mapping[str, str] = NOTHING,
    java_options: str = "",
) -> subprocess.CompletedProcess[str]:
    """
    A driver of its own in a session of the job's, with ``defaults`` in spark-defaults.conf, on a host whose locale and
    time zone are odd. The last line that it prints is what it has found.
    """
    site = home / "site"
    site.mkdir()
    (home / "days").mkdir()
    (site / "spark-defaults.conf").write_text("".join(f"{key} {value}\n" for key, value in defaults.items()))
    entries = (f"<property><name>{key}</name><value>{value}</value></property>" for key, value in hive_site.items())
    (site / "hive-site.xml").write_text(f"<configuration>{''.join(entries)}</configuration>")
    own = {
        "spark.driver.memory": "1500m",
        "spark.driver.extraJavaOptions": f"-Dderby.system.durability=test {QUICK_JVM} {java_options}",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": (home / "warehouse").as_uri(),
    }
    environment = {
        **os.environ,
        "SPARK_CONF_DIR": str(site),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "PYSPARK_PYTHON": sys.executable,
        "TZ": HOST_TIME_ZONE,
        "LANG": "C",
        "LC_ALL": "C",
    }
    program = [sys.executable, "-c", DRIVER, json.dumps({**own, **conf})]
    return subprocess.run(program, cwd=home, env=environment, capture_output=True, text=True, timeout=500, check=False)


def found_by(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_neither_site_nor_host_nor_a_setting_of_a_new_session_changes_a_number(
    spark: SparkSession, tmp_path: Path
) -> None:
    static = {
        key: default
        for key, default in known_settings(spark).items()
        if key not in CORRECTNESS and "static" in said_of_nonsense(spark, key)
    }
    opposites = {key: OPPOSITES[default] for key, default in static.items() if default in ("true", "false")}
    assert opposites
    pinned = {key: OPPOSITES[value] for key, value in CORRECTNESS.items() if key.startswith("spark.")}
    raw = {key: OPPOSITES[value] for key, value in CORRECTNESS.items() if not key.startswith("spark.")}
    java_options = f"-Duser.language=tr -Duser.timezone={HOST_TIME_ZONE} -Dfile.encoding=US-ASCII"
    defaults = {**opposites, **CORE, **pinned}
    told = found_by(driver(tmp_path, conf=raw, defaults=defaults, hive_site=raw, java_options=java_options))

    assert told.pop("a cut lookup") == "Py4JJavaError"
    assert told == {"wrong": [], "settings": CORRECTNESS, "voice": False}


def test_a_setting_without_a_neutral_value_is_refused(tmp_path: Path) -> None:
    done = driver(tmp_path, hive_site={"textinputformat.record.delimiter": "e"})
    assert done.returncode != 0
    assert "textinputformat.record.delimiter is set (" in done.stderr
    assert "hive-site.xml" in done.stderr
