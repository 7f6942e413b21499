"""
A shell in which to continue the demo: `make demo-shell`, after `make demo`.

A metastore server runs on the database that the demo created, and a stand-in for Impala asks it. Both stop when the
shell exits. When standard input is not a terminal, the shell runs the commands that it reads there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from devtools.demo import CONFIG, ROOT
from devtools.impala_double import ImpalaDouble
from devtools.metastore_server import MetastoreServer
from traffic_aggr.errors import TrafficAggrError

_HINTS = """\
A metastore server and a stand-in for Impala run until you leave this shell. Try:
  traffic-aggr plan
  traffic-aggr run --dates 2021-04-01..2021-04-03
  traffic-aggr history
  traffic-aggr rollback RUN_ID
docs/walk.md leads through more, deaths included.
"""


def demo_shell() -> int:
    """
    Runs the shell and returns its exit code, or 2 when there is no demo yet.

    Raises RuntimeError when the metastore does not start.
    """
    home = Path(os.environ.get("TRAFFIC_AGGR_DEMO") or ROOT / "demo").resolve()
    if not (home / "metastore_db").is_dir():
        print("demo-shell: there is no demo yet; run `make demo` first", file=sys.stderr)
        return 2
    print("Starting a metastore server", flush=True)
    with MetastoreServer(home) as metastore, ImpalaDouble(metastore.catalog) as impala:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "TRAFFIC_AGGR_CONFIG": str(CONFIG),
            "TRAFFIC_AGGR_DEMO": str(home),
            "TRAFFIC_AGGR_IMPALA_PORT": str(impala.port),
            "TRAFFIC_AGGR_METASTORE": metastore.uri,
        }
        print(_HINTS, flush=True)
        return subprocess.run([os.environ.get("SHELL", "/bin/sh")], env=environment, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(demo_shell())
    except (RuntimeError, TrafficAggrError) as exc:
        sys.exit(f"demo-shell: {exc}")
