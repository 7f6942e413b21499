"""Small DataFrames that need no Python workers, which Spark starts for ``createDataFrame`` with a list."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def frame_of(spark: SparkSession, rows: Iterable[Sequence[Any]], schema: str) -> DataFrame:
    """
    Makes a DataFrame from tuples. ``schema`` has a name and a type for each column, separated by ``", "``.

    Give moments a time zone: Spark would read a naive one in the session's.
    """
    from pyspark.sql import DataFrame

    names = [column.split()[0] for column in schema.split(", ")]
    jvm: Any = spark.sparkContext._jvm
    lines = jvm.java.util.ArrayList()
    for row in rows:
        lines.add(json.dumps(dict(zip(names, row)), default=_as_json))
    session: Any = spark._jsparkSession
    texts = session.createDataset(lines, jvm.org.apache.spark.sql.Encoders.STRING())
    reader: Any = spark.read.schema(schema).option("mode", "FAILFAST")
    return DataFrame(reader._jreader.json(texts), spark)


def _as_json(value: object) -> str:
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="microseconds")
    assert isinstance(value, Decimal)
    return str(value)
