"""
Generates shell completion from the parser of the command line.

``python -m devtools.completion`` writes ``deploy/traffic-aggr.bash`` and ``deploy/_traffic-aggr``. The generated
scripts are committed, so no host of the job needs shtab.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import shtab

from traffic_aggr.cli.main import build_parser

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
FILES = {"bash": DEPLOY / "traffic-aggr.bash", "zsh": DEPLOY / "_traffic-aggr"}

_LAUNCHER = "spark-submit.sh"
_BY_METAVAR = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY}
_HOW_TO_LOAD = {
    "bash": "# Load it in ~/.bashrc: source /opt/traffic_aggr/deploy/traffic-aggr.bash\n",
    "zsh": "# Load it in ~/.zshrc, before compinit: fpath=(/opt/traffic_aggr/deploy $fpath)\n",
}


def script(shell: str) -> str:
    """Returns the ``bash`` or ``zsh`` completion for ``traffic-aggr`` and the launcher ``spark-submit.sh``."""
    parser = build_parser()
    for action in _actions(parser):
        if action.metavar in _BY_METAVAR:
            action.complete = _BY_METAVAR[action.metavar]
    lines = shtab.complete(parser, shell).splitlines()
    for number, line in enumerate(lines):
        if line == f"#compdef {parser.prog}" or line.startswith("complete "):
            lines[number] = f"{line} {_LAUNCHER}"
    return "\n".join(_with_own_introduction(lines, shell)).rstrip() + "\n"


def _with_own_introduction(lines: list[str], shell: str) -> Iterator[str]:
    """Replaces shtab's comment on how to install a script, since ours has a home in the project."""
    first = next(number for number, line in enumerate(lines) if line.startswith("# AUTOMATICALLY GENERATED"))
    last = next(number for number in range(first, len(lines)) if not lines[number].startswith("#"))
    yield from lines[:first]
    yield "# Made by `python -m devtools.completion` with shtab, from the program's own parser."
    yield _HOW_TO_LOAD[shell].rstrip()
    yield from lines[last:]


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


if __name__ == "__main__":
    for name, file in FILES.items():
        file.write_text(script(name), encoding="utf-8")
