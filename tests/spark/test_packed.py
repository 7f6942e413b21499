"""Text columns in one column, by which Velox groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Optional

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from tests.support.awkward_rows import awkward_rows
from tests.support.frames import frame_of
from traffic_aggr.spark import packed as module
from traffic_aggr.spark.engine import VELOX, aggregating, fallbacks
from traffic_aggr.spark.packed import PACKED, packed, unpacked

RowsOf = Callable[[Sequence[Mapping[str, Any]]], list[Row]]

SPECIAL = "\u0001\u0002012"
"""What packing gives a meaning to, and the characters that it writes after an escape."""


@pytest.fixture
def on_velox(monkeypatch: pytest.MonkeyPatch, spark: SparkSession) -> Iterator[None]:
    monkeypatch.setattr(module, "engine_of", lambda _: VELOX)
    with aggregating(spark):
        yield


def texts() -> list[Optional[str]]:
    """Every text of up to three such characters, and NULL."""
    return [None, *("".join(each) for length in range(4) for each in product(SPECIAL, repeat=length))]


def pairs(spark: SparkSession) -> DataFrame:
    each = frame_of(spark, [(text,) for text in texts()], "a string")
    return each.crossJoin(each.withColumnRenamed("a", "b")).selectExpr("a", "1 AS other", "b")


def test_another_engine_keeps_its_columns(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "engine_of", lambda _: "jvm")
    rows = pairs(spark)
    assert packed(rows, ["a", "b"]) is rows
    assert unpacked(rows, ["a", "b"]) is rows


@pytest.mark.usefixtures("on_velox")
def test_texts_come_back_as_they_were(spark: SparkSession) -> None:
    there = packed(pairs(spark), ["a", "b"])
    assert there.columns == ["other", PACKED]
    back = unpacked(there, ["a", "b"]).collect()
    assert {(row.a, row.b) for row in back} == set(product(texts(), repeat=2))


@pytest.mark.usefixtures("on_velox")
def test_different_texts_are_different_when_packed(spark: SparkSession) -> None:
    there = packed(pairs(spark), ["a", "b"])
    assert there.select(PACKED).distinct().count() == len(texts()) ** 2


@pytest.mark.usefixtures("on_velox")
def test_any_bytes_come_back_as_they_were(spark: SparkSession, tmp_path: Path) -> None:
    parts = ["", "61", "00", "01", "02", "0230", "0131", "C3", "C3A9", "80", "F09F98", "F09F9880", "FF"]
    values = [None, *dict.fromkeys("".join(each) for each in product(parts, repeat=2))]
    each = frame_of(spark, [(value,) for value in values], "a string")
    as_text = {name: F.unhex(name).cast("string") for name in ("a", "b")}
    each.crossJoin(each.withColumnRenamed("a", "b")).withColumns(as_text).write.parquet(f"{tmp_path}/texts")

    groups = packed(spark.read.parquet(f"{tmp_path}/texts"), ["a", "b"]).groupBy(PACKED).count()
    back = unpacked(groups, ["a", "b"])
    assert fallbacks(back) == {}
    back.write.parquet(f"{tmp_path}/back")

    found = spark.read.parquet(f"{tmp_path}/back").select(F.hex("a"), F.hex("b"), "count").collect()
    assert {tuple(row) for row in found} == {(*pair, 1) for pair in product(values, repeat=2)}


def test_the_aggregation_is_the_same_by_packed_texts(rows_of: RowsOf, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = awkward_rows(5, 200, repeats=True)
    for number, row in enumerate(rows):
        row["apn"], row["vin"] = texts()[number % len(texts())], texts()[-number % len(texts())]
    monkeypatch.setattr(module, "engine_of", lambda _: "jvm")
    by_columns = rows_of(rows)
    monkeypatch.setattr(module, "engine_of", lambda _: VELOX)
    assert sorted(rows_of(rows), key=repr) == sorted(by_columns, key=repr)
