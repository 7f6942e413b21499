"""Makes text from outside safe to show on one line."""

from __future__ import annotations

from collections.abc import Sequence


def escaped(text: str) -> str:
    """
    Returns the text with every unprintable character replaced by its escape sequence.

    Such as control characters, line separators, direction overrides and lone surrogates. The result can neither start a
    new line nor steer a terminal.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def shown(text: str, limit: int = 60) -> str:
    """Returns the text escaped and cut to ``limit`` characters, with a final ``…`` if it was cut."""
    # Escaping only lengthens a text, so cutting first bounds the work for a text of any length.
    line = escaped(text[:limit])
    return line if len(line) <= limit and len(text) <= limit else f"{line[: limit - 1]}…"


def first_line(error: object) -> str:
    """The first line of an error's text, or the name of its class when it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def some_of(items: Sequence[object], limit: int = 5, separator: str = "; ") -> str:
    """The first ``limit`` items, then how many more there are: ``a; b; and 3 more`` or ``a, b and 3 more``."""
    more = len(items) - limit
    rest = f"{';' if separator == '; ' else ''} and {more:,} more" if more > 0 else ""
    return separator.join(map(str, items[:limit])) + rest
