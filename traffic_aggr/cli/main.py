"""
The command line: one program, a command each; errors are one line on standard error, never a traceback.

What needs Spark is imported by what ``invocation`` leads to, so that commands without it answer at once.
"""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Optional

from traffic_aggr import __version__
from traffic_aggr.cli.invocation import DEFAULT_CONFIG, Invocation
from traffic_aggr.errors import GuardError, InputError, Interrupted, StateError, TrafficAggrError
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.host import log
from traffic_aggr.host.edge import EdgeNode
from traffic_aggr.host.notify import unsent
from traffic_aggr.host.streams import flush, open_closed_streams
from traffic_aggr.report.page import report_files
from traffic_aggr.report.plan_text import plan_json, plan_lines, plan_statements, refused_line, result_lines
from traffic_aggr.report.status import history_lines, overview, summary
from traffic_aggr.run.estimate import estimate
from traffic_aggr.run.plan import Refusal, Step
from traffic_aggr.run.record import is_run_id, new_run_id
from traffic_aggr.run.rollback_rules import refuse_rollback
from traffic_aggr.terminal import paint_for
from traffic_aggr.units import counted, local_time

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)


def main(argv: Optional[Sequence[str]] = None, spark: Optional[SparkSession] = None) -> int:
    """Runs one command; its exit code (contract: "Exit codes"). ``spark`` is used where a session is there already."""
    open_closed_streams()
    session: Optional[Invocation] = None
    try:
        arguments = _parser().parse_args(argv)
        session = Invocation(arguments, spark)
        code: int = arguments.command(session)
        if arguments.name not in _CHANGING:
            _deliver()
        return code
    except TrafficAggrError as exc:
        if session is not None and exc.command and not exc.next:
            exc.next = session.typed.of(*exc.command)
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
        if session is not None:
            session.close()
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


# ---- commands


def _run(session: Invocation) -> int:
    arguments = session.arguments
    if arguments.dry_run:
        if arguments.run_id:
            raise InputError("--run-id has no effect with --dry-run", hint="Leave one of them out")
        return _plan(session)
    if arguments.json:
        raise InputError("--json needs --dry-run: a run has no JSON output", hint="Add --dry-run, or leave --json out")
    run_id = arguments.run_id or _new_run_id()
    in_cluster = session.config.spark.deploy_mode == "cluster"
    runner = session.launcher(run_id) if in_cluster else session.app(run_id)
    record = runner.run(session.ask, run_id)
    for line in result_lines(
        record, session.store().report_path(record.run_id), session.config.logs.dir / log.FILE_NAME
    ):
        _say(line)
    return 0


def _in_cluster(session: Invocation) -> int:
    from traffic_aggr.cluster.driver import drive

    return drive()


def _plan(session: Invocation) -> int:
    try:
        plan = session.app().plan(session.ask())
    except GuardError as exc:  # of tables that are not this job's kind there is nothing more to say
        refusal = Refusal(exc.guard, exc.message, exc.hint)
        if session.arguments.json:
            _print_json({"refusals": [asdict(refusal)]})
        else:
            print(refused_line(refusal))
        return 0
    statements = plan_statements(plan, session.config.tables, session.config.impala)
    likely = estimate(session.store().newest_first(), plan.raw_bytes)
    if session.arguments.json:
        _print_json(plan_json(plan, statements, likely))
    else:
        print("\n".join(plan_lines(plan, statements, likely)))
    return 0


def _recover(session: Invocation) -> int:
    run_id = _new_run_id()
    settled = session.app(run_id).recover(run_id)
    for record in settled:
        _say(f"run {record.run_id}: {record.data_state}")
    if not settled:
        _say("nothing to recover: no run was interrupted")
    return 0


def _rollback(session: Invocation) -> int:
    tables = session.config.tables
    refuse_rollback(session.store(), session.arguments.run, f"{tables.database}.{tables.final}")
    run_id = _new_run_id()
    record = session.app(run_id).rollback(session.arguments.run, run_id)
    partitions = counted(len(record.partitions), "partition")
    _say(f"run {session.arguments.run} is rolled back: old data is in place for {partitions}")
    return 0


def _cleanup(session: Invocation) -> int:
    run_id, dry_run = _new_run_id(), session.arguments.dry_run
    found = session.app(run_id).cleanup(run_id, dry_run=dry_run)
    for each in found:
        _say(f"{'would delete' if dry_run else 'deleted'} {each}")
    if not found:
        _say("nothing to delete")
    return 0


def _check(session: Invocation) -> int:
    return session.check(print)


def _sample_data(session: Invocation) -> int:
    arguments = session.arguments
    made = session.app().sample_data(
        arguments.out, arguments.days, arguments.rows_per_day, arguments.seed, arguments.final_format
    )
    _say(f"sample data in {arguments.out}: {made}")
    return 0


def _status(session: Invocation) -> int:
    # In client mode an application ends with its driver, and asking for it would need a JVM.
    in_cluster = session.config.spark.deploy_mode == "cluster"
    runs = {"runs": session.hadoop.runs} if in_cluster else {}
    found = overview(session.config, session.store(), session.typed, **runs)
    if session.arguments.json:
        _print_json(found.to_json())
    else:
        print("\n".join(found.lines(paint_for(sys.stdout, os.environ))))
    return 0


def _history(session: Invocation) -> int:
    store = session.store()
    runs = [summary(store.load(run_id)) for run_id in store.run_ids()[: session.arguments.number]]
    if session.arguments.json:
        _print_json(runs)
    else:
        print("\n".join(history_lines(runs, paint_for(sys.stdout, os.environ))))
    return 0


def _report(session: Invocation) -> int:
    store = session.store()
    run_ids = store.run_ids()
    if not run_ids and session.arguments.run is None:
        raise StateError("there is no run yet", hint="`run` makes the first")
    record = store.load(session.arguments.run or run_ids[0])
    store.write_report(record.run_id, report_files(record))
    print(store.report_path(record.run_id))
    return 0


def _import_properties(session: Invocation) -> int:
    from traffic_aggr.legacy.bash_properties import read_properties
    from traffic_aggr.legacy.properties import import_properties

    arguments = session.arguments
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


def _alerts(session: Invocation) -> int:
    config = session.config.notify
    if session.arguments.resend:
        sent, left = EdgeNode(session.config, session.notifier()).resend_alerts()
        print(f"mailed {counted(sent, 'alert')}, {left:,} left")
        return 1 if left else 0
    waiting = unsent(str(config.alert_file))
    for alert in waiting:
        print(f"{local_time(alert.created)}  {alert.kind:9}{alert.run_id}  {alert.subject}")
    resend = "; `alerts --resend` mails what waits" if waiting else ""
    print(f"{counted(len(waiting), 'alert')} not mailed, in {config.alert_file}{resend}")
    return 0


def _say(line: str) -> None:
    """Tells what was done to tables; that it cannot be told does not undo it, and is no failure."""
    with suppress(OSError):
        print(line)


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, default=str))


# ---- arguments


class _Parser(argparse.ArgumentParser):
    """Bad arguments are one line as well."""

    def error(self, message: str) -> NoReturn:
        with suppress(OSError):  # nobody reads it; the exit code says the rest
            print(f"traffic-aggr: {message}. See `{self.prog} --help`", file=sys.stderr)
        self.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="traffic-aggr",
        description="Restates days of a shared warehouse table, safely.",
        epilog="Exit codes: 0 done, 1 failed, 2 bad input, 3 a guard refused, 75 another run holds the lock, "
        "130/143 stopped by a signal.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    run = _command(
        commands,
        "run",
        _run,
        "restate the listed days",
        """
        Aggregates raw again, puts the result in place of the days' partitions,
        refreshes Impala and compares what it sees. Old data is kept aside, and is put
        back if anything fails. No other day is changed. The days are those of
        partitions.file, unless an option gives others. Runs that died are settled
        first; a run that failed is resumed after its last finished step if the list is
        the same.

        Exit codes: 0 done; 1 failed, the message says whether old or new data is in
        place; 2 bad input; 3 refused by a guard, or totals differ; 75 another run
        holds the lock; 130 or 143 stopped by a signal. With 2, 3 and 75 this run has
        changed nothing, or put it back.
        """,
        "run --config my.yaml",
        "run --config my.yaml --dates 2021-04-01..2021-04-30",
        "run --config my.yaml --from-step load",
    )
    _add_list(run)
    run.add_argument("--dry-run", action="store_true", help="say what would be done, like `plan`")
    run.add_argument("--run-id", type=_run_id, help="use this id for the run (set by the launcher)")
    run.add_argument("--json", action="store_true", help="with --dry-run: the plan as JSON")
    plan = _command(
        commands,
        "plan",
        _plan,
        "say what `run` would do now; changes nothing",
        """
        Shows each day's raw rows and old totals, the steps, the guards that would
        refuse, and the statements for Impala. Reads raw and the final table with
        Spark, so it takes a while.

        Exit codes: 0 also where a guard would refuse, which is shown; 2 bad input.
        """,
        "plan --month 2021-04",
        "plan --partitions days.txt --json",
    )
    _add_list(plan)
    plan.add_argument("--json", action="store_true", help="the plan as JSON")
    rollback = _command(
        commands,
        "rollback",
        _rollback,
        "put back the partitions as they were before a run",
        """
        Takes back a run whose result is wrong: its days get their old data again, and
        Impala is refreshed. `history` lists the ids.

        Exit code 3, with nothing changed: the run published nothing, a newer run
        restated one of its days, another writer changed one, or `cleanup` has deleted
        the old data.
        """,
        "rollback 20210501T020200Z-1a2b3c",
    )
    rollback.add_argument("run", metavar="RUN_ID", type=_run_id, help="the run to take back")
    cleanup = _command(
        commands,
        "cleanup",
        _cleanup,
        "delete old data past publish.keep_days, and what dead runs left",
        """
        Deletes only directories that run records name and that no partition or table
        lies in. A run whose old data was deleted can no longer be rolled back.
        """,
        "cleanup --dry-run",
        "cleanup",
    )
    cleanup.add_argument("--dry-run", action="store_true", help="say what would be deleted")
    _command(
        commands,
        "recover",
        _recover,
        "take an interrupted run forward or back until every day is whole",
        """
        For a run that was killed, or whose host went down. Says of each run whether
        old or new data is in place. `run` does the same before it begins. Afterwards
        the next run starts afresh where old data was put back, and only refreshes and
        verifies where new data is in place.

        Exit codes: 0 every day is whole, or no run was interrupted; 1 the message says
        what stands in the way.
        """,
        "recover --config my.yaml",
    )
    _command(
        commands,
        "check",
        _check,
        "validate the config, then probe everything that a run needs",
        """
        A line each for directories, Spark, metastore, tables, the list, Impala's hosts
        and the mail server: ok, FAIL with what to do, or warn, which stops no run.
        Changes no table.

        Exit codes: 0 no line says FAIL; else 2 bad input, 3 a guard would refuse, or 1
        for the rest.
        """,
        "check --config my.yaml",
    )
    report = _command(
        commands,
        "report",
        _report,
        "path of a run's report, made again if it is missing",
        """
        The report is an HTML page: what came of the run, where the data is, and each
        day before and after. report.json and daily.csv beside it are for programs.
        """,
        "report",
        "report 20210501T020200Z-1a2b3c",
    )
    report.add_argument("run", metavar="RUN_ID", nargs="?", type=_run_id, help="default: the newest run")
    alerts = _command(
        commands,
        "alerts",
        _alerts,
        "alerts that could not be mailed",
        """
        Lists the alerts in notify.alert_file. With --resend they are mailed, and taken
        out once they are.

        Exit code 1 with --resend: some are still unsent.
        """,
        "alerts",
        "alerts --resend",
    )
    alerts.add_argument("--resend", action="store_true", help="try to mail them now")
    status = _command(
        commands,
        "status",
        _status,
        "what is going on, and what the next `run` will do",
        """
        Says who holds the lock, how the last run ended, whether the data is safe, and
        what the status file has. Changes nothing and takes no lock.
        """,
        "status",
        "status --json",
    )
    status.add_argument("--json", action="store_true", help="as JSON")
    history = _command(
        commands,
        "history",
        _history,
        "past runs, newest first",
        """
        A line each: id, command, start, how long it took, days, rows and outcome.
        Changes nothing.
        """,
        "history -n 5",
        "history --json",
    )
    history.add_argument("--json", action="store_true", help="as JSON")
    history.add_argument("-n", "--number", type=_positive, default=20, help="how many (default 20)")
    importing = _command(
        commands,
        "import-properties",
        _import_properties,
        "make a configuration from the old job's Bash properties",
        """
        Says on standard error what became of each old key. Nothing in the file is run,
        and no file is overwritten. `check` tells what is still to be set.
        """,
        "import-properties Aggr.properties -o my.yaml",
    )
    importing.add_argument("file", metavar="FILE", help="the old properties file; it is read, not run")
    importing.add_argument("-o", "--output", metavar="FILE", help="new file for the YAML (default: standard output)")
    sample = _command(
        commands,
        "sample-data",
        _sample_data,
        "make sample tables, and an old final table to correct",
        """
        Makes raw Parquet, the lookups, a partition list, and a final table that does
        not match raw, in the database of the configuration. Replaces no table.
        """,
        "sample-data --out /tmp/sample --days 3 --rows-per-day 100",
    )
    sample.add_argument("--out", metavar="DIR", required=True, help="empty directory for the files, local or a URI")
    sample.add_argument("--days", type=_positive, default=30, help="days of raw (default 30)")
    sample.add_argument("--rows-per-day", type=_positive, default=2000, help="raw rows a day (default 2000)")
    sample.add_argument("--seed", type=int, default=1, help="the same seed makes the same data (default 1)")
    sample.add_argument(
        "--final-format",
        choices=("parquet", "text"),
        default="parquet",
        help="of the old final table (default parquet)",
    )
    commands.add_parser("in-cluster").set_defaults(
        command=_in_cluster, name="in-cluster"
    )  # for the launcher, which lists no help for it
    return parser


def _command(
    commands: Any, name: str, function: Callable[[Invocation], int], what: str, more: str, *examples: str
) -> argparse.ArgumentParser:
    """Adds a command: ``what`` it does in a line, ``more`` for its own help, and what to type."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.\n\n{inspect.cleandoc(more)}",
        epilog="\n".join(["examples:", *(f"  traffic-aggr {example}" for example in examples)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", metavar="FILE", help=f"configuration (default $TRAFFIC_AGGR_CONFIG, else {DEFAULT_CONFIG})"
    )
    parser.set_defaults(command=function, name=name)
    return parser


def _add_list(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--partitions", metavar="FILE", help="a partition list, one day a line")
    which.add_argument("--dates", metavar="A..B", help="days, both included: 2021-04-01..2021-04-30")
    which.add_argument("--month", metavar="YYYY-MM", help="all days of a month")
    parser.add_argument("--from-step", choices=[step.label for step in Step], help="start at this step")


def _new_run_id() -> str:
    return new_run_id(datetime.now(timezone.utc))


def _run_id(text: str) -> str:
    if not is_run_id(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a run id such as 20210501T020200Z-1a2b3c; see `history`")
    return text


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
