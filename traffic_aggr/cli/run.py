"""`run`: restates the listed days."""

from __future__ import annotations

from typing import Any

from traffic_aggr.cli import dependants, plan
from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.output import say_json
from traffic_aggr.cli.parser import add_command, add_days, add_json, run_id_argument
from traffic_aggr.errors import InputError
from traffic_aggr.run.record import new_run_id


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "run",
        run,
        "restate the listed days",
        """
        Aggregates raw again, puts the result in place of the days' partitions,
        refreshes Impala and compares what it sees. Old data is kept aside, and is put
        back if anything fails. No other day is changed. The days are those of
        partitions.file, unless an option gives others. Runs that died are settled
        first; a run that failed is resumed after its last finished step if the list is
        the same.

        Exit codes: 0 done; 1 failed, the message says whether old or new data is in
        place; 2 bad input; 3 refused by a guard, or totals differ; 75 another run
        holds the lock; 130 or 143 stopped by a signal. With 2, 3 and 75 this run has
        changed nothing, or put it back.
        """,
        "run --config my.yaml",
        "run --config my.yaml --dates 2021-04-01..2021-04-30",
        "run --config my.yaml --from-step load",
    )
    add_days(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, like `plan`")
    parser.add_argument("--run-id", type=run_id_argument, help="use this id for the run (set by the launcher)")
    add_json(parser, "as JSON: the run, or with --dry-run the plan")
    parser.add_argument(
        "--sql", action="store_true", help="with --dry-run: do not cut statements to the terminal's width"
    )


def run(invocation: Invocation) -> int:
    arguments = invocation.arguments
    if arguments.dry_run:
        if arguments.run_id:
            raise InputError("--run-id has no effect with --dry-run", hint="Leave one of them out")
        return plan.run(invocation)
    if arguments.sql:
        raise InputError("--sql has no effect without --dry-run", hint="Add --dry-run, or leave --sql out")
    dependants.restate(invocation, invocation.ask, arguments.run_id or new_run_id())
    if arguments.json:
        say_json({"runs": invocation.told})
    return 0
