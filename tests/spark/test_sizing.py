"""Spark's settings fit the bytes that a run reads, unless the configuration has them."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from traffic_aggr.spark.sizing import SHUFFLE_PARTITIONS, shuffle_partitions, sized_for

WHOLE_STAGE = "spark.sql.codegen.wholeStage"
_MIB, _GIB = 1024**2, 1024**3


@pytest.fixture
def unset(spark: SparkSession) -> SparkSession:
    """A session whose configuration has none of the settings."""
    session = spark.newSession()
    for key in (SHUFFLE_PARTITIONS, WHOLE_STAGE, "spark.sql.codegen.factoryMode"):
        session.conf.unset(key)
    return session


@pytest.mark.parametrize(("size", "partitions", "compiled"), [(_MIB, "4", "false"), (30 * _GIB, "240", "true")])
def test_settings_fit_the_size_and_are_unset_afterwards(
    unset: SparkSession, size: int, partitions: str, compiled: str
) -> None:
    with sized_for(unset, size):
        inside = unset.conf.get(SHUFFLE_PARTITIONS), unset.conf.get(WHOLE_STAGE)
        groups = unset.range(10).repartition("id").rdd.getNumPartitions()

    assert inside == (partitions, compiled)
    assert groups <= int(partitions)
    assert unset.conf.get(SHUFFLE_PARTITIONS, None) is None
    assert unset.conf.get(WHOLE_STAGE, None) is None


def test_settings_of_the_configuration_win(unset: SparkSession) -> None:
    unset.conf.set(SHUFFLE_PARTITIONS, "3")

    with sized_for(unset, 30 * _GIB):
        assert unset.conf.get(SHUFFLE_PARTITIONS) == "3"
    assert unset.conf.get(SHUFFLE_PARTITIONS) == "3"


@pytest.mark.parametrize(("cores", "size", "partitions"), [(2, 0, 4), (64, _GIB, 128), (64, 820 * _GIB, 6560)])
def test_more_cores_and_more_bytes_mean_more_partitions(cores: int, size: int, partitions: int) -> None:
    assert shuffle_partitions(cores, size) == partitions
