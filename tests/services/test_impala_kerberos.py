from __future__ import annotations

import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devtools.impala_double import Answer, ImpalaDouble
from devtools.impala_double.sasl import AUTH, AUTH_CONF, AUTH_INT, COMPLETE, Kerberos
from tests.support.kdc import REALM, Kdc
from tests.support.refreshers import (
    LONG_S,
    REFRESH,
    REFRESH_DAY,
    Waits,
    checked,
    config,
    received,
    refresher,
    with_auth,
    with_tls,
)
from traffic_aggr.config.config import HostPort, ImpalaConfig
from traffic_aggr.errors import ImpalaRejectedError, ImpalaUnavailableError
from traffic_aggr.impala.kerberos_login import KerberosLogin

pytestmark = pytest.mark.usefixtures("no_thread_left_behind")

ETL = f"etl@{REALM}"


def settings(double: ImpalaDouble, **changes: Any) -> ImpalaConfig:
    """The double by the name that its principal has."""
    return replace(with_auth(config(HostPort("localhost", double.port)), "GSSAPI", user=None), **changes)


@pytest.fixture
def login(keys: Any) -> KerberosLogin:
    return KerberosLogin(ETL, str(keys.client))


@pytest.fixture
def double(start_impala: Any, in_realm: Kdc) -> ImpalaDouble:
    started: ImpalaDouble = start_impala(mechanism=Kerberos("impala@localhost"))
    return started


def test_a_ticket_is_got_from_the_keytab(double: ImpalaDouble, login: KerberosLogin) -> None:
    refresher(settings(double), login=login).execute([REFRESH, REFRESH_DAY])
    assert received(double) == [REFRESH, REFRESH_DAY]
    assert double.journal.authenticated == [ETL]


def test_each_batch_gets_its_own_ticket_from_the_keytab(double: ImpalaDouble, login: KerberosLogin) -> None:
    asking = refresher(settings(double), login=login)
    asking.execute([REFRESH])
    asking.execute([REFRESH_DAY])
    assert double.journal.authenticated == [ETL, ETL]


def test_the_keytab_goes_before_the_users_ticket_and_leaves_it_alone(
    double: ImpalaDouble, in_realm: Kdc, login: KerberosLogin, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = in_realm.ticket("somebody", in_realm.principal("somebody"))
    monkeypatch.setenv("KRB5CCNAME", cache)
    before = Path(cache.partition(":")[2]).read_bytes()
    refresher(settings(double), login=login).execute([REFRESH])
    assert double.journal.authenticated == [ETL]
    assert Path(cache.partition(":")[2]).read_bytes() == before


def test_without_a_keytab_the_users_ticket_is_shown(
    double: ImpalaDouble, in_realm: Kdc, keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5CCNAME", in_realm.ticket("etl", keys.client))
    refresher(settings(double)).execute([REFRESH])
    assert double.journal.authenticated == [ETL]


def test_this_process_and_its_children_see_nothing_of_the_login(double: ImpalaDouble, login: KerberosLogin) -> None:
    before = dict(os.environ)
    refresher(settings(double), login=login).execute([REFRESH])
    assert dict(os.environ) == before


def test_a_ticket_goes_over_tls(start_impala: Any, in_realm: Kdc, authority: Any, login: KerberosLogin) -> None:
    double = start_impala(mechanism=Kerberos("impala@localhost"), tls=authority.server("DNS:localhost"))
    refresher(with_tls(settings(double), authority.certificate), login=login).execute([REFRESH])
    assert double.journal.authenticated == [ETL]


def test_a_server_that_offers_more_than_authentication_gets_no_more(
    start_impala: Any, in_realm: Kdc, login: KerberosLogin
) -> None:
    double = start_impala(mechanism=Kerberos("impala@localhost", offers=AUTH | AUTH_INT | AUTH_CONF))
    refresher(settings(double), login=login).execute([REFRESH, REFRESH_DAY])
    assert received(double) == [REFRESH, REFRESH_DAY]


def refused(config_: ImpalaConfig, login: Any = None) -> str:
    """The one line with which a batch was refused, at once and with nothing sent."""
    waits = Waits()
    with pytest.raises(ImpalaRejectedError) as caught:
        refresher(config_, login=login, sleep=waits).execute([REFRESH])
    assert waits == []
    assert len(str(caught.value).splitlines()) == 1
    assert f"{REFRESH} was not sent to localhost:" in str(caught.value)
    return str(caught.value)


def test_a_server_that_wants_sealed_messages_is_refused(start_impala: Any, in_realm: Kdc, login: KerberosLogin) -> None:
    double = start_impala(mechanism=Kerberos("impala@localhost", offers=AUTH_CONF))
    assert (
        "impala.auth: GSSAPI authentication failed: Your requested quality of protection is one of (auth)"
        in refused(settings(double), login)
    )
    assert double.journal.calls == []


def test_no_ticket_is_one_line_that_says_how_to_get_one(double: ImpalaDouble) -> None:
    line = refused(settings(double))
    assert "impala.auth: GSSAPI authentication failed: No Kerberos credentials available" in line
    assert line.endswith(
        "Run kinit as the job's user, or set spark.kerberos.principal and spark.kerberos.keytab in spark.conf"
    )


@pytest.mark.parametrize("wait", [1.2, 2.5])
def test_an_expired_ticket_is_one_line(
    double: ImpalaDouble, in_realm: Kdc, keys: Any, monkeypatch: pytest.MonkeyPatch, wait: float
) -> None:
    monkeypatch.setenv("KRB5CCNAME", in_realm.ticket("etl", keys.client, lifetime="1s"))
    time.sleep(wait)
    line = refused(settings(double))
    assert "impala.auth: GSSAPI authentication failed: the ticket has expired. Run kinit as the job's user" in line


@pytest.mark.parametrize("principal", [f"other@{REALM}", f"late@{REALM}"], ids=["another's keytab", "an old key"])
def test_a_keytab_without_the_present_key_is_one_line(double: ImpalaDouble, in_realm: Kdc, principal: str) -> None:
    keytab = in_realm.principal("late")
    in_realm.keytab("late")
    assert f"Check that {keytab} (spark.kerberos.keytab) holds the present key of {principal}" in refused(
        settings(double), KerberosLogin(principal, str(keytab))
    )


def test_a_principal_that_the_realm_does_not_know_is_one_line(double: ImpalaDouble, in_realm: Kdc) -> None:
    keytab = in_realm.principal("leaver")
    in_realm.admin("delprinc -force leaver")
    line = refused(settings(double), KerberosLogin(f"leaver@{REALM}", str(keytab)))
    assert f"Client 'leaver@{REALM}' not found in Kerberos database" in line


@pytest.mark.parametrize(
    ("host", "service"), [("127.0.0.1", "impala"), ("localhost", "imp")], ids=["an address", "another service"]
)
def test_a_server_without_a_principal_is_one_line(
    double: ImpalaDouble, login: KerberosLogin, host: str, service: str
) -> None:
    wrong = settings(double, hosts=(HostPort(host, double.port),))
    with pytest.raises(ImpalaRejectedError, match=f"Server {service}/{host}@{REALM} not found") as caught:
        refresher(replace(wrong, auth=replace(wrong.auth, kerberos_service=service)), login=login).execute([REFRESH])
    assert "Give Impala in impala.hosts the host name of its principal" in str(caught.value)


def test_a_server_with_an_old_key_is_one_line(
    double: ImpalaDouble, in_realm: Kdc, login: KerberosLogin, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_realm.admin("addprinc -randkey impala/elsewhere")
    monkeypatch.setenv("KRB5_KTNAME", f"FILE:{in_realm.keytab('impala/elsewhere')}")
    line = refused(settings(double), login)
    assert "impala.auth: GSSAPI authentication failed: GSSAPI Error" in line
    assert line.endswith("Compare this host's clock with Impala's, and see why in Impala's log")


def test_a_clock_that_is_wrong_is_one_line(
    double: ImpalaDouble, in_realm: Kdc, login: KerberosLogin, monkeypatch: pytest.MonkeyPatch
) -> None:
    preload = subprocess.run(
        ["faketime", "-f", "+2h", "printenv", "LD_PRELOAD"], check=True, capture_output=True, text=True
    )
    own_clock = in_realm.client_config("own-clock.conf", in_realm.port, timesync=0)
    for name, value in {"LD_PRELOAD": preload.stdout.strip(), "FAKETIME": "+2h", "KRB5_CONFIG": own_clock}.items():
        monkeypatch.setenv(name, str(value))
    line = refused(settings(double), login)
    assert "Clock skew too great" in line
    assert line.endswith("Set the clock of this host: it differs from the KDC's")


def test_a_server_that_skips_the_proof_of_who_it_is_is_not_trusted(double: ImpalaDouble, login: KerberosLogin) -> None:
    double.plan("sasl", Answer(struct.pack(">BI", COMPLETE, 0)))
    assert "it did not prove that it is impala/localhost" in refused(settings(double), login)
    assert double.journal.calls == []


# The KDC


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where a KDC seems to be, over UDP and TCP, that never answers."""
    with socket.socket() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        stream.bind(("127.0.0.1", 0))
        stream.listen()
        datagrams.bind(stream.getsockname())
        yield stream.getsockname()[1]


def test_a_silent_kdc_ends_at_the_limit_and_is_asked_again(
    double: ImpalaDouble, in_realm: Kdc, login: KerberosLogin, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(in_realm.client_config("silent.conf", silent_port)))
    began = time.monotonic()
    with pytest.raises(ImpalaUnavailableError, match=r"3 attempts .* no answer within 0\.5 s"):
        refresher(settings(double, timeout_s=0.5), login=login).execute([REFRESH])
    assert time.monotonic() - began < LONG_S / 2


def test_a_kdc_that_is_down_is_asked_again(
    double: ImpalaDouble, in_realm: Kdc, login: KerberosLogin, nobody: HostPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5_CONFIG", str(in_realm.client_config("down.conf", nobody.port)))
    with pytest.raises(ImpalaUnavailableError, match=r"3 attempts .* Kerberos: Cannot contact any KDC"):
        refresher(settings(double), login=login).execute([REFRESH])


def test_without_a_kdc_a_ticket_that_is_there_will_do(
    double: ImpalaDouble, in_realm: Kdc, keys: Any, nobody: HostPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRB5CCNAME", in_realm.ticket("etl", keys.client, lifetime="2h"))
    refresher(settings(double)).execute([REFRESH])
    monkeypatch.setenv("KRB5_CONFIG", str(in_realm.client_config("down.conf", nobody.port)))
    refresher(settings(double)).execute([REFRESH])
    assert double.journal.authenticated == [ETL, ETL]


# check


def test_check_probes_with_the_login_that_spark_is_given(double: ImpalaDouble, tmp_path: Path, keys: Any) -> None:
    impala = f"{{hosts: ['localhost:{double.port}'], auth: {{mechanism: GSSAPI}}}}"
    found = checked(tmp_path, impala, spark=f"{{submit: [--principal, {ETL}, --keytab, {keys.client}]}}")
    assert str(found[0]) == f"ok    Impala localhost:{double.port}"
    assert set(double.journal.authenticated) == {ETL}


def test_check_names_a_keytab_that_cannot_be_used_and_goes_on(tmp_path: Path) -> None:
    impala = "{hosts: ['localhost:1'], auth: {mechanism: GSSAPI}}"
    (found,) = checked(tmp_path, impala, spark="{submit: [--principal, etl, --keytab, /absent]}")
    assert str(found).startswith("FAIL  Impala: spark.kerberos.keytab: /absent cannot be read: No such file")
    assert found.error is not None
    assert found.error.exit_code == 2
