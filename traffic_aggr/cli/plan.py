"""`plan`: shows what `run` would do now."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.output import print_json
from traffic_aggr.cli.parser import add_command, add_days, add_json
from traffic_aggr.errors import GuardError
from traffic_aggr.report.plan_text import plan_json, plan_lines, plan_statements, refused_line
from traffic_aggr.run.estimate import estimate
from traffic_aggr.run.plan import Refusal
from traffic_aggr.terminal import width_of


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "plan",
        run,
        "say what `run` would do now; changes nothing",
        """
        Shows each day's raw rows and old totals, the steps, the guards that would
        refuse, and the statements for Impala. Reads raw and the final table with
        Spark, so it takes a while.

        Exit codes: 0 also where a guard would refuse, which is shown; 2 bad input.
        """,
        "plan --month 2021-04",
        "plan --partitions days.txt --json",
    )
    add_days(parser)
    add_json(parser)
    parser.add_argument("--sql", action="store_true", help="do not cut statements to the terminal's width")


def run(invocation: Invocation) -> int:
    from traffic_aggr.restate import planning

    try:
        plan = planning.plan(invocation.context(), invocation.ask())
    except GuardError as exc:  # refused before there was a plan: the refusal is all to show
        refusal = Refusal(exc.guard, exc.message, exc.hint)
        if invocation.arguments.json:
            print_json({"refusals": [asdict(refusal)]})
        else:
            print(refused_line(refusal))
        return 0
    statements = plan_statements(plan, invocation.config.tables, invocation.config.impala)
    pending = invocation.store().pending
    follows = {each.table: sorted({*pending.of(each), *each.around(plan.changed)}) for each in invocation.dependants}
    likely = estimate(invocation.store().newest_first(), plan.raw_bytes)
    if invocation.arguments.json:
        print_json(plan_json(plan, statements, likely, follows))
    else:
        width = None if invocation.arguments.sql else width_of(sys.stdout)
        print("\n".join(plan_lines(plan, statements, likely, follows, width=width)))
    return 0
