"""
The server's side of SASL over Thrift.

The client sends START <mechanism>, then both sides send OK <message>. The server ends with COMPLETE or BAD.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any, Protocol

START, OK, BAD, COMPLETE = 1, 2, 3, 5
AUTH, AUTH_INT, AUTH_CONF = 1, 2, 4
"""Quality of protection: authentication only, messages signed as well, messages encrypted as well."""


class Unauthenticated(Exception):
    """The server rejects the client, and sends it the message."""


class Mechanism(Protocol):
    """A way to find out who the client is."""

    name: bytes

    def negotiate(self, wire: Any) -> str:
        """Exchanges messages after the client's START and returns its name. Raises Unauthenticated."""


class Plain:
    """A name and a password, as PLAIN and LDAP clients send them: authzid NUL user NUL password."""

    name = b"PLAIN"

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = users

    def negotiate(self, wire: Any) -> str:
        _, _, answer = read_message(wire, OK).partition(b"\0")
        user, _, password = answer.decode().partition("\0")
        if self._users.get(user) != password:
            raise Unauthenticated("Authentication failed")
        return user


class Kerberos:
    """
    Tickets for ``service`` (``impala@HOST``), whose key is in the keytab that KRB5_KTNAME names.

    The client may choose from the qualities of protection in ``offers``. This server cannot read what follows any
    choice but ``AUTH``.
    """

    name = b"GSSAPI"

    def __init__(self, service: str, offers: int = AUTH) -> None:
        self._service = service
        self._offers = offers

    def negotiate(self, wire: Any) -> str:
        import kerberos

        from devtools.impala_double import gss_messages

        try:
            _, context = kerberos.authGSSServerInit(self._service)
            ticket = base64.b64encode(read_message(wire, OK)).decode()
            if kerberos.authGSSServerStep(context, ticket) != kerberos.AUTH_GSS_COMPLETE:
                raise Unauthenticated("More than one message was wanted")
            write_message(wire, OK, base64.b64decode(kerberos.authGSSServerResponse(context) or ""))
            read_message(wire, OK)
            write_message(wire, OK, gss_messages.wrapped(context, struct.pack(">I", self._offers << 24)))
            chosen, *_ = gss_messages.unwrapped(context, read_message(wire, OK))
        except (kerberos.GSSError, gss_messages.GssError) as exc:
            raise Unauthenticated(f"GSSAPI Error: {exc}") from exc
        if not chosen & self._offers:
            raise Unauthenticated("The chosen quality of protection was not offered")
        return str(kerberos.authGSSServerUserName(context))


def read_message(wire: Any, expected: int) -> bytes:
    """Reads the next message. A client that does not speak SASL is left waiting, as Impala leaves it."""
    status, length = struct.unpack(">BI", wire.readAll(5))
    if status != expected:
        while wire.read(1 << 16):
            pass
    return bytes(wire.readAll(length))


def write_message(wire: Any, status: int, payload: bytes) -> None:
    wire.write(struct.pack(">BI", status, len(payload)) + payload)
