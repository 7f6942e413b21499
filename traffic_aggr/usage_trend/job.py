"""
The usage trend job: months made from all their days in the adhoc table (domain.md, "usage_trend").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from traffic_aggr.hive.partitions import PARTITION_DATE
from traffic_aggr.hive.sql import exact_sum
from traffic_aggr.run.definition import Aggregation, Dimension, JobDefinition
from traffic_aggr.run.totals import Total, Unit
from traffic_aggr.traffic.columns import COSTS
from traffic_aggr.usage_trend.columns import DAY_COLUMNS, GRAIN_TEXT, MONTH, TREND_COLUMNS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def _open(days: DataFrame, lookups: Mapping[str, DataFrame]) -> Aggregation:
    from traffic_aggr.usage_trend.aggregation import TrendAggregation

    return TrendAggregation(days)


def _totals_of(rows: DataFrame) -> DataFrame:
    from traffic_aggr.usage_trend.aggregation import totals_of

    return totals_of(rows)


def _total(name: str, title: str, unit: Unit, column: str, *, label: str = "", scale: int = 0) -> Total:
    """A total of usage, whose column has the same name in the adhoc table and in the trend."""
    of_both = exact_sum(column, scale)
    return Total(name, title, unit, label=label, raw=of_both, final=of_both, scale=scale, guarded=True)


_DATA = _total("kb", "Data", Unit.KIBIBYTES, "data_usage_in_kb", label="data usage", scale=10)

USAGE_TREND = JobDefinition(
    name="usage trend",
    raw=DAY_COLUMNS,
    lookups=(),
    final=TREND_COLUMNS,
    texts=GRAIN_TEXT,
    totals=(
        Total(
            "daily_cdrids",
            "CDRs by day",
            Unit.COUNT,
            label="CDRs",
            raw=exact_sum("noofcdrids"),
            final=exact_sum("daily_cdrids"),
        ),
        _DATA,
        _total("voice_secs", "Voice", Unit.SECONDS, "voice_usage_in_secs"),
        _total("sms", "SMS", Unit.COUNT, "sms_usage"),
        *(Total(name, name, Unit.AMOUNT, raw=exact_sum(name, 6), final=exact_sum(name, 6), scale=6) for name in COSTS),
    ),
    facts=(),
    headline=_DATA,
    dimensions=(
        Dimension("customer", "By customer", "Customer"),
        Dimension("country", "By country", "Country"),
        Dimension("calltype", "By call type", "Call type"),
    ),
    open=_open,
    totals_of=_totals_of,
    source=PARTITION_DATE,
    partition=MONTH,
)
"""The months behind the Monthly Usage Trend report."""
