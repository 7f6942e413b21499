"""
Telling the service desk: a mail that opens a ticket, one that says it is over, and a file for what was not mailed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import re
import smtplib
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import Callable, Optional

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from traffic_aggr.config.config import NotifyConfig
from traffic_aggr.errors import Interrupted
from traffic_aggr.files.local import PRIVATE_FILE, LocalFiles, sync_directory, write_atomic
from traffic_aggr.host.mail_page import mail_page
from traffic_aggr.text import escaped, shown
from traffic_aggr.units import counted, local_zone

log = logging.getLogger(__name__)

FAILURE = "failure"
RECOVERY = "recovery"

_MOST_REFERENCES = 20
_LONGEST_SUBJECT = 200
_LONGEST_WAIT_S = 30


@dataclass(frozen=True)
class Alert:
    """
    What the desk is told; ``kind`` is ``failure`` or ``recovery``, ``created`` ISO 8601 in UTC.

    A recovery's ``failure_run_ids`` are the runs whose failures it ends, oldest first.
    """

    kind: str
    run_id: str
    subject: str
    body: str
    created: str
    failure_run_ids: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, line: str) -> Alert:
        """Raises ValueError for anything that ``to_json`` does not write."""
        found = json.loads(line)
        if not isinstance(found, dict) or not set(found) <= {field.name for field in dataclasses.fields(cls)}:
            raise ValueError("not an alert")
        try:
            alert = cls(**{**found, "failure_run_ids": tuple(found.get("failure_run_ids", ()))})
        except TypeError as exc:
            raise ValueError(str(exc)) from exc
        required = (alert.kind, alert.run_id, alert.subject, alert.body, alert.created, *alert.failure_run_ids)
        if not all(isinstance(value, str) for value in required):
            raise ValueError("not an alert")
        _time(alert.created)
        return alert

    def to_json(self) -> str:
        """One line."""
        return json.dumps(dataclasses.asdict(self))


def failure_alert(
    *,
    job: str,
    script_name: str,
    run_id: str,
    host: str,
    step: str,
    error: str,
    partitions: Sequence[str],
    data_state: str,
    day_states: Sequence[str],
    log_tail: Sequence[str],
    next_command: str,
    next_does: str = "",
    created: Optional[str] = None,
) -> Alert:
    """
    A failed run; ``data_state`` says whether the data is safe, ``day_states`` the same for each day.

    The first lines of the body answer what happened, whether the data is safe, and what to run.
    """
    body = [
        f"{job} FAILED at {step} on {host}.",
        f"What happened: {error}",
        f"The data: {data_state}.",
        f"What to run: {next_command}",
        *([f"What it does: it {next_does}."] if next_does else []),
        "",
        f"Run {run_id} ({script_name}), {_days(partitions)}",
        *(f"  {state}" for state in day_states),
    ]
    if log_tail:
        body += ["", f"Last lines of the log, times in {local_zone()}:", *(f"  {line}" for line in log_tail)]
    subject = f"[{job}] FAILED at {step}: {_days(partitions)}, {data_state}"
    return Alert(FAILURE, run_id, subject, "\n".join(body), created or _now())


def recovery_alert(
    *,
    job: str,
    script_name: str,
    run_id: str,
    failure_run_ids: Sequence[str],
    host: str,
    partitions: Sequence[str],
    data_state: str,
    day_states: Sequence[str] = (),
    created: Optional[str] = None,
) -> Alert:
    """A run that succeeded after one that failed and raised a ticket."""
    body = [
        f"{job} SUCCEEDED on {host}; the ticket can be closed.",
        f"The data: {data_state}.",
        "",
        f"Run {run_id} ({script_name}), {_days(partitions)}",
        *(f"  {state}" for state in day_states),
    ]
    if failure_run_ids:
        body.append(f"It ends the failure of {', '.join(failure_run_ids)}")
    subject = f"[{job}] RECOVERED: {_days(partitions)}, {data_state}"
    return Alert(RECOVERY, run_id, subject, "\n".join(body), created or _now(), tuple(failure_run_ids))


def unsent(alert_file: str) -> list[Alert]:
    """The alerts that could not be mailed, oldest first. Lines that hold none are skipped. Raises OSError."""
    return [alert for _, alert in _alerts_in(_lines(alert_file))]


class Notifier:
    """
    Mails alerts and keeps in ``alert_file`` those that no server took.

    ``redact`` takes secrets out of a text. ``context`` is for TLS; None means the certificates of the system.
    """

    def __init__(
        self,
        config: NotifyConfig,
        password: Optional[str],
        *,
        redact: Callable[[str], str],
        sleep: Callable[[float], None] = time.sleep,
        context: Optional[ssl.SSLContext] = None,
    ) -> None:
        self._config = config
        self._password = password
        self._redact = redact
        self._sleep = sleep
        self._context = context

    def send(self, alert: Alert) -> bool:
        """True once the mail is handed over, False when the alert went to the alert file instead; does not fail."""
        alert = self._cleaned(alert)
        try:
            if self._mail(alert):
                return True
        except BaseException as exc:  # stopped half-way or not, the alert must not get lost
            self._store(alert)
            if isinstance(exc, Interrupted) or not isinstance(exc, Exception):
                raise
            log.exception("the alert of run %s could not be made a mail", alert.run_id)
            return False
        self._store(alert)
        return False

    def resend(self) -> tuple[list[Alert], int]:
        """
        Mails what lies in the alert file and takes out what was sent, oldest first; how many alerts are left.

        One that is sent just before a crash is sent again, with the same Message-ID. Raises OSError.
        """
        path = str(self._config.alert_file)
        found = _alerts_in(_lines(path))
        sent = {line: alert for line, alert in found if self._mail(self._cleaned(alert))}
        if sent:
            with _locked(path):
                # Read again: a run may have added one meanwhile.
                _write_lines(path, [line for line in _lines(path) if line not in sent])
        return list(sent.values()), len(found) - len(sent)

    def _cleaned(self, alert: Alert) -> Alert:
        """Without secrets; the subject on one line; nothing in it that would steer a terminal."""
        subject = " ".join(self._redact(alert.subject).split())
        lines = self._redact(alert.body).expandtabs().splitlines()
        return dataclasses.replace(
            alert, subject=shown(subject, _LONGEST_SUBJECT), body="\n".join(escaped(line) for line in lines)
        )

    def _mail(self, alert: Alert) -> bool:
        smtp = self._config.smtp
        if smtp.host is None:
            return False
        message = self._message(alert)
        attempts = Retrying(
            stop=stop_after_attempt(smtp.attempts),
            wait=wait_random_exponential(max=_LONGEST_WAIT_S),
            retry=retry_if_exception(_is_transient),
            sleep=self._sleep,
            before_sleep=self._log_attempt,
            reraise=True,
        )
        try:
            attempts(self._hand_over, message)
        except OSError as exc:  # smtplib's errors are among these
            log.error("the mail of run %s was not taken: %s", alert.run_id, self._redact(str(exc)))
            return False
        log.info("mailed to %s: %s", ", ".join(self._config.ticket_to), alert.subject)
        return True

    def _log_attempt(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("mail server, attempt %d: %s", state.attempt_number, self._redact(str(error)))

    def _message(self, alert: Alert) -> EmailMessage:
        config = self._config
        message = EmailMessage(policy=SMTP_POLICY)
        message["Subject"] = alert.subject
        message["From"] = config.from_
        message["To"] = ", ".join(config.ticket_to)
        if config.cc:
            message["Cc"] = ", ".join(config.cc)
        message["Date"] = format_datetime(_time(alert.created))
        message["Message-ID"] = self._message_id(alert.run_id, alert.kind)
        if alert.failure_run_ids:
            # All of them, since any may be the one whose mail opened the ticket.
            failures = " ".join(self._message_id(each, FAILURE) for each in alert.failure_run_ids[-_MOST_REFERENCES:])
            message["In-Reply-To"] = failures
            message["References"] = failures
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(alert.body)
        message.add_alternative(mail_page(alert.body), subtype="html")
        return message

    def _message_id(self, run_id: str, kind: str) -> str:
        """The same wherever it is made, so that a mail sent twice is one, and a recovery finds its failure."""
        name = re.sub(r"[^A-Za-z0-9._-]", "", f"{run_id}.{kind}")
        return f"<{name}@{(self._config.from_ or '').rpartition('@')[2]}>"

    def _hand_over(self, message: EmailMessage) -> None:
        """Raises when no address of ``ticket_to`` is accepted."""
        config = self._config
        with contextlib.ExitStack() as closing:
            server = self._connect()
            closing.callback(server.close)
            if config.smtp.tls == "starttls":
                server.starttls(context=self._tls())
            if config.smtp.user is not None:
                server.login(config.smtp.user, self._password or "")
            refused = server.send_message(message, config.from_, [*config.ticket_to, *config.cc])
            # The server has the mail already: a goodbye that fails must not send it twice.
            with contextlib.suppress(OSError):
                server.quit()
        for address, (code, reason) in refused.items():
            log.warning("the mail server refuses %s: %d %s", address, code, reason.decode(errors="replace"))
        if set(config.ticket_to) <= set(refused):
            raise smtplib.SMTPRecipientsRefused(refused)

    def _connect(self) -> smtplib.SMTP:
        smtp = self._config.smtp
        assert smtp.host is not None
        if smtp.tls == "ssl":
            return smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=smtp.timeout_s, context=self._tls())
        return smtplib.SMTP(smtp.host, smtp.port, timeout=smtp.timeout_s)

    def _tls(self) -> ssl.SSLContext:
        return self._context or ssl.create_default_context()

    def _store(self, alert: Alert) -> None:
        path = str(self._config.alert_file)
        try:
            _append(path, alert.to_json())
        except OSError as exc:
            log.error("the alert of run %s cannot be written to %s either: %s", alert.run_id, path, exc)
        else:
            log.warning("the alert of run %s is not mailed but in %s; `alerts --resend` mails it", alert.run_id, path)


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return any(400 <= code < 500 for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPResponseException):
        return 400 <= error.smtp_code < 500
    if isinstance(error, smtplib.SMTPException):
        return isinstance(error, smtplib.SMTPServerDisconnected)
    return isinstance(error, OSError) and not isinstance(error, ssl.SSLCertVerificationError)


def _days(partitions: Sequence[str]) -> str:
    if not partitions:
        return "no days"
    if len(partitions) == 1:
        return f"1 day {partitions[0]}"
    return f"{counted(len(partitions), 'day')} {min(partitions)}..{max(partitions)}"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(re.sub("Z$", "+00:00", text))
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


# ---- the alert file: one JSON object a line; a line that was cut off stays, and nothing is glued to it


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    LocalFiles().make_directories(os.path.dirname(os.path.abspath(path)))
    with open(os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, PRIVATE_FILE), "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _append(path: str, line: str) -> None:
    with _locked(path), open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE_FILE), "r+b", 0) as out:
        size = out.seek(0, os.SEEK_END)
        cut_off = size and os.pread(out.fileno(), 1, size - 1) != b"\n"
        out.write(b"\n" * bool(cut_off) + line.encode() + b"\n")
        os.fsync(out.fileno())
        sync_directory(os.path.dirname(os.path.abspath(path)))


def _lines(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as source:
            return source.read().splitlines()
    except FileNotFoundError:
        return []


def _alerts_in(lines: Sequence[bytes]) -> list[tuple[bytes, Alert]]:
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append((line, Alert.from_json(line.decode())))
        except (ValueError, RecursionError) as exc:
            log.warning("line %d of the alert file holds no alert: %s", number, exc)
    return found


def _write_lines(path: str, lines: Sequence[bytes]) -> None:
    if lines:
        write_atomic(path, b"".join(line + b"\n" for line in lines))
    else:
        os.unlink(path)
        sync_directory(os.path.dirname(os.path.abspath(path)))
