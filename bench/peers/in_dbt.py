"""dbt-spark in a session of its own: two models with insert_overwrite, and four tests."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from dbt.cli.main import dbtRunner

from bench.statements import DATABASE, spark_aggregation
from bench.warehouse import settings_of_peer

home, data, *days = sys.argv[1:]
conf = Path(home, "conf")
conf.mkdir(exist_ok=True)
lines = [f"{key} {value}\n" for key, value in settings_of_peer(Path(home), Path(data)).items()]
(conf / "spark-defaults.conf").write_text("".join(lines))
os.environ["SPARK_CONF_DIR"] = str(conf)
os.environ["DO_NOT_TRACK"] = "1"
project = str(Path(__file__).parent / "dbt")
done = dbtRunner().invoke(
    [
        *("build", "--project-dir", project, "--profiles-dir", project),
        *("--target-path", f"{home}/target", "--log-path", f"{home}/logs", "--no-partial-parse"),
        *("--vars", json.dumps({"aggregation": spark_aggregation(DATABASE, days)})),
    ]
)
sys.exit(0 if done.success else 1)
