"""What is kept in Hadoop, asked of its own clients: secrets of the credential provider, and the files of state."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from traffic_aggr.config.config import SparkConfig
from traffic_aggr.config.secrets import SecretRef
from traffic_aggr.errors import ConfigError
from traffic_aggr.run.store import RecordStore
from traffic_aggr.spark.hadoop import Hadoop
from traffic_aggr.traffic.job import TRAFFIC

SECRET = "hunter2"
PROVIDER = "hadoop.security.credential.provider.path"


@pytest.fixture
def hadoop(spark: SparkSession, tmp_path: Path) -> Hadoop:
    """Clients whose credential provider holds ``SECRET`` as ``impala``."""
    jvm = spark.sparkContext._jvm
    where = f"localjceks://file{tmp_path}/secrets.jceks"
    configuration = jvm.org.apache.hadoop.conf.Configuration()
    configuration.set(PROVIDER, where)
    provider = jvm.org.apache.hadoop.security.alias.CredentialProviderFactory.getProviders(configuration).get(0)
    secret = spark.sparkContext._gateway.new_array(jvm.char, len(SECRET))
    for position, character in enumerate(SECRET):
        secret[position] = character
    provider.createCredentialEntry("impala", secret)
    provider.flush()
    settings = SparkConfig(master="local[2]", deploy_mode="client", submit=(), conf={f"spark.hadoop.{PROVIDER}": where})
    return Hadoop(settings, tmp_path, spark)


def test_a_secret_comes_from_the_credential_provider(hadoop: Hadoop) -> None:
    assert SecretRef("hadoop", "impala").reveal(os.environ, hadoop.secret) == SECRET


def test_an_alias_that_the_provider_lacks_is_said_with_how_to_store_it(hadoop: Hadoop) -> None:
    with pytest.raises(ConfigError, match="hadoop credential create smtp"):
        SecretRef("hadoop", "smtp").reveal(os.environ, hadoop.secret)


def test_a_provider_that_cannot_be_read_is_one_line(hadoop: Hadoop, tmp_path: Path) -> None:
    (tmp_path / "secrets.jceks").write_bytes(b"no key store")
    with pytest.raises(ConfigError, match=r"the credential provider does not give impala: .*provider\.path"):
        hadoop.secret("impala")


def test_word_to_stop_reaches_the_driver_through_the_files(hadoop: Hadoop, tmp_path: Path) -> None:
    store = RecordStore(f"file:{tmp_path}/state", hadoop.files, TRAFFIC)
    assert store.asked_to_stop("20210504T020200Z-abc123") is None
    store.ask_to_stop("20210504T020200Z-abc123", 15)
    assert store.asked_to_stop("20210504T020200Z-abc123") == 15


def test_a_jvm_that_nobody_started_here_is_left_alone(hadoop: Hadoop, spark: SparkSession) -> None:
    hadoop.stop()
    assert spark.range(1).count() == 1
