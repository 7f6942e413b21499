"""Runs the site's commands after a successful load."""

from __future__ import annotations

import logging
import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence

log = logging.getLogger(__name__)

LIMIT_S = 3600
"""A hook that runs longer is killed: the run has succeeded and must not hang on housekeeping."""


PARTITIONS = "{partitions}"
"""Stands in a command for the restated partitions, separated by commas."""


def run_after_load(commands: Sequence[Sequence[str]], run_id: str, partitions: Iterable[str] = ()) -> None:
    """
    Runs each command without a shell, with ``TRAFFIC_AGGR_RUN_ID`` set; a failure is a warning.

    ``partitions`` take the place of ``PARTITIONS`` in it.
    """
    restated = ",".join(partitions)
    for words in commands:
        command = [word.replace(PARTITIONS, restated) for word in words]
        log.info("hook: %s", " ".join(command))
        try:
            # A file, not a pipe: a background process started by the hook could keep a pipe open.
            with tempfile.TemporaryFile() as output:
                code = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=LIMIT_S,
                    check=False,
                    env={**os.environ, "TRAFFIC_AGGR_RUN_ID": run_id},
                ).returncode
                output.seek(0)
                told = output.read().decode(errors="replace").splitlines()
        except (OSError, subprocess.TimeoutExpired) as exc:
            log.warning("hook %s failed: %s; the loaded data stays", command[0], exc)
            continue
        for line in told[-20:]:
            log.info("hook %s: %s", command[0], line)
        if code:
            log.warning("hook %s failed with exit code %d; the loaded data stays", command[0], code)
