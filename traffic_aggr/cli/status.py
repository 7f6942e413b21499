"""`status`: shows what is running and what the next `run` will do."""

from __future__ import annotations

import os
import sys
from typing import Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.output import print_json
from traffic_aggr.cli.parser import add_command
from traffic_aggr.report.status import overview
from traffic_aggr.terminal import paint_for


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "status",
        run,
        "what is going on, and what the next `run` will do",
        """
        Says who holds the lock, how the last run ended, whether the data is safe, and
        what the status file has. Changes nothing and takes no lock.
        """,
        "status",
        "status --json",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(invocation: Invocation) -> int:
    # In client mode the application ends with its driver, and asking YARN would start a JVM.
    in_cluster = invocation.config.spark.deploy_mode == "cluster"
    runs = {"runs": invocation.hadoop.runs} if in_cluster else {}
    found = overview(invocation.config, invocation.store(), invocation.typed, **runs)
    if invocation.arguments.json:
        print_json(found.to_json())
    else:
        print("\n".join(found.lines(paint_for(sys.stdout, os.environ))))
    return 0
