"""`status`: shows what is running and what the next `run` will do."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from datetime import datetime
from typing import Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.output import print_json
from traffic_aggr.cli.parser import add_command, add_json, positive
from traffic_aggr.report.status import Overview, overview
from traffic_aggr.terminal import CLEAR, paint_for
from traffic_aggr.units import local_time


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
        "status --watch",
    )
    how = parser.add_mutually_exclusive_group()
    add_json(how)
    how.add_argument(
        "--watch", metavar="SECONDS", type=positive, nargs="?", const=2, help="again every 2 seconds, until Ctrl-C"
    )


def run(invocation: Invocation) -> int:
    if invocation.as_json:
        print_json(_overview(invocation).to_json())
        return 0
    with suppress(KeyboardInterrupt):
        _show(invocation)
        while invocation.arguments.watch:
            time.sleep(invocation.arguments.watch)
            _show(invocation)
    return 0


def _show(invocation: Invocation) -> None:
    lines = list(_overview(invocation).lines(paint_for(sys.stdout, os.environ)))
    if invocation.arguments.watch:
        lines = [*([CLEAR] if sys.stdout.isatty() else []), f"{local_time(datetime.now())}, Ctrl-C ends this", *lines]
    print("\n".join(lines), flush=True)


def _overview(invocation: Invocation) -> Overview:
    # In client mode the application ends with its driver, and asking YARN would start a JVM.
    in_cluster = invocation.config.spark.deploy_mode == "cluster"
    runs = {"runs": invocation.hadoop.runs} if in_cluster else {}
    return overview(invocation.config, invocation.store(), invocation.typed, **runs)
