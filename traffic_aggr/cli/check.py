"""`check`: probes everything that a run needs."""

from __future__ import annotations

from functools import partial
from typing import Any

from traffic_aggr.cli.invocation import Invocation
from traffic_aggr.cli.output import error_json, print_json
from traffic_aggr.cli.parser import add_command, add_json
from traffic_aggr.cli.warm import make_class_archive
from traffic_aggr.config.secrets import SecretRef
from traffic_aggr.host import log


def add_parser(commands: Any) -> None:
    parser = add_command(
        commands,
        "check",
        run,
        "validate the config, then probe everything that a run needs",
        """
        A line each for directories, Spark, metastore, tables, the list, Impala's hosts
        and the mail server: ok, FAIL with what to do, or warn, which stops no run.
        Changes no table.

        With --warm it first makes Java's class archive, with which each command that
        needs Spark starts faster: for Spark in this Python environment, on hosts
        without a directory of Spark's or Hadoop's configuration.

        Exit codes: 0 no line says FAIL; else 2 bad input, 3 a guard would refuse, or 1
        for the rest.
        """,
        "check --config my.yaml",
    )
    parser.add_argument("--warm", action="store_true", help="first make the class archive, for faster starts")
    add_json(parser)


def run(invocation: Invocation) -> int:
    from traffic_aggr.restate.check import check
    from traffic_aggr.restate.probes import exit_code, probe

    config = invocation.config
    secrets: dict[str, str] = {}

    def reveal(key: str, ref: SecretRef) -> None:
        secrets[key] = invocation.reveal(ref)

    before = [probe("class archive", lambda: make_class_archive(config.spark))] if invocation.arguments.warm else []
    before += [probe(f"secret {key}", partial(reveal, key, ref)) for key, ref in config.secret_refs()]
    log_file = config.logs.dir / log.FILE_NAME
    before.append(probe(f"log {log_file}", lambda: invocation.log_to_file(None, secrets)))
    findings = []
    for finding in check(invocation.context_of(secrets), invocation.ask, before):
        findings.append(finding)
        if not invocation.as_json:
            print(finding)
    code = exit_code(findings)
    if invocation.as_json:
        told = [
            {"state": each.state, "what": each.what, **(error_json(each.error) if each.error else {})}
            for each in findings
        ]
        print_json({"exit_code": code, "probes": told})
    return code
