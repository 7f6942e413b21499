"""What a terminal can do that a file cannot: colours, and lines that are rewritten."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Optional, TextIO


class Colour(Enum):
    """What a text is to be seen as at a glance."""

    GOOD = "32"
    BUSY = "33"
    BAD = "31"


Paint = Callable[[str, Colour], str]


def plain(text: str, colour: Colour) -> str:
    """The text as it is."""
    return text


def paint_for(stream: TextIO, environment: Mapping[str, str]) -> Paint:
    """Colours for a terminal whose user has not set NO_COLOR (no-color.org), else none."""
    wanted = stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return (lambda text, colour: f"\033[{colour.value}m{text}\033[0m") if wanted else plain


def can_rewrite(stream: Optional[TextIO], environment: Mapping[str, str]) -> bool:
    """Whether a line on ``stream`` can be replaced by another; None is a stream that was closed before the start."""
    known = environment.get("TERM", "") not in ("", "dumb")
    return known and stream is not None and not stream.closed and stream.isatty()
