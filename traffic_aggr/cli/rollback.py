"""`rollback`: puts back the partitions as they were before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from traffic_aggr.cli.dependants import follow
from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.output import asks, confirm, say, say_json
from traffic_aggr.cli.parser import add_command, add_json, add_yes, run_id_argument
from traffic_aggr.errors import TrafficAggrError
from traffic_aggr.report.plan_text import rollback_lines
from traffic_aggr.run.record import RunRecord, new_run_id
from traffic_aggr.run.result import result_document
from traffic_aggr.run.rollback_rules import refuse_rollback
from traffic_aggr.units import counted

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "rollback",
        run,
        "put back the partitions as they were before a run",
        """
        Takes back a run whose result is wrong: its days get their old data again, and
        Impala is refreshed. `history` lists the ids.

        Exit code 3, with nothing changed: the run published nothing, a newer run
        restated one of its days, another writer changed one, or `cleanup` has deleted
        the old data.
        """,
        "rollback --dry-run 20210501T020200Z-1a2b3c",
        "rollback 20210501T020200Z-1a2b3c",
    )
    parser.add_argument("run", metavar="RUN_ID", type=run_id_argument, help="the run to take back")
    parser.add_argument("--dry-run", action="store_true", help="say what would be put back, as far as records say")
    add_yes(parser)
    add_json(parser)


def run(invocation: Invocation) -> int:
    tables, arguments = invocation.config.tables, invocation.arguments
    target = refuse_rollback(invocation.store(), arguments.run, f"{tables.database}.{tables.final}")
    if arguments.dry_run and invocation.as_json:
        say_json({"runs": [result_document(target)]})
    elif arguments.dry_run or asks(arguments):
        for line in rollback_lines(target):
            say(line)
    if arguments.dry_run:
        return 0
    confirm(arguments, "Put them back?")
    from traffic_aggr.restate.rollback import rollback

    run_id = new_run_id()

    def tell_and_follow(record: RunRecord, spark: SparkSession) -> Optional[TrafficAggrError]:
        invocation.told.append(result_document(record))
        if not invocation.as_json:
            partitions = counted(len(record.partitions), "partition")
            say(f"run {arguments.run} is rolled back: old data is in place for {partitions}")
        return follow(invocation, record, spark)

    rollback(invocation.context(run_id), arguments.run, run_id, follow=tell_and_follow)
    if invocation.as_json:
        say_json({"runs": invocation.told})
    return 0
