"""`history`: lists past runs."""

from __future__ import annotations

import os
import sys
from typing import Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.output import print_json
from traffic_aggr.cli.parser import add_command, add_json, positive
from traffic_aggr.report.status import history_lines, summary
from traffic_aggr.terminal import paint_for, width_of


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "history",
        run,
        "past runs, newest first",
        """
        A line each: id, command, start, how long it took, days, rows and outcome.
        Changes nothing. A terminal gets lines as long as it is wide.
        """,
        "history -n 5",
        "history --json",
    )
    add_json(parser)
    parser.add_argument("--full", action="store_true", help="do not cut lines to the terminal's width")
    parser.add_argument("-n", "--number", type=positive, default=20, help="how many (default 20)")


def run(invocation: Invocation) -> int:
    store = invocation.store()
    runs = [summary(store.load(run_id)) for run_id in store.run_ids()[: invocation.arguments.number]]
    if invocation.arguments.json:
        print_json(runs)
    else:
        width = None if invocation.arguments.full else width_of(sys.stdout)
        print("\n".join(history_lines(runs, paint_for(sys.stdout, os.environ), width)))
    return 0
