"""
The program as a script, for ``spark-submit`` and for ``spark-submit.sh``. Restates the days of the adhoc table, unless
the configuration names another job.
"""

import importlib.util
import sys
from pathlib import Path

REMEDY = "Run `make setup`, or set TRAFFIC_AGGR_PYTHON (for a plain spark-submit: PYSPARK_PYTHON) to another Python"


def fail(problem: str) -> None:
    print(f"traffic-aggr: {sys.executable} {problem}. {REMEDY}", file=sys.stderr)
    raise SystemExit(2)


def start() -> None:
    """Runs the command that the arguments name, and exits with its code."""
    if sys.version_info < (3, 9):  # noqa: UP036 - any Python may start a script
        fail("is not Python 3.9 or later")
    if importlib.util.find_spec("pyspark") is None:
        fail("has no PySpark, and SPARK_HOME names no Spark")
    if importlib.util.find_spec("traffic_aggr") is None:
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    try:
        from traffic_aggr.cli.main import main
    except ModuleNotFoundError as exc:
        fail(f"has no module {exc.name}")
    raise SystemExit(main())


if __name__ == "__main__":
    start()
