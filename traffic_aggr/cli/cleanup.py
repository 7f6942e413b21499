"""`cleanup`: deletes data that is no longer needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.output import asks, confirm, say, say_json
from traffic_aggr.cli.parser import add_command, add_json, add_yes
from traffic_aggr.run.record import new_run_id
from traffic_aggr.units import counted, data_volume, local_time

if TYPE_CHECKING:
    from traffic_aggr.restate.cleanup import Kept, Removal


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "cleanup",
        run,
        "delete old data past publish.keep_days, and leftovers of interrupted runs",
        """
        Deletes only directories that run records name and that no partition or table
        lies in. A run whose old data was deleted can no longer be rolled back. On a
        terminal it shows what it would delete, and asks.
        """,
        "cleanup --dry-run",
        "cleanup",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be deleted")
    add_yes(parser)
    add_json(parser)


def run(invocation: Invocation) -> int:
    arguments = invocation.arguments
    if asks(arguments) and not arguments.dry_run:
        removals, kept = _clean(invocation, dry_run=True)
        _tell(removals, kept, "would delete")
        if not removals:
            return 0
        confirm(arguments, "Delete them?")
        invocation = invocation.again()
    removals, kept = _clean(invocation, dry_run=arguments.dry_run)
    if arguments.json:
        say_json({"dry_run": arguments.dry_run, "removed": removals, "kept": kept})
    else:
        _tell(removals, kept, "would delete" if arguments.dry_run else "deleted")
    return 0


def _clean(invocation: Invocation, *, dry_run: bool) -> tuple[Sequence[Removal], Sequence[Kept]]:
    from traffic_aggr.restate.cleanup import cleanup

    run_id = new_run_id()
    return cleanup(invocation.context(run_id), run_id, dry_run=dry_run)


def _tell(removals: Sequence[Removal], kept: Sequence[Kept], done: str) -> None:
    for each in removals:
        if each.run_id is not None:
            where = counted(len(each.names), "directory", "directories")
            say(f"run {each.run_id}: {counted(each.partitions, 'partition')}, {data_volume(each.bytes)} in {where}")
        for name in each.names:
            say(f"{done} {name}")
    if not removals:
        say("nothing to delete")
    for stays in kept:
        say(f"run {stays.run_id}: {counted(stays.partitions, 'partition')} kept until {local_time(stays.until)}")
