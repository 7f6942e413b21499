"""Standard output and standard error that nobody can read: closed, or on a full disk. The exit code stays the job's."""

from __future__ import annotations

import os
import sys
from typing import Optional, TextIO


def open_closed_streams() -> None:
    """
    Connects a standard stream that was closed (``2>&-``) to /dev/null.

    Python has None in place of such a stream, and the next file that is opened would get its number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115


def flush(stream: Optional[TextIO]) -> None:
    """Flushes a standard stream; what cannot be written is dropped, since Python would end with exit code 120."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()
