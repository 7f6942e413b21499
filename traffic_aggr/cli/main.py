"""
The command line: one program, a module for each command; errors are one line on standard error, never a traceback.

Whatever needs Spark is imported by the commands that need it, so that the others answer at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Optional

from traffic_aggr import __version__
from traffic_aggr.cli import (
    alerts,
    check,
    cleanup,
    history,
    import_properties,
    in_cluster,
    plan,
    recover,
    report,
    rollback,
    run,
    sample_data,
    status,
)
from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.parser import Parser
from traffic_aggr.errors import Interrupted, TrafficAggrError
from traffic_aggr.host import log
from traffic_aggr.host.streams import flush, open_closed_streams

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

_COMMANDS = (
    run,
    plan,
    rollback,
    cleanup,
    recover,
    check,
    report,
    alerts,
    status,
    history,
    import_properties,
    sample_data,
    in_cluster,
)
"""In the order of the help."""


def main(argv: Optional[Sequence[str]] = None, spark: Optional[SparkSession] = None) -> int:
    """Runs one command; its exit code (contract: "Exit codes"). ``spark`` is a session that is there already."""
    open_closed_streams()
    invocation: Optional[Invocation] = None
    try:
        arguments = build_parser().parse_args(argv)
        invocation = Invocation(arguments, spark)
        code: int = arguments.command(invocation)
        if arguments.name not in _CHANGING:
            _deliver()
        return code
    except TrafficAggrError as exc:
        if invocation is not None and exc.command and not exc.next:
            exc.next = invocation.typed.of(*exc.command)
        _complain(exc)
        return exc.exit_code
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        _complain(Interrupted(signal.SIGINT))
        return 128 + signal.SIGINT
    except Exception as exc:  # a bug: one line here too, its traceback in the log
        _complain(TrafficAggrError(f"{type(exc).__name__}: {exc}", hint="The log has the details"))
        return 1
    finally:
        if invocation is not None:
            invocation.close()
        log.shut_down()
        flush(sys.stdout)
        flush(sys.stderr)


_CHANGING = ("run", "recover", "rollback", "cleanup", "sample-data", "in-cluster")
"""Commands whose exit code says what became of the tables, whoever can read what they print."""


def _deliver() -> None:
    """Raises TrafficAggrError where the output, which is all that the command is for, cannot be written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise TrafficAggrError(f"standard output cannot be written: {exc.strerror}") from exc


def _complain(error: TrafficAggrError) -> None:
    """Says what went wrong on standard error, and in the log as soon as there is one, with the traceback."""
    if logging.getLogger(log.PACKAGE_LOGGER).handlers:
        logger.error("%s", _told(error), exc_info=sys.exc_info() if error.exit_code == 1 else None)
        return
    problems = getattr(error, "problems", ())
    with suppress(OSError):  # nobody reads it; the exit code says the rest
        for problem in problems if len(problems) > 1 else [_told(error)]:
            print(f"traffic-aggr: {problem}", file=sys.stderr)


def _told(error: TrafficAggrError) -> str:
    return f"{error}. Next: {error.next}" if error.next else str(error)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = Parser(
        prog="traffic-aggr",
        description="Restates days of a shared warehouse table, safely.",
        epilog="Exit codes: 0 done, 1 failed, 2 bad input, 3 a guard refused, 75 another run holds the lock, "
        "130/143 stopped by a signal.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser
