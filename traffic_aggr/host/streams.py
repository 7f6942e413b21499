"""Keeps closed streams and full disks from changing the job's exit code."""

from __future__ import annotations

import os
import sys
from typing import Optional, TextIO


def open_closed_streams() -> None:
    """
    Connects each closed standard stream (``2>&-``) to /dev/null.

    Python sets such a stream to None, and the next file opened would get its descriptor.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115


def flush(stream: Optional[TextIO]) -> None:
    """Flushes a standard stream; drops what it cannot write, or Python would exit with 120."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()
