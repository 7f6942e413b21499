"""`check`: probes everything that a run needs."""

from __future__ import annotations

from typing import Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.parser import add_command


def add_parser(commands: Any) -> None:
    add_command(
        commands,
        "check",
        run,
        "validate the config, then probe everything that a run needs",
        """
        A line each for directories, Spark, metastore, tables, the list, Impala's hosts
        and the mail server: ok, FAIL with what to do, or warn, which stops no run.
        Changes no table.

        Exit codes: 0 no line says FAIL; else 2 bad input, 3 a guard would refuse, or 1
        for the rest.
        """,
        "check --config my.yaml",
    )


def run(invocation: Invocation) -> int:
    return invocation.check(print)
