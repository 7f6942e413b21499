"""`in-cluster`: the driver inside its YARN application. The launcher starts it; help does not list it."""

from __future__ import annotations

from typing import Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.parser import HIDDEN


def add_parser(commands: Any) -> None:
    commands.add_parser(HIDDEN).set_defaults(command=run, name=HIDDEN)


def run(invocation: Invocation) -> int:
    from traffic_aggr.cluster.driver import drive

    return drive()
