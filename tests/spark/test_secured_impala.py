"""Whole runs on an Impala as it stands in production: Kerberos, TLS, and several partitions in one REFRESH."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from devtools.impala_double import ImpalaDouble
from devtools.impala_double.sasl import Kerberos
from tests.support.authority import Authority
from tests.support.kdc import REALM, Kdc, require_realm
from tests.support.warehouse import LISTED, Job, impala_double

ETL = f"etl@{REALM}"


@pytest.fixture
def realm(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kdc]:
    require_realm()
    kdc = Kdc(tmp_path_factory.mktemp("realm"))
    keytab = kdc.principal("impala/localhost")
    for name, value in {**kdc.environment, "KRB5_KTNAME": f"FILE:{keytab}"}.items():
        monkeypatch.setenv(name, value)
    yield kdc
    kdc.stop()


@pytest.fixture
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def secured(spark: SparkSession, realm: Kdc, authority: Authority) -> Iterator[ImpalaDouble]:
    mechanism = Kerberos("impala@localhost")
    yield from impala_double(spark, mechanism=mechanism, tls=authority.server("DNS:localhost"), version="5.0.0")


@pytest.fixture
def swap(job: Job, secured: ImpalaDouble, realm: Kdc, authority: Authority) -> Job:
    """A swap of days with the login in Spark's settings."""
    job.create_final()
    job.settings["publish"] = {"mode": "swap"}
    tls = {"enabled": True, "ca_cert": str(authority.certificate)}
    job.use_impala(secured, hosts=[f"localhost:{secured.port}"], auth={"mechanism": "GSSAPI"}, tls=tls)
    login = {"spark.kerberos.principal": ETL, "spark.kerberos.keytab": str(realm.principal("etl"))}
    job.settings["spark"] = {"conf": login}
    return job


def test_a_run_refreshes_its_days_in_one_statement_and_compares_them(swap: Job, secured: ImpalaDouble) -> None:
    result = swap("run")

    assert result.code == 0, result.err
    assert "raw = staging = final = Impala" in result.out
    assert set(secured.journal.authenticated) == {ETL}
    sent = [each["sql"] for each in swap.record()["impala"]]
    assert [statement.count("PARTITION (") for statement in sent if "PARTITION (" in statement] == [2]
    assert sent[-2].startswith(f"REFRESH {swap.final} PARTITION (partition_date='{LISTED[0]}') PARTITION (")
    assert not secured.journal.open_sessions


def test_a_keytab_that_others_can_read_stops_a_run_before_anything_is_touched(swap: Job) -> None:
    before, places = swap.content(LISTED), swap.partitions()
    keytab = Path(swap.settings["spark"]["conf"]["spark.kerberos.keytab"])
    keytab.chmod(0o644)

    result = swap("run")

    assert result.code == 2
    assert f"spark.kerberos.keytab: {keytab} is open to others (mode 0644)" in result.err
    assert swap.partitions() == places
    assert swap.content(LISTED) == before
