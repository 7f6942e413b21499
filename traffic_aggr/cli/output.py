"""What commands print on standard output."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from typing import Any

from traffic_aggr.errors import InputError


def say(line: str) -> None:
    """Prints what was done to tables. Failing to print does not undo it, so it is not an error."""
    with suppress(OSError):
        print(line)


def asks(arguments: argparse.Namespace) -> bool:
    """Whether a command asks before it changes anything: on a terminal, without ``--yes``."""
    return not arguments.yes and sys.stdin.isatty() and sys.stdout.isatty()


def confirm(arguments: argparse.Namespace, question: str) -> None:
    """Asks, if the command does. Raises InputError unless the answer is yes."""
    if asks(arguments) and input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise InputError("not confirmed: nothing was changed", hint="Answer y, or give --yes")


def print_json(document: Any) -> None:
    """Prints a document as JSON, for scripts."""
    print(json.dumps(document, indent=2, default=str))
