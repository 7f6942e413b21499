"""What an error of Spark says, in one line: the file or table that it is about, and its innermost cause."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, Optional

from py4j.protocol import Py4JError, Py4JJavaError

_LONGEST = 400
_MOST_CAUSES = 30
_FILE = re.compile(r"\b(?:file|hdfs|viewfs|o3?fs|s3[an]?|gs|abfss?|wasbs?):/+[^\s,;'\"()\[\]]*[^\s,;'\"()\[\].:]")
_CAUSE = re.compile(r"^Caused by: (?:[\w.$]+: )?(.+)$", re.MULTILINE)
_TABLE = re.compile(r"`[^`\n]+`\.`[^`\n]+`(?:\.`[^`\n]+`)?")


def spark_says(exc: BaseException) -> Optional[str]:
    """
    The one line; None for an error that is not Spark's or Java's, and where the JVM, which alone can say it, is gone.

    Spark wraps the error of a task in others, of which an outer one may name the file, and the innermost the reason.
    """
    error: Any = exc.java_exception if isinstance(exc, Py4JJavaError) else getattr(exc, "_origin", None)
    if error is None:
        return None
    with suppress(Py4JError, OSError):
        messages: list[str] = []
        while error is not None and len(messages) < _MOST_CAUSES:
            name, message = error.getClass().getSimpleName(), str(error.getMessage() or "")
            messages.append(message)
            error = error.getCause()
        reason = _reason(name, message)
        place = _place(messages)
        return f"{place}: {reason}" if place and place not in reason else reason
    return None


def _reason(name: str, message: str) -> str:
    """A message that is only a path means nothing without the error's name."""
    # A task's error may come as text, with its stack trace and causes.
    told, _, trace = message.partition("\n\tat ")
    causes = _CAUSE.findall(trace)
    words = " ".join((causes[-1] if causes else told).split()).rstrip(".:")
    if " " not in words:
        return f"{name}: {words}" if words else name
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"


def _place(messages: list[str]) -> str:
    """The file, or else the table, that the innermost message names one at all."""
    for pattern in (_FILE, _TABLE):
        for message in reversed(messages):
            found = pattern.search(message)
            if found:
                return found.group()
    return ""
