"""`import-properties`: converts the old properties file to a configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.parser import add_command
from traffic_aggr.errors import InputError
from traffic_aggr.files.local import LocalFiles


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "import-properties",
        run,
        "make a configuration from the old job's Bash properties",
        """
        Says on standard error what became of each old key. Nothing in the file is run,
        and no file is overwritten. `check` tells what is still to be set.
        """,
        "import-properties Aggr.properties -o my.yaml",
    )
    parser.add_argument("file", metavar="FILE", help="the old properties file; it is read, not run")
    parser.add_argument("-o", "--output", metavar="FILE", help="new file for the YAML (default: standard output)")


def run(invocation: Invocation) -> int:
    from traffic_aggr.legacy.bash_properties import read_properties
    from traffic_aggr.legacy.properties import import_properties

    arguments = invocation.arguments
    made = import_properties(read_properties(Path(arguments.file), os.environ))
    if arguments.output is None:
        print(made.yaml, end="")
    else:
        try:
            LocalFiles().create_exclusive(arguments.output, made.yaml.encode())
        except OSError as exc:
            raise InputError(
                f"{arguments.output} cannot be written: {exc.strerror}", hint="Name a new file with -o"
            ) from exc
    for line in (*made.fates, *(f"note: {note}" for note in made.notes)):
        print(line, file=sys.stderr)
    if arguments.output is not None:
        print(f"wrote {arguments.output}; `traffic-aggr check --config {arguments.output}` tells what is still missing")
    return 0
