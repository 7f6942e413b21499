"""`report`: writes a run's report again and prints its path."""

from __future__ import annotations

from typing import Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.parser import add_command, run_id_argument
from traffic_aggr.errors import StateError
from traffic_aggr.report.page import report_files


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "report",
        run,
        "write a run's report again, and print its path",
        """
        The report is an HTML page: what came of the run, where the data is, and each
        day before and after. report.json and daily.csv beside it are for programs.
        """,
        "report",
        "report 20210501T020200Z-1a2b3c",
    )
    parser.add_argument("run", metavar="RUN_ID", nargs="?", type=run_id_argument, help="default: the newest run")


def run(invocation: Invocation) -> int:
    store = invocation.store()
    run_ids = store.run_ids()
    if not run_ids and invocation.arguments.run is None:
        raise StateError("there is no run yet", hint="`run` makes the first")
    record = store.load(invocation.arguments.run or run_ids[0])
    store.write_report(
        record.run_id, report_files(record, invocation.config.publish.keep_days, store.run_before(record))
    )
    print(store.report_path(record.run_id))
    return 0
