from __future__ import annotations

from pathlib import Path

import pytest

from traffic_aggr.config.sections import ImpalaAuthConfig, SparkConfig
from traffic_aggr.errors import ConfigError
from traffic_aggr.impala.kerberos_login import KerberosLogin, kerberos_login

GSSAPI = ImpalaAuthConfig(mechanism="GSSAPI")
PRINCIPAL = "etl@TEST.EXAMPLE"


@pytest.fixture
def keytab(tmp_path: Path) -> str:
    path = tmp_path / "etl.keytab"
    path.write_bytes(b"\x05\x02")
    path.chmod(0o600)
    return str(path)


def spark(*submit: str, **conf: str) -> SparkConfig:
    return SparkConfig(submit=submit, conf={f"spark.{key.replace('_', '.')}": value for key, value in conf.items()})


def test_the_login_is_the_one_of_sparks_settings(keytab: str) -> None:
    found = kerberos_login(GSSAPI, spark(kerberos_principal=PRINCIPAL, kerberos_keytab=keytab))
    assert found == KerberosLogin(PRINCIPAL, keytab)


@pytest.mark.parametrize(
    "submit",
    [
        ["--principal", PRINCIPAL, "--keytab", "KEYTAB"],
        [f"--principal={PRINCIPAL}", "--keytab=KEYTAB"],
        ["--conf", f"spark.kerberos.principal={PRINCIPAL}", "-c", "spark.kerberos.keytab=KEYTAB"],
        ["--conf", f"spark.yarn.principal={PRINCIPAL}", "--conf=spark.yarn.keytab=KEYTAB"],
        ["--queue", "etl", "--keytab", "KEYTAB", "--principal", PRINCIPAL, "--verbose"],
    ],
    ids=["arguments", "in one word", "settings", "settings of Spark 2", "among others"],
)
def test_the_login_is_the_one_of_sparks_arguments(keytab: str, submit: list[str]) -> None:
    arguments = [argument.replace("KEYTAB", keytab) for argument in submit]
    assert kerberos_login(GSSAPI, spark(*arguments)) == KerberosLogin(PRINCIPAL, keytab)


def test_arguments_win_over_settings(keytab: str) -> None:
    settings = spark("--principal", PRINCIPAL, kerberos_principal="other", kerberos_keytab=keytab)
    assert kerberos_login(GSSAPI, settings) == KerberosLogin(PRINCIPAL, keytab)


def test_a_running_spark_knows_better(keytab: str) -> None:
    running = {"spark.kerberos.keytab": keytab, "spark.app.id": "x"}
    settings = spark("--principal", PRINCIPAL, "--keytab", "/on/the/edge/node")
    assert kerberos_login(GSSAPI, settings, running) == KerberosLogin(PRINCIPAL, keytab)


def test_without_settings_the_users_ticket_is_used() -> None:
    assert kerberos_login(GSSAPI, spark("--queue", "etl")) is None


@pytest.mark.parametrize("mechanism", ["NOSASL", "PLAIN", "LDAP"])
def test_sparks_login_does_not_matter_without_kerberos(mechanism: str) -> None:
    settings = spark(kerberos_principal=PRINCIPAL, kerberos_keytab="/absent")
    assert kerberos_login(ImpalaAuthConfig(mechanism=mechanism), settings) is None


@pytest.mark.parametrize(
    ("given", "missing"), [("principal", "keytab"), ("keytab", "principal")], ids=["no keytab", "no principal"]
)
def test_half_a_login_is_refused(given: str, missing: str) -> None:
    with pytest.raises(ConfigError, match=rf"spark\.kerberos\.{missing} is missing"):
        kerberos_login(GSSAPI, spark(**{f"kerberos_{given}": "x"}))


def login_with(keytab: str) -> None:
    kerberos_login(GSSAPI, spark(kerberos_principal=PRINCIPAL, kerberos_keytab=keytab))


@pytest.mark.parametrize("name", ["absent", "."], ids=["absent", "a directory"])
def test_a_keytab_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"spark\.kerberos\.keytab: .* cannot be read: .*for the job's user alone"):
        login_with(str(tmp_path / name))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_keytab_that_is_open_to_others_is_refused(keytab: str, mode: int) -> None:
    Path(keytab).chmod(mode)
    with pytest.raises(ConfigError, match=rf"{keytab} is open to others \(mode {mode:04o}\)\. Run: chmod 600 {keytab}"):
        login_with(keytab)


def test_a_keytab_that_may_not_be_read_is_refused(keytab: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may read anything
    with pytest.raises(ConfigError, match="cannot be read: permission denied"):
        login_with(keytab)
