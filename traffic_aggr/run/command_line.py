"""How the program was started, so that every message can name the exact command to type next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COMMAND = "traffic-aggr"


@dataclass(frozen=True)
class CommandLine:
    """
    One command as the operator typed it.

    ``program`` holds the words that start the program, ``command`` the command with its arguments. ``from_step`` is
    separate because a command that resumes this one omits it.
    """

    program: tuple[str, ...] = (COMMAND,)
    config: str = ""
    command: tuple[str, ...] = ()
    from_step: str = ""

    def of(self, *command: str) -> str:
        """Returns another command for the same program and configuration, quoted for a shell."""
        config = ("--config", self.config) if self.config else ()
        return shlex.join((*self.program, *command, *config))

    def again(self, *, resumed: bool) -> str:
        """Returns the same command. A ``resumed`` one continues where this one stopped, so it omits ``--from-step``."""
        from_step = ("--from-step", self.from_step) if self.from_step and not resumed else ()
        return self.of(*self.command, *from_step)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> CommandLine:
        return cls(tuple(found["program"]), found["config"], tuple(found["command"]), found["from_step"])


UNKNOWN = CommandLine()
"""For records that do not say how their command was typed."""


def program(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the words that start this program again from any directory."""
    if "TRAFFIC_AGGR_PROGRAM" in environment:
        return (environment["TRAFFIC_AGGR_PROGRAM"],)
    script = os.path.abspath(argv[0])
    name = os.path.basename(script)
    if name == "__main__.py" and os.path.basename(os.path.dirname(script)) == "traffic_aggr":
        return (sys.executable, "-m", "traffic_aggr")
    if os.path.basename(os.path.dirname(script)) == "jobs":
        return ("spark-submit" if "PYSPARK_GATEWAY_PORT" in environment else sys.executable, script)
    on_path = shutil.which(COMMAND)
    if name == COMMAND and os.path.exists(script) and not (on_path and os.path.samefile(on_path, script)):
        return (script,)
    return (COMMAND,)
