"""
Probes of everything that a run needs, each by itself, so that all failures show at once.
"""

from __future__ import annotations

import os
import smtplib
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Optional

from traffic_aggr.config import Config
from traffic_aggr.errors import ConfigError, StateError, TrafficAggrError
from traffic_aggr.impala_refresh import ImpalaRefresher
from traffic_aggr.statusfile import StatusFile


@dataclass(frozen=True)
class Finding:
    """
    One probe: what was probed, and what is wrong; None when it is well. A ``warning`` is about something that stops no
    run and yet should be looked at.
    """

    what: str
    error: Optional[TrafficAggrError]
    warning: bool = False

    def __str__(self) -> str:
        state = "FAIL" if self.error else "warn" if self.warning else "ok  "
        return f"{state}  {self.what}{f': {self.error}' if self.error else ''}"


def probe(what: str, action: Callable[[], object]) -> Finding:
    """Runs one probe; what is not an error of ours is shown by its first line."""
    try:
        action()
    except TrafficAggrError as exc:
        return Finding(what, exc)
    except Exception as exc:  # whatever a probe meets is its finding, and the next one goes on
        line = (str(exc).strip() or type(exc).__name__).splitlines()[0]
        return Finding(what, StateError(line))
    return Finding(what, None)


def exit_code(findings: Sequence[Finding]) -> int:
    """0 when all is well; 2 where input is wrong, else 3 where a guard would refuse, else 1."""
    codes = {finding.error.exit_code for finding in findings if finding.error}
    return next((code for code in (2, 3, 1) if code in codes), 0)


def probe_state(config: Config) -> Iterator[Finding]:
    """State directories can be written, the status file read."""
    directories = {
        "state.dir": Path(config.state.dir),
        "state.status_file": config.state.status_file.parent,
        "state.lock_file": config.state.lock_file.parent,
        "logs.dir": config.logs.dir,
        "notify.alert_file": config.notify.alert_file.parent,
    }
    for key, directory in directories.items():
        yield probe(f"{key} {directory} can be written", partial(_write_into, directory))
    status_file = StatusFile(str(config.state.status_file))
    yield probe(f"status file {config.state.status_file}", status_file.read)


def probe_metrics(config: Config) -> Iterator[Finding]:
    """The metrics can be written; where they cannot, that is a warning, as it is to a run."""
    if config.metrics.textfile is None:
        return
    directory = config.metrics.textfile.parent
    found = probe(f"metrics.textfile {directory} can be written", partial(_write_there, directory))
    yield Finding(f"{found.what}: {found.error}", None, warning=True) if found.error else found


def _write_into(directory: Path) -> None:
    _write_there(next(each for each in (directory, *directory.parents) if each.exists()))


def _write_there(directory: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as exc:
        raise ConfigError(f"{directory}: {exc.strerror}", hint="Make it writable for this user") from exc


def probe_impala(config: Config, password: Optional[str]) -> Iterator[Finding]:
    """Each coordinator opens a session."""
    if not config.impala.enabled:
        return
    for host, error in ImpalaRefresher(config.impala, password).probe_each():
        yield Finding(f"Impala {host}", StateError(error, hint="Check impala.hosts") if error else None)


def probe_smtp(config: Config) -> Iterator[Finding]:
    """The mail server greets; nothing is sent."""
    smtp = config.notify.smtp
    if smtp.host is None:
        return

    def greet() -> None:
        connect = smtplib.SMTP_SSL if smtp.tls == "ssl" else smtplib.SMTP
        try:
            with connect(smtp.host or "", smtp.port, timeout=smtp.timeout_s) as server:
                server.noop()
        except (OSError, smtplib.SMTPException, socket.timeout) as exc:
            raise StateError(str(exc), hint="Check notify.smtp; alerts go to notify.alert_file meanwhile") from exc

    yield probe(f"SMTP {smtp.host}:{smtp.port}", greet)


def probe_list(config: Config, read: Callable[[], object]) -> Finding:
    """The partition list is there and well-formed."""
    return probe(f"partition list {os.fspath(config.partitions.file)}", read)
