"""`cleanup`: deletes data that is no longer needed."""

from __future__ import annotations

from typing import Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.output import say
from traffic_aggr.cli.parser import add_command
from traffic_aggr.run.record import new_run_id


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "cleanup",
        run,
        "delete old data past publish.keep_days, and leftovers of interrupted runs",
        """
        Deletes only directories that run records name and that no partition or table
        lies in. A run whose old data was deleted can no longer be rolled back.
        """,
        "cleanup --dry-run",
        "cleanup",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be deleted")


def run(invocation: Invocation) -> int:
    from traffic_aggr.restate.cleanup import cleanup

    run_id, dry_run = new_run_id(), invocation.arguments.dry_run
    found = cleanup(invocation.context(run_id), run_id, dry_run=dry_run)
    for each in found:
        say(f"{'would delete' if dry_run else 'deleted'} {each}")
    if not found:
        say("nothing to delete")
    return 0
