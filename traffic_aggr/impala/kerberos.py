"""
One authentication by Kerberos, done by a process of its own (``kerberos_exchange``) that can be ended at any time.

libkrb5 waits for a silent KDC at its own pace, in part under Python's global lock, where no limit of ours reaches it;
and it takes keytab and ticket cache from the environment, which Spark's JVM would inherit from us.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Optional

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
"""Codes of libkrb5 and of GSSAPI, which never change. The last two: no KDC answers, no name of one resolves."""


class KerberosClient:
    """
    The client of one SASL negotiation, with the methods that thrift_sasl calls.

    It shows ``service``/``host`` a ticket of ``login``, got anew from its keytab and kept in memory, else one from the
    user's ticket cache. ``complete`` is set when the server has proved who it is. Raises UntrustedError, and
    NoAnswerError where another attempt may do better. ``end`` may be called from any thread, at any time.
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
            cwd="/",  # where no file can be taken for a module
            env=_environment(os.environ, login),
            start_new_session=True,  # Ctrl-C is for us to deal with
        )

    def start(self, mechanism: str) -> tuple[bool, str, bytes]:
        """The first message for the server."""
        return True, mechanism, self._answer()

    def step(self, challenge: bytes) -> tuple[bool, bytes]:
        """The answer to what the server has sent."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # that it has ended shows when its answer is read
            self._process.stdin.write(base64.b64encode(challenge or b"") + b"\n")
            self._process.stdin.flush()
        return True, self._answer()

    def encode(self, message: bytes) -> tuple[bool, bytes]:
        """A message as it goes over the wire: as it is, since only authentication was agreed on."""
        return True, message

    def decode(self, message: bytes) -> tuple[bool, bytes]:
        """A message as it came over the wire."""
        return True, message

    def end(self) -> None:
        """End the process, whatever it is waiting for."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process and close the pipes to it; nobody may be reading from them any more."""
        self.end()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _answer(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
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
    # A cache of its own: the user's may hold a ticket of somebody else, and is not ours to fill.
    return {**environ, "PYTHONPATH": path, "KRB5_CLIENT_KTNAME": keytab, "KRB5CCNAME": "MEMORY:traffic_aggr"}


def _explained(text: str, code: Optional[int], login: Optional[KerberosLogin]) -> Exception:
    """What libkrb5 says, and what to do about it."""
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
