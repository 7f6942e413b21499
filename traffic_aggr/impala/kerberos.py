"""
Authenticates by Kerberos in a child process (``kerberos_exchange``) that can be killed at any time.

libkrb5 decides how long it waits for a silent KDC, partly while holding Python's global lock, so this process cannot
impose a limit on it. It also takes keytab and ticket cache from the environment, which Spark's JVM would inherit.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any, Optional, cast

from traffic_aggr.impala.kerberos_login import KerberosLogin
from traffic_aggr.impala.outcomes import NoAnswerError, UntrustedError

MECHANISM = "GSSAPI"

_NO_TICKET = -1765328243
_WRONG_KEY = -1765328360
_UNKNOWN_CLIENT = -1765328378
_UNKNOWN_SERVER = -1765328377
_EXPIRED = (-1765328352, 720896, 786432)
_CLOCK_SKEW = (-1765328347, -1765328237)
_NO_KDC = (-1765328228, -1765328164)
"""Error codes of libkrb5 and GSSAPI, which never change. ``_NO_KDC``: no KDC answers, no KDC's name resolves."""


class KerberosClient:
    """
    The client of one SASL negotiation, with the methods that thrift_sasl calls.

    With a ``login`` it gets a new ticket for ``service``/``host`` from the keytab and keeps it in memory; without one
    it uses the user's ticket cache. ``complete`` is True once the server has proved its identity. Raises
    UntrustedError, or NoAnswerError when a retry may help. Any thread may call ``end`` at any time.
    """

    def __init__(self, service: str, host: str, login: Optional[KerberosLogin]) -> None:
        self.complete = False
        self._login = login
        principal = [login.principal] if login else []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "traffic_aggr.impala.kerberos_exchange", service, host, *principal],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",  # `-m` imports from the working directory, where a file could pass for a module
            env=_environment(os.environ, login),
            start_new_session=True,  # only this process handles Ctrl-C
        )
        self._questions, self._answers = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)

    def start(self, mechanism: str) -> tuple[bool, str, bytes]:
        """Returns the first message for the server."""
        return True, mechanism, self._answer()

    def step(self, challenge: bytes) -> tuple[bool, bytes]:
        """Returns the answer to the server's ``challenge``."""
        with suppress(BrokenPipeError):  # reading the answer reports that the process has ended
            self._questions.write(base64.b64encode(challenge or b"") + b"\n")
            self._questions.flush()
        return True, self._answer()

    def encode(self, message: bytes) -> tuple[bool, bytes]:
        """Returns the message unchanged: the two sides agreed on authentication only, without signing or sealing."""
        return True, message

    def decode(self, message: bytes) -> tuple[bool, bytes]:
        """Returns the message unchanged, as ``encode`` does."""
        return True, message

    def end(self) -> None:
        """Kills the process, even while it waits for a KDC."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Kills the process and closes its pipes. No thread may still be reading from them."""
        self.end()
        for pipe in (self._questions, self._answers):
            with suppress(OSError):
                pipe.close()

    def _answer(self) -> bytes:
        line = self._answers.readline()
        if not line:
            raise NoAnswerError("the Kerberos exchange ended early")
        said: Mapping[str, Any] = json.loads(line)
        if "error" in said:
            raise _explained(said["error"], said["code"], self._login)
        self.complete = said["complete"]
        return base64.b64decode(said["answer"])


def _environment(environ: Mapping[str, str], login: Optional[KerberosLogin]) -> dict[str, str]:
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    if login is None:
        return {**environ, "PYTHONPATH": path}
    keytab = f"FILE:{os.path.abspath(login.keytab)}"
    # A cache in memory: the user's may hold another principal's ticket, and the job must not write to it.
    return {**environ, "PYTHONPATH": path, "KRB5_CLIENT_KTNAME": keytab, "KRB5CCNAME": "MEMORY:traffic_aggr"}


def _explained(text: str, code: Optional[int], login: Optional[KerberosLogin]) -> Exception:
    """Returns the exception for an error of libkrb5, with a hint on how to fix it."""
    if code in _NO_KDC:
        return NoAnswerError(f"Kerberos: {text}")
    hint = "Check impala.auth, /etc/krb5.conf, and that `kinit` and `kvno` work for the job's user"
    if code in (_NO_TICKET, _WRONG_KEY, _UNKNOWN_CLIENT) and login is not None:
        hint = f"Check that {login.keytab} (spark.kerberos.keytab) holds the present key of {login.principal}"
    elif code in (_NO_TICKET, *_EXPIRED):
        text = text if code == _NO_TICKET else "the ticket has expired"
        hint = "Run kinit as the job's user, or set spark.kerberos.principal and spark.kerberos.keytab in spark.conf"
    elif code == _UNKNOWN_SERVER:
        hint = "Give Impala in impala.hosts the host name of its principal, and check impala.auth.kerberos_service"
    elif code in _CLOCK_SKEW:
        hint = "Set the clock of this host: it differs from the KDC's"
    return UntrustedError(f"impala.auth: {MECHANISM} authentication failed: {text}", hint=hint)
