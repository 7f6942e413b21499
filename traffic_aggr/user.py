"""Who runs this process."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """The name of the user, or the number of a container's user that has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
