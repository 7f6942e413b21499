"""Where Spark and its configuration are, for a process with a given environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyspark


def spark_home(environment: Mapping[str, str]) -> Path:
    """Returns ``SPARK_HOME``, or the directory of this Python's PySpark."""
    return Path(environment.get("SPARK_HOME") or Path(pyspark.__file__).parent)


def conf_directory(environment: Mapping[str, str]) -> Path:
    """Returns the directory of ``spark-defaults.conf`` and ``spark-env.sh``, which need not exist."""
    return Path(environment.get("SPARK_CONF_DIR") or spark_home(environment) / "conf")
