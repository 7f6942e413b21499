"""`sample-data`: creates sample tables."""

from __future__ import annotations

import os
from typing import Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.output import say
from traffic_aggr.cli.parser import add_command, positive
from traffic_aggr.config.config import is_uri
from traffic_aggr.errors import InputError
from traffic_aggr.run.sample import SampleRequest


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "sample-data",
        run,
        "make sample tables, and an old final table to correct",
        """
        Makes raw Parquet, the lookups, a partition list, and a final table that does
        not match raw, in the database of the configuration. Replaces no table.
        """,
        "sample-data --out /tmp/sample --days 3 --rows-per-day 100",
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="empty directory for the files, local or a URI")
    parser.add_argument("--days", type=positive, default=30, help="days of raw (default 30)")
    parser.add_argument("--rows-per-day", type=positive, default=2000, help="raw rows a day (default 2000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same data (default 1)")
    parser.add_argument(
        "--final-format",
        choices=("parquet", "text"),
        default="parquet",
        help="of the old final table (default parquet)",
    )


def run(invocation: Invocation) -> int:
    from traffic_aggr.restate.warehouse import files_of

    arguments, make = invocation.arguments, invocation.job.make_sample
    if make is None:
        raise InputError(f"the job {invocation.job.name} has no sample data", hint="Name tables that exist")
    out = arguments.out if is_uri(arguments.out) else f"file:{os.path.abspath(arguments.out)}"
    asked = SampleRequest(arguments.days, arguments.rows_per_day, arguments.seed, arguments.final_format)
    with invocation.context().session() as spark:
        made = make(spark, invocation.config.tables, files_of(spark, out), out.rstrip("/"), asked)
    say(f"sample data in {arguments.out}: {made}")
    return 0
