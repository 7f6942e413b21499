"""The aggregation of raw rows given as dicts, beside lookups of a few rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from tests.support.frames import frame_of
from traffic_aggr.traffic.aggregation import aggregate, lookup_countries, lookup_names, repeated_cdrids

MakeRaw = Callable[[Sequence[Mapping[str, Any]]], DataFrame]


@pytest.fixture
def organisations(spark: SparkSession) -> DataFrame:
    rows = [(1, "Acme"), (2, "Acme"), (3, ""), (4, None), (None, "Nobody"), (5, "Semi;colon")]
    return lookup_names(frame_of(spark, rows, "orgno bigint, orgname string"))


@pytest.fixture
def countries(spark: SparkSession) -> DataFrame:
    rows = [("404", "India"), (" 310 ", "United States"), ("999", None), (None, "Nowhere")]
    return lookup_countries(frame_of(spark, rows, "mcc string, country string"))


@pytest.fixture
def rows_of(
    make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame
) -> Callable[[Sequence[Mapping[str, Any]]], list[Row]]:
    """
    The aggregation of raw rows given as dicts.
    """

    def rows(raw: Sequence[Mapping[str, Any]], *, repeats: bool = True, delimiters: Optional[str] = None) -> list[Row]:
        frame = make_raw(raw)
        repeated = repeated_cdrids(frame) if repeats else None
        return aggregate(frame, organisations, countries, repeated=repeated, delimiters=delimiters).collect()

    return rows
