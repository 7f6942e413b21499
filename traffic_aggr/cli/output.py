"""What commands print on standard output."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Union

from traffic_aggr.errors import InputError, TrafficAggrError

JSON_VERSION = 1
"""Of what commands print as JSON. A run's own document has the version of ``report.json``."""


def say(line: str) -> None:
    """Prints what was done to tables. Failing to print does not undo it, so it is not an error."""
    with suppress(OSError):
        print(line)


def asks(arguments: argparse.Namespace) -> bool:
    """Whether a command asks before it changes anything: on a terminal, without ``--yes`` or ``--json``."""
    return not arguments.yes and not arguments.json and sys.stdin.isatty() and sys.stdout.isatty()


def confirm(arguments: argparse.Namespace, question: str) -> None:
    """Asks, if the command does. Raises InputError unless the answer is yes."""
    if asks(arguments) and input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise InputError("not confirmed: nothing was changed", hint="Answer y, or give --yes")


def print_json(document: Union[Mapping[str, Any], Sequence[Mapping[str, Any]]]) -> None:
    """Prints a document, or a list of them, for scripts. Each has a ``version``, raised when a key changes or goes."""
    found = _versioned(document) if isinstance(document, Mapping) else list(map(_versioned, document))
    print(json.dumps(found, indent=2, default=_plain))


def say_json(document: Mapping[str, Any]) -> None:
    """Prints a document on what was done to tables. Failing to print does not undo it, so it is not an error."""
    with suppress(OSError):
        print_json(document)


def _versioned(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"version": JSON_VERSION, **document}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def error_json(error: TrafficAggrError) -> dict[str, Any]:
    """``error``, ``hint``, ``next_command`` and ``exit_code`` of a command that failed."""
    return {
        "error": error.message,
        "hint": error.hint or None,
        "next_command": error.next or None,
        "exit_code": error.exit_code,
    }
