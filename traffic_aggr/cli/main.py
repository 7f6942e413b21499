"""
The entry point: one program, with a module for each command.

Errors are one line on standard error, never a traceback. Only the commands that need Spark import it, so that the
others answer at once.
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
from traffic_aggr.cli.output import error_json, say_json
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
"""In the order in which help lists them."""


def main(argv: Optional[Sequence[str]] = None, spark: Optional[SparkSession] = None) -> int:
    """Runs one command and returns its exit code (contract: "Exit codes"). ``spark`` is a session to reuse."""
    open_closed_streams()
    invocation: Optional[Invocation] = None
    try:
        parser = build_parser()
        if not (sys.argv[1:] if argv is None else argv):
            parser.print_help(sys.stderr)
            return 2
        arguments = parser.parse_args(argv)
        invocation = Invocation(arguments, spark)
        code: int = arguments.command(invocation)
        if arguments.name not in _CHANGING:
            _deliver()
        return code
    except TrafficAggrError as exc:
        if invocation is not None and exc.command and not exc.next:
            exc.next = invocation.typed.of(*exc.command)
        if invocation is not None and invocation.as_json:
            say_json({**({"runs": invocation.told} if invocation.told else {}), **error_json(exc)})
        _complain(exc)
        return exc.exit_code
    except BrokenPipeError:
        # The reader, such as `head`, closed the pipe: that is not a failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        _complain(Interrupted(signal.SIGINT))
        return 128 + signal.SIGINT
    except Exception as exc:  # a bug: still one line here; its traceback goes to the log
        _complain(TrafficAggrError(f"{type(exc).__name__}: {exc}", hint="The log has the details"))
        return 1
    finally:
        if invocation is not None:
            invocation.close()
        log.shut_down()
        flush(sys.stdout)
        flush(sys.stderr)


_CHANGING = ("run", "recover", "rollback", "cleanup", "sample-data", "in-cluster")
"""Commands whose exit code says what happened to the tables, even if their output cannot be written."""


def _deliver() -> None:
    """Flushes the output, which is the command's only purpose. Raises TrafficAggrError if it cannot be written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise TrafficAggrError(f"standard output cannot be written: {exc.strerror}") from exc


def _complain(error: TrafficAggrError) -> None:
    """Reports an error through the log once there is one, with a traceback for exit code 1; else on standard error."""
    if logging.getLogger(log.PACKAGE_LOGGER).handlers:
        logger.error("%s", _told(error), exc_info=sys.exc_info() if error.exit_code == 1 else None)
        return
    with suppress(OSError):  # nobody can read standard error; the exit code remains
        for line in getattr(error, "lines", None) or [_told(error)]:
            print(f"traffic-aggr: {line}", file=sys.stderr)


def _told(error: TrafficAggrError) -> str:
    return f"{error}. Next: {error.next}" if error.next else str(error)


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser of the whole command line."""
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
