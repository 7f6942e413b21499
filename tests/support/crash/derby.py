"""
Reads a table's partition locations from the database of an embedded metastore, without Spark or the product.

As a program: `python -m tests.support.crash.derby DIRECTORY TABLE` prints them as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyspark
from py4j.java_gateway import JavaGateway

from tests.support.installation import ROOT
from traffic_aggr.spark.jvm import suitable_java

_LOCATIONS = (
    "SELECT p.PART_NAME, s.LOCATION FROM APP.PARTITIONS p JOIN APP.SDS s ON s.SD_ID = p.SD_ID "
    "JOIN APP.TBLS t ON t.TBL_ID = p.TBL_ID WHERE t.TBL_NAME = ?"
)


def partition_locations(metastore: Path, table: str) -> dict[str, str]:
    """Returns the directory of each partition by day. No other process may have the metastore open."""
    command = [sys.executable, "-m", "tests.support.crash.derby", str(metastore), table]
    found = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=120)
    locations: dict[str, str] = json.loads(found.stdout)
    return locations


def _read(metastore: str, table: str) -> dict[str, str]:
    jars = Path(pyspark.__file__).parent / "jars"
    home = {**os.environ, **suitable_java()}.get("JAVA_HOME")
    gateway = JavaGateway.launch_gateway(
        classpath=str(next(jars.glob("derby-*.jar"))),
        jarpath=str(next(jars.glob("py4j*.jar"))),
        java_path=f"{home}/bin/java" if home else "java",
        javaopts=["-Dderby.stream.error.file=/dev/null"],
        die_on_exit=True,
    )
    sql = gateway.jvm.java.sql
    gateway.jvm.java.lang.Class.forName("org.apache.derby.jdbc.EmbeddedDriver")
    statement = sql.DriverManager.getConnection(f"jdbc:derby:{metastore}").prepareStatement(_LOCATIONS)
    statement.setString(1, table)
    rows = statement.executeQuery()
    found = {}
    while rows.next():
        found[rows.getString(1).partition("=")[2]] = rows.getString(2).partition(":")[2]
    gateway.shutdown()
    return found


if __name__ == "__main__":
    print(json.dumps(_read(*sys.argv[1:])))
