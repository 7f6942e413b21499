"""`in-cluster`: the driver inside its YARN application. The launcher starts it; help does not list it."""

from __future__ import annotations

from typing import Any

from traffic_aggr.cli.invocation import Invocation


def add_parser(commands: Any) -> None:
    commands.add_parser("in-cluster").set_defaults(command=run, name="in-cluster")


def run(invocation: Invocation) -> int:
    from traffic_aggr.cluster.driver import drive

    return drive()
