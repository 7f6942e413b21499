"""
The aggregation of raw traffic, as the engine calls it: raw and the lookups, opened for the partitions of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from traffic_aggr.hive.partitions import Partition
from traffic_aggr.run.totals import Totals
from traffic_aggr.spark.queries import collected
from traffic_aggr.traffic import aggregation
from traffic_aggr.traffic.columns import PARTITION_COLUMN

_BROADCAST_CDRIDS = 1_000_000


class TrafficAggregation:
    """
    Aggregates ``raw``, which has ``RAW_COLUMNS``, with the lookups ``org_details`` and ``country_lookup``.

    Spark persists the cdrids that repeat, until ``close``.
    """

    def __init__(self, raw: DataFrame, lookups: Mapping[str, DataFrame]) -> None:
        self._raw = raw
        self._repeated = aggregation.repeated_cdrids(raw).persist()
        self._organisations = aggregation.lookup_names(lookups["org_details"])
        self._countries = aggregation.lookup_countries(lookups["country_lookup"])

    def raw_totals(self) -> Mapping[str, Mapping[str, Any]]:
        """Returns what ``aggregation.raw_totals`` does, and ``distinct_cdrs`` and ``repeated_cdrs``."""
        sums_by_day, repeats_by_day = collected(
            aggregation.raw_totals(self._raw), aggregation.repeats_by_day(self._repeated)
        )
        found = {row[PARTITION_COLUMN]: row.asDict() for row in sums_by_day}
        repeats = {row[PARTITION_COLUMN]: row for row in repeats_by_day}
        for day, sums in found.items():
            extra, repeated = (repeats[day]["extra_rows"], repeats[day]["repeated_cdrs"]) if day in repeats else (0, 0)
            sums |= {"distinct_cdrs": sums["cdrs"] - extra, "repeated_cdrs": repeated}
        return found

    def rows(
        self,
        totals: Mapping[Partition, Totals],
        counted: Callable[[DataFrame], DataFrame],
        *,
        files: int,
        delimiters: Optional[str],
    ) -> DataFrame:
        """Returns the rows of ``STAGING_COLUMNS`` of the days whose totals of raw are given."""
        days = list(totals)
        repeats = sum(of_day.integer("repeated_cdrs") for of_day in totals.values())
        groups = aggregation.group(
            _of_days(self._raw, days),
            self._organisations,
            self._countries,
            repeated=_of_days(self._repeated, days) if repeats else None,
            broadcast_repeated=repeats <= _BROADCAST_CDRIDS,
            delimiters=delimiters,
            files_per_day=files,
        )
        return aggregation.final_rows(counted(groups))

    def stored_text(self, delimiters: Optional[str]) -> DataFrame:
        return aggregation.stored_text(self._raw, self._organisations, self._countries, delimiters)

    def usage(self, rows: DataFrame, *, new: bool) -> DataFrame:
        """
        Returns usage by customer (and day), country, call type and late calldate; of new rows also by keys without a
        name.
        """
        dimensions: dict[str, Column] = {
            "customer": aggregation.by_value("customername", PARTITION_COLUMN),
            "country": aggregation.by_value("country"),
            "calltype": aggregation.by_value("calltype"),
            "late_calldate": aggregation.by_late_calldate(),
        }
        if not new:
            return aggregation.usage_by(rows, dimensions)
        dimensions["tcl_secs_id_without_name"] = aggregation.by_unnamed("tcl_secs_id", "_orgname")
        dimensions["mcc_without_country"] = aggregation.by_unnamed("mcc", "_country")
        return aggregation.usage_by(aggregation.with_lookups(rows, self._organisations, self._countries), dimensions)

    def close(self) -> None:
        self._repeated.unpersist()


def _of_days(rows: DataFrame, days: list[Partition]) -> DataFrame:
    return rows.where(F.col(PARTITION_COLUMN).isin([str(day) for day in days]))
