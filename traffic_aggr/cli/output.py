"""What commands print on standard output."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any


def say(line: str) -> None:
    """Prints what was done to tables. Failing to print does not undo it, so it is not an error."""
    with suppress(OSError):
        print(line)


def print_json(document: Any) -> None:
    """Prints a document as JSON, for scripts."""
    print(json.dumps(document, indent=2, default=str))
