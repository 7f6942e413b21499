"""What commands print on standard output."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any


def say(line: str) -> None:
    """Prints what was done to tables. A line that cannot be printed does not undo it, so it is no failure."""
    with suppress(OSError):
        print(line)


def print_json(document: Any) -> None:
    """Prints a document for scripts."""
    print(json.dumps(document, indent=2, default=str))
