"""What terminals can do and files cannot: colours, and lines that are overwritten."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Optional, TextIO


class Colour(Enum):
    """What a colour signals; the value is its ANSI code."""

    GOOD = "32"
    BUSY = "33"
    BAD = "31"


CLEAR = "\033[H\033[2J"
"""Clears a terminal; what follows begins at its top."""

Paint = Callable[[str, Colour], str]


def plain(text: str, colour: Colour) -> str:
    """Returns the text without colour."""
    return text


def paint_for(stream: TextIO, environment: Mapping[str, str]) -> Paint:
    """Colours for a capable terminal, unless NO_COLOR is set (no-color.org); else ``plain``."""
    wanted = stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return (lambda text, colour: f"\033[{colour.value}m{text}\033[0m") if wanted else plain


def width_of(stream: TextIO) -> Optional[int]:
    """The columns of a terminal; None for any other stream, whose lines need not be cut."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def is_terminal(stream: Optional[TextIO]) -> bool:
    """None is a stream closed before the start."""
    return stream is not None and not stream.closed and stream.isatty()


def can_rewrite(stream: Optional[TextIO], environment: Mapping[str, str]) -> bool:
    """Whether lines on ``stream`` can be overwritten."""
    return environment.get("TERM", "") not in ("", "dumb") and is_terminal(stream)
