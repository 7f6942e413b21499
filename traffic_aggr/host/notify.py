"""
Mails alerts to the service desk. A file keeps those that could not be mailed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import logging
import os
import re
import smtplib
import ssl
import time
from collections.abc import Collection, Iterator, Sequence
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from itertools import takewhile
from typing import Callable, Optional

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from traffic_aggr.clock import parse_timestamp
from traffic_aggr.config.config import NotifyConfig
from traffic_aggr.errors import Interrupted
from traffic_aggr.files.local import PRIVATE_FILE, LocalFiles, sync_directory, write_atomic
from traffic_aggr.host.alerts import FAILURE, Alert
from traffic_aggr.host.mail_page import mail_page
from traffic_aggr.text import escaped, shown

log = logging.getLogger(__name__)

_MOST_REFERENCES = 20
_LONGEST_SUBJECT = 200
_LONGEST_WAIT_S = 30


def unsent(alert_file: str) -> list[Alert]:
    """The alerts that could not be mailed, oldest first; skips lines that hold none. Raises OSError."""
    return [alert for _, alert in _alerts_in(_lines(alert_file))]


def discard(alert_file: str, alerts: Collection[Alert]) -> int:
    """Removes ``alerts`` from those that could not be mailed, and returns how many it found. Raises OSError."""
    found = [line for line, alert in _alerts_in(_lines(alert_file)) if alert in alerts]
    _remove(alert_file, found)
    return len(found)


class Notifier:
    """
    Mails alerts, and stores in ``alert_file`` those that the server did not accept.

    ``redact`` removes secrets from a text. ``context`` is for TLS; None means the system's certificates.
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
        """
        Mails an alert, or puts it into the alert file. Returns whether it was mailed.

        Raises no errors, except to let a signal through after storing the alert.
        """
        alert = self._cleaned(alert)
        try:
            if self._mail(alert):
                return True
        except BaseException as exc:  # the alert must not get lost, even when a signal stops the mailing
            self._store(alert)
            if isinstance(exc, Interrupted) or not isinstance(exc, Exception):
                raise
            log.exception("the alert of run %s could not be made a mail", alert.run_id)
            return False
        self._store(alert)
        return False

    def resend(self) -> tuple[list[Alert], int]:
        """
        Mails the alerts in the alert file, oldest first, and removes those that were sent from it.

        Stops at the first that the server does not take: it would hardly take the next. Returns the alerts sent, and
        how many are left. An alert sent just before a crash is sent again, with the same Message-ID. Raises OSError.
        """
        path = str(self._config.alert_file)
        found = _alerts_in(_lines(path))
        sent = dict(takewhile(lambda each: self._mail(self._cleaned(each[1])), found))
        _remove(path, sent)
        return list(sent.values()), len(found) - len(sent)

    def _cleaned(self, alert: Alert) -> Alert:
        """A copy without secrets or unprintable characters, its subject on one line."""
        subject = " ".join(self._redact(alert.subject).split())
        lines = self._redact(alert.body).expandtabs().splitlines()
        return dataclasses.replace(
            alert, subject=shown(subject, _LONGEST_SUBJECT), body="\n".join(escaped(line) for line in lines)
        )

    def _mail(self, alert: Alert) -> bool:
        smtp = self._config.smtp
        host = smtp.host
        if host is None:
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
            attempts(self._hand_over, host, message)
        except OSError as exc:  # includes smtplib's errors
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
        message["Date"] = format_datetime(parse_timestamp(alert.created))
        message["Message-ID"] = self._message_id(alert.run_id, alert.kind)
        if alert.failure_run_ids:
            # All of them, because any one may have opened the ticket.
            failures = " ".join(self._message_id(each, FAILURE) for each in alert.failure_run_ids[-_MOST_REFERENCES:])
            message["In-Reply-To"] = failures
            message["References"] = failures
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(alert.body)
        message.add_alternative(mail_page(alert.body), subtype="html")
        return message

    def _message_id(self, run_id: str, kind: str) -> str:
        """
        The Message-ID, which depends on run, kind and sender only.

        So a mail that is sent twice counts as one, and a recovery can refer to its failure.
        """
        name = re.sub(r"[^A-Za-z0-9._-]", "", f"{run_id}.{kind}")
        return f"<{name}@{(self._config.from_ or '').rpartition('@')[2]}>"

    def _hand_over(self, host: str, message: EmailMessage) -> None:
        """Sends the mail. Raises OSError, also when the server accepts no address of ``ticket_to``."""
        config = self._config
        with contextlib.ExitStack() as closing:
            server = self._connect(host)
            closing.callback(server.close)
            if config.smtp.tls == "starttls":
                server.starttls(context=self._tls())
            if config.smtp.user is not None:
                server.login(config.smtp.user, self._password or "")
            refused = server.send_message(message, config.from_, [*config.ticket_to, *config.cc])
            # The server already has the mail: a failing QUIT must not send it twice.
            with contextlib.suppress(OSError):
                server.quit()
        for address, (code, reason) in refused.items():
            log.warning("the mail server refuses %s: %d %s", address, code, reason.decode(errors="replace"))
        if set(config.ticket_to) <= set(refused):
            raise smtplib.SMTPRecipientsRefused(refused)

    def _connect(self, host: str) -> smtplib.SMTP:
        smtp = self._config.smtp
        if smtp.tls == "ssl":
            return smtplib.SMTP_SSL(host, smtp.port, timeout=smtp.timeout_s, context=self._tls())
        return smtplib.SMTP(host, smtp.port, timeout=smtp.timeout_s)

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


# ---- the alert file: one JSON object per line; a truncated line stays, and the next alert starts a new line


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


def _remove(path: str, lines: Collection[bytes]) -> None:
    if lines:
        with _locked(path):
            # Read again: a run may have added an alert meanwhile.
            _write_lines(path, [line for line in _lines(path) if line not in lines])


def _write_lines(path: str, lines: Sequence[bytes]) -> None:
    if lines:
        write_atomic(path, b"".join(line + b"\n" for line in lines))
    else:
        os.unlink(path)
        sync_directory(os.path.dirname(os.path.abspath(path)))
