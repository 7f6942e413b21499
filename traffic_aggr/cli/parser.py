"""The argument parser: what commands share, and the types of their arguments."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from traffic_aggr.cli.invocation import DEFAULT_CONFIG, Invocation
from traffic_aggr.run.plan import Step
from traffic_aggr.run.record import is_run_id


class Parser(argparse.ArgumentParser):
    """Reports bad arguments in one line and exits with 2."""

    def error(self, message: str) -> NoReturn:
        with suppress(OSError):  # nobody can read standard error; the exit code remains
            print(f"traffic-aggr: {message}. See `{self.prog} --help`", file=sys.stderr)
        self.exit(2)


def add_command(
    commands: Any, name: str, function: Callable[[Invocation], int], what: str, more: str, *examples: str
) -> argparse.ArgumentParser:
    """Adds a command: ``what`` it does in one line, ``more`` for its own help, and ``examples`` to type."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.\n\n{inspect.cleandoc(more)}",
        epilog="\n".join(["examples:", *(f"  traffic-aggr {example}" for example in examples)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", metavar="FILE", help=f"configuration (default $TRAFFIC_AGGR_CONFIG, else {DEFAULT_CONFIG})"
    )
    parser.set_defaults(command=function, name=name)
    return parser


def add_days(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose the days and the step to start at."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--partitions", metavar="FILE", help="a partition list, one day a line")
    which.add_argument("--dates", metavar="A..B", help="days, both included: 2021-04-01..2021-04-30")
    which.add_argument("--month", metavar="YYYY-MM", help="all days of a month")
    parser.add_argument("--from-step", choices=[step.label for step in Step], help="start at this step")


def run_id_argument(text: str) -> str:
    """Parses a run id. Raises ArgumentTypeError."""
    if not is_run_id(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a run id such as 20210501T020200Z-1a2b3c; see `history`")
    return text


def positive(text: str) -> int:
    """Parses a whole number above 0. Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
