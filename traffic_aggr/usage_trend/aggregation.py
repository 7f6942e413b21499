"""
How days of the adhoc table become months of the trend (domain.md, "usage_trend").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from traffic_aggr.hive.partitions import Partition
from traffic_aggr.restate.row_checks import without_delimiters
from traffic_aggr.run.totals import Totals
from traffic_aggr.spark.queries import summed_by
from traffic_aggr.traffic.aggregation import by_value, rounded_quotient
from traffic_aggr.traffic.columns import COSTS, PARTITION_COLUMN
from traffic_aggr.usage_trend.columns import GRAIN, GRAIN_TEXT, MONTH, TREND_COLUMNS

_KB_PER_MB = 1024
_MOST_KB = "DECIMAL(28,10)"


class TrendAggregation:
    """Aggregates ``days``, which have ``DAY_COLUMNS`` and ``month``."""

    def __init__(self, days: DataFrame) -> None:
        self._days = days

    def raw_totals(self) -> Mapping[str, Mapping[str, Any]]:
        """Returns ``rows`` and the job's totals by month."""
        return {row[MONTH.name]: row.asDict() for row in _totals(self._days, "noofcdrids").collect()}

    def rows(
        self,
        totals: Mapping[Partition, Totals],
        counted: Callable[[DataFrame], DataFrame],
        *,
        files: int,
        delimiters: Optional[str],
    ) -> DataFrame:
        """Returns the rows of ``TREND_COLUMNS`` and ``month`` of the months whose totals are given."""
        listed = self._days.where(F.col(MONTH.name).isin([str(month) for month in totals]))
        return trend_rows(counted(group(listed, delimiters=delimiters, files_per_month=files)))

    def stored_text(self, delimiters: Optional[str]) -> DataFrame:
        return self._days.select(*(without_delimiters(F.col(name), delimiters).alias(name) for name in GRAIN_TEXT))

    def usage(self, rows: DataFrame, *, new: bool) -> DataFrame:
        """Returns usage and costs by customer, country and call type; of customers also by month."""
        dimensions = {
            "customer": by_value("customername", MONTH.name),
            "country": by_value("country"),
            "calltype": by_value("calltype"),
        }
        return summed_by(rows, dimensions, {"rows": F.lit(1), **_amounts("daily_cdrids")})

    def close(self) -> None:
        """Keeps nothing in Spark."""


def group(days: DataFrame, *, delimiters: Optional[str] = None, files_per_month: int = 1) -> DataFrame:
    """
    Groups rows of the adhoc table by ``GRAIN`` and ``month``.

    Returns these, ``kb`` (DECIMAL(38,10)), ``voice_secs, sms, daily_cdrids`` (BIGINT), the costs (DECIMAL(38,6)),
    ``days`` (INT, the number of different days) and ``source_rows``. NULL counts as 0. In text, a space takes the place
    of each character of ``delimiters``. The rows of a month end up in at most ``files_per_month`` tasks.
    """
    text = {name: without_delimiters(F.col(name), delimiters) for name in GRAIN_TEXT}
    # A bit for each day of the month: unlike a distinct count, it needs no second aggregation.
    day = F.expr(f"SHIFTLEFT(1, CAST(SUBSTRING({PARTITION_COLUMN}, 9, 2) AS INT) - 1)")
    described = days.select(
        *(text.get(name, F.col(name)).alias(name) for name in GRAIN),
        MONTH.name,
        day.alias("_day"),
        *(amount.alias(name) for name, amount in _amounts("noofcdrids").items()),
    )
    groups = described.groupBy(*GRAIN, MONTH.name).agg(
        *(F.sum(name).alias(name) for name in _amounts("noofcdrids")),
        F.expr("BIT_COUNT(BIT_OR(_day))").alias("days"),
        F.count(F.lit(1)).alias("source_rows"),
    )
    file = F.pmod(F.hash(*GRAIN), F.lit(files_per_month))
    return groups.withColumn("_file", file).repartition(MONTH.name, "_file").drop("_file")


def trend_rows(groups: DataFrame) -> DataFrame:
    """
    The rows of the trend, from what ``group`` returns: ``TREND_COLUMNS``, ``month`` and ``source_rows``.

    Spark's error when a group has 10^18 KB or more, whose MB would not be exact.
    """
    measures = {
        "data_usage_in_kb": F.col("kb"),
        "data_usage_in_mb": _megabytes("kb"),
        "voice_usage_in_secs": F.col("voice_secs"),
        "voice_usage_in_mins": rounded_quotient("voice_secs", 60),
        "sms_usage": F.col("sms"),
    }
    trend = (measures.get(each.name, F.col(each.name)).cast(each.type).alias(each.name) for each in TREND_COLUMNS)
    return groups.sortWithinPartitions(MONTH.name).select(*trend, MONTH.name, "source_rows")


def totals_of(rows: DataFrame) -> DataFrame:
    """Control totals of staging or the trend: ``month``, ``rows`` and the job's totals, 0 where all values are NULL."""
    return _totals(rows, "daily_cdrids")


def _totals(rows: DataFrame, cdrids: str) -> DataFrame:
    scales = {"kb": 10, **dict.fromkeys(COSTS, 6)}
    sums = (
        F.sum(amount.cast(f"decimal(38,{scales.get(name, 0)})")).alias(name)
        for name, amount in _amounts(cdrids).items()
    )
    return rows.groupBy(MONTH.name).agg(F.count(F.lit(1)).alias("rows"), *sums)


def _amounts(cdrids: str) -> dict[str, Column]:
    """The totals of one row of the adhoc table or the trend, by name; ``cdrids`` is the column of CDRs."""
    columns = {
        "kb": "data_usage_in_kb",
        "voice_secs": "voice_usage_in_secs",
        "sms": "sms_usage",
        "daily_cdrids": cdrids,
        **{name: name for name in COSTS},
    }
    return {name: F.coalesce(F.col(column), F.lit(0)) for name, column in columns.items()}


def _megabytes(kilobytes: str) -> Column:
    """
    ``kilobytes`` / 1024 to four decimals, half-up (away from zero).

    Decimal division would round twice, so the remainder is taken off before the division, which is exact then.
    """
    exact = F.coalesce(
        F.expr(f"CAST(ABS({kilobytes}) AS {_MOST_KB})"),
        F.raise_error(F.concat(F.lit("a group has too many KB: "), F.col(kilobytes).cast("string"))).cast(_MOST_KB),
    )
    halves = exact * F.lit(20_000).cast("decimal(5,0)") + F.lit(_KB_PER_MB).cast("decimal(4,0)")
    steps = F.lit(2 * _KB_PER_MB).cast("decimal(4,0)")
    ten_thousandths = ((halves - halves % steps) / steps).cast("decimal(30,0)")
    rounded = ten_thousandths * F.expr("0.0001BD")
    return F.when(F.col(kilobytes) < 0, -rounded).otherwise(rounded)
