from __future__ import annotations

import dataclasses
import json
import logging
import multiprocessing
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as DEFAULT_POLICY
from html import unescape
from pathlib import Path
from typing import Any, Callable, NoReturn

import pytest
from aiosmtpd.smtp import AuthResult, Envelope, Session

from tests.support.alerts import failure, recovery
from tests.support.fakes import RUN_ID
from tests.support.mail_server import LoopbackController, text_of
from traffic_aggr.config.config import JobConfig, NotifyConfig, SmtpConfig
from traffic_aggr.errors import Interrupted
from traffic_aggr.host.notify import Notifier, unsent
from traffic_aggr.run.record import StepRecord

PASSWORD = "correct horse battery"


class Mailbox:
    """
    A mail server's handler that keeps what it takes, after giving the ``answers`` to as many tries; addresses in
    ``refused`` are answered with their codes.
    """

    def __init__(self, answers: tuple[str, ...] = (), refused: dict[str, int] | None = None) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.tries = 0
        self._answers = list(answers)
        self._refused = refused or {}

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.tries += 1
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self._refused:
            return f"{self._refused[address]} not here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self._answers:
            return self._answers.pop(0)
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=DEFAULT_POLICY)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 taken"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


StartServer = Callable[..., int]


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Starts a mail server with a handler and aiosmtpd's keywords; gives its port."""
    with ExitStack() as running:

        def start(handler: Mailbox, **options: Any) -> int:
            controller = LoopbackController(handler, hostname="127.0.0.1", port=0, **options)
            controller.start()
            running.callback(controller.stop)
            return int(controller.port)

        yield start


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEM file with a key and a self-made certificate for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on PATH to make a certificate with")
    pem = tmp_path_factory.mktemp("tls") / "key.pem"
    certificate = pem.with_name("certificate.pem")
    subject = ["-subj", "/CN=mail", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(pem), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *key, *subject], check=True, capture_output=True)
    pem.write_bytes(pem.read_bytes() + certificate.read_bytes())
    return pem


@pytest.fixture
def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate.with_name("certificate.pem")))


@pytest.fixture
def config(tmp_path: Path) -> NotifyConfig:
    return NotifyConfig(
        alert_file=tmp_path / "alerts" / "alerts.jsonl",
        smtp=SmtpConfig(host="127.0.0.1", port=1, timeout_s=10, attempts=3),
        from_="mnaas-alerts@example.com",
        ticket_to=("sdp-desk@example.com",),
        cc=("move-dev@example.com",),
    )


def on_port(config: NotifyConfig, port: int, **of_smtp: Any) -> NotifyConfig:
    return dataclasses.replace(config, smtp=dataclasses.replace(config.smtp, port=port, **of_smtp))


def notifier(config: NotifyConfig, context: ssl.SSLContext | None = None) -> Notifier:
    return Notifier(
        config,
        PASSWORD,
        redact=lambda text: text.replace(PASSWORD, "***"),
        sleep=lambda seconds: None,
        context=context,
    )


# ---- mailing


def test_a_mail_reaches_ticket_desk_and_copies_and_leaves_no_alert_file(
    config: NotifyConfig, start_server: StartServer
) -> None:
    mailbox = Mailbox()
    config = on_port(config, start_server(mailbox))
    assert notifier(config).send(failure())
    [message] = mailbox.messages
    headers = {name: message[name] for name in ("Subject", "From", "To", "Cc", "Date", "Message-ID", "Auto-Submitted")}
    assert headers == {
        "Subject": failure().subject,
        "From": "mnaas-alerts@example.com",
        "To": "sdp-desk@example.com",
        "Cc": "move-dev@example.com",
        "Date": "Tue, 04 May 2021 02:41:00 +0000",
        "Message-ID": f"<{RUN_ID}.failure@example.com>",
        "Auto-Submitted": "auto-generated",
    }
    assert text_of(message).splitlines() == failure().body.splitlines()
    assert mailbox.recipients == [["sdp-desk@example.com", "move-dev@example.com"]]
    assert not config.alert_file.parent.exists()


def test_a_mail_says_the_same_as_html_with_what_to_do_first(config: NotifyConfig, start_server: StartServer) -> None:
    mailbox = Mailbox()
    alert = failure(error="<script>1 < 2</script>", log_tail=["a line of the log"])
    assert notifier(on_port(config, start_server(mailbox))).send(alert)
    page = mailbox.messages[0].get_body(("html",))
    assert page is not None
    html = page.get_content()
    assert "<script>" not in html
    words = " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())
    assert words == " ".join(alert.body.replace(": ", " ", 3).split())
    assert html.index("What to run") < html.index("a line of the log")


def test_a_recovery_answers_the_mail_of_its_failure_wherever_it_runs(
    config: NotifyConfig, start_server: StartServer
) -> None:
    mailbox = Mailbox()
    config = on_port(config, start_server(mailbox))
    for alert in (failure(), recovery()):
        assert notifier(config).send(alert)
    first, second = mailbox.messages
    assert second["In-Reply-To"] == second["References"] == first["Message-ID"]
    assert second["Message-ID"] != first["Message-ID"]


def test_starttls_is_verified_and_the_password_goes_through_it(
    config: NotifyConfig, start_server: StartServer, server_context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    mailbox = Mailbox()
    port = start_server(
        mailbox,
        tls_context=server_context,
        require_starttls=True,
        auth_required=True,
        authenticator=mailbox.authenticate,
    )
    assert notifier(on_port(config, port, tls="starttls", user="etl"), trusting).send(failure())
    assert mailbox.logins == [(b"etl", PASSWORD.encode())]
    assert len(mailbox.messages) == 1


def test_ssl_from_the_first_byte_is_spoken(
    config: NotifyConfig, start_server: StartServer, server_context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    mailbox = Mailbox()
    port = start_server(mailbox, ssl_context=server_context)
    assert notifier(on_port(config, port, tls="ssl"), trusting).send(failure())
    assert len(mailbox.messages) == 1


def test_a_certificate_for_another_host_is_refused(
    config: NotifyConfig, start_server: StartServer, server_context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    mailbox = Mailbox()
    port = start_server(mailbox, tls_context=server_context)
    assert not notifier(on_port(config, port, tls="starttls", host="localhost"), trusting).send(failure())
    assert mailbox.tries == 0


@pytest.mark.parametrize("tls", ["starttls", "ssl"])
def test_a_certificate_that_nobody_vouches_for_is_refused_without_another_try(
    config: NotifyConfig,
    start_server: StartServer,
    server_context: ssl.SSLContext,
    tls: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mailbox = Mailbox()
    options = {"tls_context": server_context} if tls == "starttls" else {"ssl_context": server_context}
    port = start_server(mailbox, **options)
    caplog.set_level(logging.WARNING, "traffic_aggr.host.notify")
    assert not notifier(on_port(config, port, tls=tls)).send(failure())
    assert "certificate verify failed" in caplog.text
    assert "attempt 1" not in caplog.text
    assert mailbox.tries == 0


def test_a_server_without_starttls_gets_neither_mail_nor_password(
    config: NotifyConfig, start_server: StartServer
) -> None:
    mailbox = Mailbox()
    port = start_server(mailbox, authenticator=mailbox.authenticate, auth_require_tls=False)
    assert not notifier(on_port(config, port, tls="starttls", user="etl")).send(failure())
    assert (mailbox.messages, mailbox.logins) == ([], [])


def test_a_wrong_password_is_told_to_the_log_but_not_shown(
    config: NotifyConfig, start_server: StartServer, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox = Mailbox()
    port = start_server(mailbox, authenticator=mailbox.authenticate, auth_require_tls=False)
    wrong = Notifier(on_port(config, port, user="etl"), "wrong-secret", redact=str, sleep=lambda seconds: None)
    with caplog.at_level(logging.DEBUG):
        assert not wrong.send(failure())
    assert "535" in caplog.text
    assert "wrong-secret" not in caplog.text
    assert "wrong-secret" not in repr(wrong)
    assert len(mailbox.logins) < 3, "not tried again"


@pytest.mark.parametrize(
    ("answers", "tries", "sent"),
    [
        (("451 later",), 2, True),
        (("451 later", "421 busy"), 3, True),
        (("451 later",) * 3, 3, False),
        (("554 no",), 1, False),
    ],
    ids=["4xx then OK", "twice 4xx then OK", "4xx for ever", "5xx"],
)
def test_only_transient_answers_are_tried_again(
    config: NotifyConfig, start_server: StartServer, answers: tuple[str, ...], tries: int, sent: bool
) -> None:
    mailbox = Mailbox(answers)
    config = on_port(config, start_server(mailbox))
    assert notifier(config).send(failure()) is sent
    assert (mailbox.tries, len(mailbox.messages)) == (tries, int(sent))
    assert len(unsent(str(config.alert_file))) == int(not sent)


@pytest.mark.parametrize(
    ("refused", "sent", "tries"),
    [
        ({"move-dev@example.com": 550}, True, 1),
        ({"second-desk@example.com": 450}, True, 1),
        ({"sdp-desk@example.com": 550, "second-desk@example.com": 550}, False, 1),
        ({"sdp-desk@example.com": 450, "second-desk@example.com": 550}, False, 3),
    ],
    ids=["a copy", "one of two desks", "all desks", "all desks, one for now"],
)
def test_a_mail_counts_as_sent_when_one_ticket_desk_takes_it(
    config: NotifyConfig,
    start_server: StartServer,
    refused: dict[str, int],
    sent: bool,
    tries: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = dataclasses.replace(config, ticket_to=("sdp-desk@example.com", "second-desk@example.com"))
    mailbox = Mailbox(refused=refused)
    config = on_port(config, start_server(mailbox))
    assert notifier(config).send(failure()) is sent
    assert mailbox.tries == tries
    for address, code in refused.items():
        assert f"refuses {address}: {code}" in caplog.text


def test_a_server_that_says_nothing_costs_no_more_than_its_timeouts(config: NotifyConfig) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        config = on_port(config, silent.getsockname()[1], timeout_s=0.2)
        assert not notifier(config).send(failure())
    assert len(unsent(str(config.alert_file))) == 1


def test_refused_connections_are_tried_as_often_as_configured_with_growing_waits(
    config: NotifyConfig, nobody: Any
) -> None:
    waits: list[float] = []
    patient = Notifier(on_port(config, nobody.port, attempts=5), None, redact=str, sleep=waits.append)
    assert not patient.send(failure())
    assert len(waits) == 4
    assert all(wait <= 30 for wait in waits)


def test_a_server_that_hangs_up_after_taking_the_mail_does_not_get_it_twice(config: NotifyConfig) -> None:
    received = []

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 hello\r\n")
            for line in lines:
                received.append(line)
                command = line[:4].upper()
                if command == b"DATA":
                    connection.sendall(b"354 go on\r\n")
                elif command in (b"EHLO", b"MAIL", b"RCPT"):
                    connection.sendall(b"250 OK\r\n")
                elif line == b".\r\n":
                    connection.sendall(b"250 taken\r\n")
                    return

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        assert notifier(on_port(config, server.getsockname()[1])).send(failure())
        thread.join()
    assert received.count(b".\r\n") == 1


# ---- what must not get into a mail


def test_no_header_can_be_smuggled_in(config: NotifyConfig, start_server: StartServer) -> None:
    mailbox = Mailbox()
    evil = failure(
        steps=[StepRecord("load\r\nBcc: eve@example.com\n\nbody", "now")], run_id=f"{RUN_ID}>\r\nBcc: eve@example.com"
    )
    assert notifier(on_port(config, start_server(mailbox))).send(evil)
    [message] = mailbox.messages
    assert message["Bcc"] is None
    assert "eve@example.com" not in str(mailbox.recipients)
    assert "FAILED at load Bcc: eve@example.com body" in message["Subject"]


def test_a_line_with_a_single_dot_does_not_end_the_mail(config: NotifyConfig, start_server: StartServer) -> None:
    mailbox = Mailbox()
    alert = dataclasses.replace(failure(), body="first\n.\nMAIL FROM:<eve@example.com>\n..\nlast")
    assert notifier(on_port(config, start_server(mailbox))).send(alert)
    assert text_of(mailbox.messages[0]).splitlines() == alert.body.splitlines()


def test_any_text_can_be_mailed(config: NotifyConfig, start_server: StartServer) -> None:
    mailbox = Mailbox()
    alert = failure(JobConfig("jöb" * 200), error="café \x00\x1b[31m \udcff " + "x" * 5000)
    assert notifier(on_port(config, start_server(mailbox))).send(alert)
    text = text_of(mailbox.messages[0])
    assert "café \\x00\\x1b[31m \\udcff x" in text
    assert "x" * 5000 in text


@pytest.mark.parametrize("mailed", [True, False], ids=["mail", "alert file"])
def test_secrets_are_taken_out(config: NotifyConfig, start_server: StartServer, mailed: bool) -> None:
    mailbox = Mailbox(() if mailed else ("554 no",))
    config = on_port(config, start_server(mailbox))
    notifier(config).send(failure(JobConfig(PASSWORD), error=f"login with {PASSWORD}", log_tail=[PASSWORD]))
    mails = "".join(message["Subject"] + text_of(message) for message in mailbox.messages)
    told = mails if mailed else config.alert_file.read_text()
    assert "login with ***" in told
    assert PASSWORD not in told


# ---- the alert file


@pytest.fixture
def unmailed(config: NotifyConfig) -> NotifyConfig:
    return dataclasses.replace(config, smtp=dataclasses.replace(config.smtp, host=None))


def test_without_a_mail_server_the_alert_is_one_private_line_of_json(unmailed: NotifyConfig) -> None:
    assert not notifier(unmailed).send(failure())
    [line] = unmailed.alert_file.read_text().splitlines()
    assert json.loads(line)["subject"] == failure().subject
    assert stat.S_IMODE(unmailed.alert_file.stat().st_mode) == 0o600
    assert unsent(str(unmailed.alert_file)) == [failure()]


def test_there_are_no_unsent_alerts_without_a_file(unmailed: NotifyConfig) -> None:
    assert unsent(str(unmailed.alert_file)) == []


@pytest.mark.parametrize(
    "line",
    ['{"kind": "failure", "run_', "[]", "{}", "\0", '{"kind": 1}', failure().to_json().replace("2021-05-04T", "x")],
    ids=["torn", "list", "empty", "NUL", "wrong type", "wrong time"],
)
def test_a_broken_last_line_spoils_neither_the_others_nor_the_next(unmailed: NotifyConfig, line: str) -> None:
    notifier(unmailed).send(failure())
    with open(unmailed.alert_file, "a") as out:
        out.write(line)
    notifier(unmailed).send(recovery())
    assert unsent(str(unmailed.alert_file)) == [failure(), recovery()]
    assert line in unmailed.alert_file.read_text().splitlines()


def test_when_the_alert_file_cannot_be_written_either_that_is_logged_and_nothing_raised(
    unmailed: NotifyConfig, caplog: pytest.LogCaptureFixture
) -> None:
    unmailed.alert_file.mkdir(parents=True)
    assert not notifier(unmailed).send(failure())
    assert f"cannot be written to {unmailed.alert_file} either" in caplog.text


def test_a_signal_while_mailing_leaves_the_alert_in_the_file_and_goes_on(config: NotifyConfig, nobody: Any) -> None:
    def interrupted(seconds: float) -> NoReturn:
        raise Interrupted(15)

    config = on_port(config, nobody.port)
    with pytest.raises(Interrupted):
        Notifier(config, None, redact=str, sleep=interrupted).send(failure())
    assert unsent(str(config.alert_file)) == [failure()]


def _send_many(config: NotifyConfig, start: Any, number: int) -> None:
    start.wait()
    for _ in range(10):
        notifier(config).send(failure(run_id=f"run-{number}", error="x" * 20_000))


def test_alerts_of_many_processes_do_not_mix(unmailed: NotifyConfig) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(4)
    senders = [context.Process(target=_send_many, args=(unmailed, start, number)) for number in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    found = sorted(alert.run_id for alert in unsent(str(unmailed.alert_file)))
    assert found == sorted(f"run-{number}" for number in range(4) for _ in range(10))


def test_resending_mails_everything_and_removes_the_file(
    unmailed: NotifyConfig, config: NotifyConfig, start_server: StartServer
) -> None:
    for alert in (failure(), recovery()):
        notifier(unmailed).send(alert)
    mailbox = Mailbox()
    assert notifier(on_port(config, start_server(mailbox))).resend() == ([failure(), recovery()], 0)
    assert [message["Subject"] for message in mailbox.messages] == [failure().subject, recovery().subject]
    assert mailbox.messages[0]["Date"] == "Tue, 04 May 2021 02:41:00 +0000"
    assert not config.alert_file.exists()


def test_resending_keeps_what_is_refused_what_is_broken_and_what_came_meanwhile(
    unmailed: NotifyConfig, config: NotifyConfig, start_server: StartServer
) -> None:
    for alert in (failure(), recovery()):
        notifier(unmailed).send(alert)
    with open(unmailed.alert_file, "a") as out:
        out.write('{"torn')
    newcomer = failure(run_id="20210506T020200Z-ffffff")

    class Busy(Mailbox):
        async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
            answer = await super().handle_DATA(server, session, envelope)
            if answer.startswith("250"):
                notifier(unmailed).send(newcomer)
            return answer

    mailbox = Busy(("250 OK", "554 no"))
    assert notifier(on_port(config, start_server(mailbox))).resend() == ([failure()], 1)
    assert unsent(str(config.alert_file)) == [recovery(), newcomer]
    assert b'{"torn' in config.alert_file.read_bytes().splitlines()
    assert stat.S_IMODE(os.stat(config.alert_file).st_mode) == 0o600


def test_resending_stops_at_the_first_that_is_refused(
    unmailed: NotifyConfig, config: NotifyConfig, start_server: StartServer
) -> None:
    for alert in (failure(), recovery()):
        notifier(unmailed).send(alert)
    mailbox = Mailbox(("554 no",))
    assert notifier(on_port(config, start_server(mailbox))).resend() == ([], 2)
    assert mailbox.tries == 1
    assert unsent(str(config.alert_file)) == [failure(), recovery()]


def test_resending_without_a_file_does_nothing(config: NotifyConfig) -> None:
    assert notifier(config).resend() == ([], 0)
    assert not config.alert_file.parent.exists()
