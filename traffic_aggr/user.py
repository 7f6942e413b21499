"""The user who runs this process."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """Returns the user's name, or the uid when it has no name (in a container)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
