"""Reduces an error of Spark to one line: the file or table that it is about, and its innermost cause."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, Optional

from py4j.protocol import Py4JError, Py4JJavaError

_LONGEST = 400
_MOST_CAUSES = 30
_FILE = re.compile(r"\b(?:file|hdfs|viewfs|o3?fs|s3[an]?|gs|abfss?|wasbs?):/+[^\s,;'\"()\[\]]*[^\s,;'\"()\[\].:]")
_CAUSE = re.compile(r"^Caused by: (?:[\w.$]+: )?(.+)$", re.MULTILINE)
_NATIVE_REASON = re.compile(r"^Reason: (?:.*\b\w*(?:Exception|Error): )?(.+)$", re.MULTILINE)
_TABLE = re.compile(r"`[^`\n]+`\.`[^`\n]+`(?:\.`[^`\n]+`)?")


def java_says(error: Any) -> str:
    """The first line of a Java exception's message, or the name of its class when it has none."""
    return str(error.getMessage() or error.toString()).splitlines()[0]


def spark_says(exc: BaseException) -> Optional[str]:
    """
    Returns the line, or None when the error is not Spark's or Java's or when the JVM, which holds its text, is gone.

    Spark wraps a task's error in others: an outer one may name the file, and the innermost gives the reason.
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
    """Returns a message on one line, after the error's ``name`` when it is a single word: a bare path says nothing."""
    # The message may contain a task's error as text, with its stack trace and causes.
    told, _, trace = message.partition("\n\tat ")
    causes = _CAUSE.findall(trace) + _NATIVE_REASON.findall(message)
    words = " ".join((causes[-1] if causes else told).split()).rstrip(".:")
    if " " not in words:
        return f"{name}: {words}" if words else name
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1]}…"


def _place(messages: list[str]) -> str:
    """Returns the file, else the table, named by the innermost message that names one; empty when none does."""
    for pattern in (_FILE, _TABLE):
        for message in reversed(messages):
            found = pattern.search(message)
            if found:
                return found.group()
    return ""
