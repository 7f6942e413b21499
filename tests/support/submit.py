"""Small PySpark programs, submitted to a cluster as a user would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

from devtools.cluster import Cluster

PATIENCE_S = 300
SPARK_SUBMIT = Path(sysconfig.get_path("scripts"), "spark-submit")
SMALL = ("--driver-memory", "512m", "--executor-memory", "512m", "--num-executors", "1")


def submit(
    cluster: Cluster, program: Path, *arguments: str, options: tuple[str, ...]
) -> subprocess.CompletedProcess[str]:
    """Runs ``program`` with ``spark-submit`` and its ``options``, and waits for it to end."""
    return subprocess.run(
        [str(SPARK_SUBMIT), *SMALL, *options, str(program), *arguments],
        env={**os.environ, **cluster.environment, "PYSPARK_PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def application_in(submitted: subprocess.CompletedProcess[str]) -> str:
    """The id of the application that was submitted to YARN."""
    found = re.search(r"application_\d+_\d+", submitted.stderr)
    assert found is not None, submitted.stderr
    return found.group()
