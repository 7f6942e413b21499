"""`recover`: finishes interrupted runs or puts their old data back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from traffic_aggr.cli.dependants import follow
from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.output import say, say_json
from traffic_aggr.cli.parser import add_command, add_json
from traffic_aggr.errors import TrafficAggrError
from traffic_aggr.run.record import RunRecord, new_run_id
from traffic_aggr.run.result import result_document

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def add_parser(commands: Any) -> None:
    parser = add_command(
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
    add_json(parser)


def run(invocation: Invocation) -> int:
    from traffic_aggr.restate.recovery import recover

    run_id = new_run_id()

    def tell_and_follow(settled: list[RunRecord], record: RunRecord, spark: SparkSession) -> Optional[TrafficAggrError]:
        invocation.told.extend(map(result_document, settled))
        lines = [f"run {each.run_id}: {each.data_state}" for each in settled]
        if not invocation.as_json:
            for line in lines or ["nothing to recover: no run was interrupted"]:
                say(line)
        return follow(invocation, record, spark)

    recover(invocation.context(run_id), run_id, tell_and_follow)
    if invocation.as_json:
        say_json({"runs": invocation.told})
    return 0
