"""`recover`: finishes interrupted runs or puts their old data back."""

from __future__ import annotations

from typing import Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.output import say
from traffic_aggr.cli.parser import add_command
from traffic_aggr.run.record import new_run_id


def add_parser(commands: Any) -> None:
    add_command(
        commands,
        "recover",
        run,
        "take an interrupted run forward or back until every day is whole",
        """
        For a run that was killed, or whose host went down. Says of each run whether
        old or new data is in place. `run` does the same before it begins. Afterwards
        the next run starts afresh where old data was put back, and only refreshes and
        verifies where new data is in place.

        Exit codes: 0 every day is whole, or no run was interrupted; 1 the message says
        what stands in the way.
        """,
        "recover --config my.yaml",
    )


def run(invocation: Invocation) -> int:
    from traffic_aggr.restate.recovery import recover

    run_id = new_run_id()
    settled = recover(invocation.context(run_id), run_id)
    for record in settled:
        say(f"run {record.run_id}: {record.data_state}")
    if not settled:
        say("nothing to recover: no run was interrupted")
    return 0
