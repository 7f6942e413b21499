"""
The ways to reach Impala in production: with and without encryption, by name, password or Kerberos ticket.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional

import pytest

from devtools.impala_double import ImpalaDouble
from devtools.impala_double.sasl import Kerberos
from tests.support.kdc import REALM
from tests.support.refreshers import SECRET, config, refresher, with_auth, with_tls
from traffic_aggr.config.config import HostPort
from traffic_aggr.impala.kerberos_login import KerberosLogin
from traffic_aggr.impala.refresh import ImpalaRefresher

WAYS = ("NOSASL", "PLAIN", "LDAP+TLS", "GSSAPI", "GSSAPI+TLS")


@dataclass(frozen=True)
class Way:
    """
    One way to reach Impala.

    ``start`` makes a coordinator that is reached this way. ``ask`` makes a refresher that asks ports of localhost;
    keywords change the ``impala`` section, or the dependencies that are ``injected``. ``patience_s`` is the time in
    seconds within which any server that is not silent has answered.
    """

    name: str
    start: Callable[[], ImpalaDouble]
    ask: Callable[..., ImpalaRefresher]
    patience_s: float

    @property
    def sasl(self) -> bool:
        return self.name != "NOSASL"


def way(name: str, request: pytest.FixtureRequest) -> Way:
    """Returns the way of that name. Takes fixtures of ``request`` as needed."""
    mechanism, _, tls = name.partition("+")
    options: dict[str, Any] = {}
    login: Optional[KerberosLogin] = None
    authority = request.getfixturevalue("authority") if tls else None
    if tls:
        options["tls"] = authority.server("DNS:localhost")
    if mechanism == "GSSAPI":
        request.getfixturevalue("in_realm")
        login = KerberosLogin(f"etl@{REALM}", str(request.getfixturevalue("keys").client))
        options["mechanism"] = Kerberos("impala@localhost")
    elif mechanism != "NOSASL":
        options["users"] = {"etl": SECRET}

    def ask(*ports: int, injected: Any = (), **changes: Any) -> ImpalaRefresher:
        hosts = [HostPort("localhost", port) for port in ports]
        settings = with_auth(config(*hosts, **changes), mechanism, user=None if login else "etl")
        if authority is not None:
            settings = with_tls(settings, authority.certificate)
        return refresher(settings, SECRET, login=login, **dict(injected))

    start = request.getfixturevalue("start_impala")
    return Way(name, lambda: start(**options), ask, patience_s=2.0 if login else 0.5)
