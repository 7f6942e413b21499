"""`alerts`: lists the alerts that could not be mailed, or mails them now."""

from __future__ import annotations

from typing import Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.parser import add_command
from traffic_aggr.host.edge import EdgeNode
from traffic_aggr.host.notify import unsent
from traffic_aggr.units import counted, local_time


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "alerts",
        run,
        "alerts that could not be mailed",
        """
        Lists the alerts in notify.alert_file. With --resend they are mailed, and taken
        out once they are.

        Exit code 1 with --resend: some are still unsent.
        """,
        "alerts",
        "alerts --resend",
    )
    parser.add_argument("--resend", action="store_true", help="try to mail them now")


def run(invocation: Invocation) -> int:
    config = invocation.config.notify
    if invocation.arguments.resend:
        sent, left = EdgeNode(invocation.config, invocation.notifier()).resend_alerts()
        print(f"mailed {counted(sent, 'alert')}, {left:,} left")
        return 1 if left else 0
    waiting = unsent(str(config.alert_file))
    for alert in waiting:
        print(f"{local_time(alert.created)}  {alert.kind:9}{alert.run_id}  {alert.subject}")
    resend = "; `alerts --resend` mails what waits" if waiting else ""
    print(f"{counted(len(waiting), 'alert')} not mailed, in {config.alert_file}{resend}")
    return 0
