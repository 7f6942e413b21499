"""The argument parser: what commands share, and the types of their arguments."""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, NoReturn, Optional

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.run.plan import Step
from traffic_aggr.run.record import is_run_id

HIDDEN = "in-cluster"
"""The command that the launcher runs in the cluster; help does not list it."""

_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from (.+)\)")


class Parser(argparse.ArgumentParser):
    """Reports bad arguments in one line, with what was probably meant, and exits with 2."""

    def parse_args(self, args: Optional[Sequence[str]] = None, namespace: Any = None) -> Any:
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            own = getattr(found, "parser", self)
            known = re.findall(r"--[a-z-]+", own.format_help())
            own.error(f"unknown argument {' '.join(unknown)}{_meant(unknown[0], known)}")
        return found

    def error(self, message: str) -> NoReturn:
        choice = _CHOICE.search(message)
        if choice:
            choices = [each for each in re.findall(r"[\w-]+", choice[2]) if each != HIDDEN]
            if "COMMAND" in message:
                message = f"there is no command {choice[1]!r}"
            message += _meant(choice[1], choices)
        with suppress(OSError):  # nobody can read standard error; the exit code remains
            end = "" if message.endswith("?") else "."
            print(f"traffic-aggr: {message}{end} See `{self.prog} --help`", file=sys.stderr)
        self.exit(2)


def _meant(typed: str, known: Sequence[str]) -> str:
    close = get_close_matches(typed.partition("=")[0], known, 1)
    return f"; did you mean {close[0]}?" if close else ""


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
        "--config", metavar="FILE", help="configuration (default $TRAFFIC_AGGR_CONFIG, else conf/local.yaml)"
    )
    parser.set_defaults(command=function, name=name, parser=parser)
    return parser


def add_days(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose the days and the step to start at."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--partitions", metavar="FILE", help="a partition list, one day a line")
    which.add_argument("--dates", metavar="A..B", help="days, both included: 2021-04-01..2021-04-30")
    which.add_argument("--month", metavar="YYYY-MM", help="all days of a month")
    parser.add_argument("--from-step", choices=[step.label for step in Step], help="start at this step")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Adds the option of commands that ask on a terminal before they change anything."""
    parser.add_argument("--yes", action="store_true", help="do not ask; only a terminal is asked")


def add_json(parser: argparse._ActionsContainer, what: str = "as JSON") -> None:
    """Adds the option that prints one JSON document in place of lines; errors have one too."""
    parser.add_argument("--json", action="store_true", help=what)


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
