"""Text from outside, made safe to show on one line."""

from __future__ import annotations


def escaped(text: str) -> str:
    """
    The text with every character that does not print (control, line separator, direction override, lone surrogate)
    written as its escape, so that it can neither start a line of its own nor steer a terminal.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def shown(text: str, limit: int = 60) -> str:
    """The text escaped and cut to ``limit`` characters, of which the last is ``…`` where something is left out."""
    # What is escaped only grows, so cutting first bounds the work on a text of any length.
    line = escaped(text[:limit])
    return line if len(line) <= limit and len(text) <= limit else f"{line[: limit - 1]}…"
