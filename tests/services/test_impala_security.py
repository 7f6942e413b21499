from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from devtools.impala_double import DRIP, DROP, HANG
from devtools.impala_double.sasl import Kerberos
from tests.support.authority import Authority
from tests.support.refreshers import (
    REFRESH,
    REFRESH_DAY,
    SECRET,
    TIMEOUT_S,
    Waits,
    address,
    case,
    config,
    received,
    refresher,
    with_auth,
    with_tls,
)
from traffic_aggr.config.config import HostPort, RetryConfig
from traffic_aggr.errors import ConfigError, ImpalaRejectedError, ImpalaUnavailableError

pytestmark = pytest.mark.usefixtures("no_thread_left_behind")

# Authentication


@pytest.mark.parametrize("mechanism", ["PLAIN", "LDAP"])
def test_a_password_opens_a_session_for_its_user(start_impala: Any, mechanism: str) -> None:
    double = start_impala(users={"etl": SECRET})
    refresher(with_auth(config(address(double)), mechanism), SECRET).execute([REFRESH, REFRESH_DAY])
    assert received(double) == [REFRESH, REFRESH_DAY]
    assert double.journal.users == ["etl"]


@pytest.mark.parametrize("how", [DROP, HANG, DRIP], ids=case)
def test_the_limit_holds_behind_authentication_too(start_impala: Any, how: Any) -> None:
    double = start_impala(users={"etl": SECRET})
    double.plan("ExecuteStatement", how)
    settings = with_auth(config(address(double), timeout_s=TIMEOUT_S, retry=RetryConfig(attempts=10)), "LDAP")
    (sent,) = refresher(settings, SECRET).execute([REFRESH])
    assert sent.attempts >= 2


@pytest.mark.parametrize("tls", [False, True], ids=["in the clear", "over TLS"])
def test_a_wrong_password_is_one_line_not_tried_again_and_not_shown(
    start_impala: Any, authority: Authority, caplog: pytest.LogCaptureFixture, tls: bool
) -> None:
    double = start_impala(users={"etl": "another"}, tls=authority.server("IP:127.0.0.1") if tls else None)
    settings = with_auth(config(address(double)), "LDAP")
    settings = with_tls(settings, authority.certificate) if tls else settings
    waits = Waits()
    with caplog.at_level(logging.DEBUG), pytest.raises(ImpalaRejectedError) as caught:
        refresher(settings, SECRET, sleep=waits).execute([REFRESH, REFRESH_DAY])
    assert str(caught.value) == (
        f"{REFRESH} was not sent to {double}: impala.auth: LDAP authentication failed: Authentication failed. "
        "Check impala.auth.user and impala.auth.password"
    )
    assert waits == []
    assert double.journal.calls == []
    assert SECRET not in str(caught.value) + repr(caught.value) + caplog.text


def test_a_mechanism_that_the_server_does_not_have_is_one_line(start_impala: Any) -> None:
    double = start_impala(mechanism=Kerberos("impala@localhost"))
    with pytest.raises(ImpalaRejectedError, match=r"LDAP authentication failed: Unsupported mechanism PLAIN\. Check"):
        refresher(with_auth(config(address(double)), "LDAP"), SECRET).execute([REFRESH])


@pytest.mark.parametrize("how", [DROP, HANG], ids=case)
def test_a_server_that_is_lost_while_it_authenticates_is_asked_again(start_impala: Any, how: Any) -> None:
    double = start_impala(users={"etl": SECRET})
    double.plan("sasl", how)
    settings = with_auth(config(address(double), timeout_s=TIMEOUT_S, retry=RetryConfig(attempts=10)), "LDAP")
    (sent,) = refresher(settings, SECRET).execute([REFRESH])
    assert sent.attempts >= 2


def test_a_probe_says_what_to_mend_of_each_host(start_impala: Any, nobody: HostPort) -> None:
    double = start_impala(users={"etl": "another"})
    settings = with_auth(config(address(double), nobody), "LDAP")
    (_, unauthenticated), (_, down) = refresher(settings, SECRET).probe_each()
    assert str(unauthenticated).endswith("Check impala.auth.user and impala.auth.password")
    assert str(down).endswith("Check impala.hosts")


def test_a_client_without_sasl_is_not_kept_waiting_for_ever(start_impala: Any) -> None:
    double = start_impala(users={"etl": SECRET})
    with pytest.raises(ImpalaUnavailableError, match="no answer within"):
        refresher(config(address(double), timeout_s=TIMEOUT_S)).execute([REFRESH])


def test_a_client_with_sasl_is_not_kept_waiting_by_a_server_without(start_impala: Any) -> None:
    double = start_impala()
    with pytest.raises(ImpalaUnavailableError):
        refresher(with_auth(config(address(double), timeout_s=TIMEOUT_S), "LDAP"), SECRET).execute([REFRESH])


def test_kerberos_without_its_library_is_an_error_of_the_configuration(
    nobody: HostPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kerberos", None)
    with pytest.raises(ConfigError, match="needs the Python package kerberos"):
        refresher(with_auth(config(nobody), "GSSAPI", user=None))


# TLS


def test_a_certificate_of_a_trusted_authority_is_accepted(start_impala: Any, authority: Authority) -> None:
    double = start_impala(tls=authority.server("IP:127.0.0.1"))
    refresher(with_tls(config(address(double)), authority.certificate)).execute([REFRESH, REFRESH_DAY])
    assert received(double) == [REFRESH, REFRESH_DAY]


def test_a_password_goes_over_tls(start_impala: Any, authority: Authority) -> None:
    double = start_impala(tls=authority.server("IP:127.0.0.1"), users={"etl": SECRET})
    settings = with_auth(with_tls(config(address(double)), authority.certificate), "LDAP")
    refresher(settings, SECRET).execute([REFRESH])
    assert received(double) == [REFRESH]


def test_the_systems_authorities_are_used_where_none_is_configured(
    start_impala: Any, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    double = start_impala(tls=authority.server("IP:127.0.0.1"))
    refresher(with_tls(config(address(double)), None)).execute([REFRESH])
    assert received(double) == [REFRESH]


@pytest.mark.parametrize(
    ("alternative_name", "trusted", "reason"),
    [
        ("DNS:impalad-1.example.com", True, "not valid for '127.0.0.1'"),
        ("IP:127.0.0.1", False, "certificate"),
    ],
    ids=["another name", "an unknown authority"],
)
def test_a_certificate_that_proves_nothing_is_refused_at_once(
    start_impala: Any,
    authority: Authority,
    tmp_path: Path,
    alternative_name: str,
    trusted: bool,
    reason: str,
) -> None:
    double = start_impala(tls=authority.server(alternative_name))
    waits = Waits()
    ca_cert = authority.certificate if trusted else Authority(tmp_path).certificate
    with pytest.raises(ImpalaRejectedError, match="its certificate cannot be verified") as caught:
        refresher(with_tls(config(address(double)), ca_cert), sleep=waits).execute([REFRESH])
    assert reason in str(caught.value)
    assert waits == []
    assert double.journal.calls == []


def test_an_expired_certificate_is_refused_at_once(start_impala: Any, authority: Authority) -> None:
    double = start_impala(tls=authority.expired_server("IP:127.0.0.1"))
    waits = Waits()
    with pytest.raises(ImpalaRejectedError, match="certificate has expired") as caught:
        refresher(with_tls(config(address(double)), authority.certificate), sleep=waits).execute([REFRESH])
    assert str(caught.value).endswith(
        "Check impala.tls.ca_cert, and that the certificate is in force for the name in impala.hosts"
    )
    assert waits == []
    assert double.journal.calls == []


@pytest.mark.parametrize("rpc", ["connect", "OpenSession", "ExecuteStatement", "GetOperationStatus"])
@pytest.mark.parametrize("how", [DROP, HANG], ids=case)
def test_the_limit_holds_under_tls_too(start_impala: Any, authority: Authority, rpc: str, how: Any) -> None:
    double = start_impala(tls=authority.server("IP:127.0.0.1"))
    double.plan(rpc, how)
    settings = config(address(double), timeout_s=TIMEOUT_S, retry=RetryConfig(attempts=10))
    (sent,) = refresher(with_tls(settings, authority.certificate)).execute([REFRESH])
    assert sent.attempts >= 2


def test_a_server_without_tls_gets_nothing_in_the_clear(start_impala: Any, authority: Authority) -> None:
    double = start_impala()
    settings = with_tls(config(address(double), timeout_s=TIMEOUT_S), authority.certificate)
    with pytest.raises(ImpalaUnavailableError):
        refresher(settings).execute([REFRESH])
    assert double.journal.calls == []


def test_an_unreadable_authority_is_an_error_of_the_configuration(nobody: HostPort, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"impala\.tls\.ca_cert: .*absent\.pem"):
        refresher(with_tls(config(nobody), tmp_path / "absent.pem"))


def test_tls_without_any_authority_is_an_error_of_the_configuration(
    nobody: HostPort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with pytest.raises(ConfigError, match="no certificate authorities"):
        refresher(with_tls(config(nobody), None))
