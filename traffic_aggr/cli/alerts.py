"""`alerts`: lists the alerts that could not be mailed, mails them now, or discards them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.output import asks, confirm, print_json
from traffic_aggr.cli.parser import add_command, add_json, add_yes
from traffic_aggr.errors import InputError
from traffic_aggr.host.alerts import Alert
from traffic_aggr.host.edge import EdgeNode
from traffic_aggr.host.notify import discard, unsent
from traffic_aggr.units import counted, local_time


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "alerts",
        run,
        "alerts that could not be mailed",
        """
        Lists the alerts in notify.alert_file. With --resend they are mailed, oldest
        first, and taken out once they are; it stops at the first that the server does
        not take. With --discard they are taken out unmailed.

        Exit codes with --resend: 1 some are still unsent; 2 notify.smtp.host is null,
        so there is no server to mail them.
        """,
        "alerts",
        "alerts --resend",
        "alerts --discard",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--resend", action="store_true", help="try to mail them now")
    what.add_argument("--discard", action="store_true", help="delete them")
    add_yes(parser)
    add_json(parser)


def run(invocation: Invocation) -> int:
    config, arguments = invocation.config.notify, invocation.arguments
    if arguments.resend:
        return _resend(invocation)
    waiting = unsent(str(config.alert_file))
    if arguments.discard:
        return _discard(invocation, waiting)
    if arguments.json:
        print_json({"mails": config.smtp.host is not None, "file": str(config.alert_file), "alerts": waiting})
        return 0
    for line in _lines(waiting):
        print(line)
    what_next = ""
    if config.smtp.host is None:
        what_next = "; notify.smtp.host is null, so none is mailed"
    elif waiting:
        what_next = "; `alerts --resend` mails what waits"
    print(f"{counted(len(waiting), 'alert')} not mailed, in {config.alert_file}{what_next}")
    return 0


def _lines(waiting: Sequence[Alert]) -> Iterator[str]:
    for alert in waiting:
        yield f"{local_time(alert.created)}  {alert.kind:9}{alert.run_id}  {alert.subject}"


def _resend(invocation: Invocation) -> int:
    if invocation.config.notify.smtp.host is None:
        raise InputError(
            "notify.smtp.host is null, so there is no server to mail alerts",
            hint="Set it, or take them out with `alerts --discard`",
        )
    sent, left = EdgeNode(invocation.config, invocation.notifier()).resend_alerts()
    if invocation.as_json:
        print_json({"mailed": sent, "left": left})
    else:
        print(f"mailed {counted(sent, 'alert')}, {left:,} left")
    return 1 if left else 0


def _discard(invocation: Invocation, waiting: Sequence[Alert]) -> int:
    if waiting and asks(invocation.arguments):
        for line in _lines(waiting):
            print(line)
        confirm(invocation.arguments, "Discard them unmailed?")
    discarded = discard(str(invocation.config.notify.alert_file), waiting)
    if invocation.as_json:
        print_json({"discarded": discarded})
    else:
        print(f"discarded {counted(discarded, 'alert')}")
    return 0
