"""
Control totals and their reconciliation (contract: "The run", 3).

Every comparison is exact: rows and usage are integers, costs decimals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Optional, TypeVar, Union

from traffic_aggr.hive.partitions import Partition
from traffic_aggr.traffic.columns import COSTS, USAGE

SUMS = (*USAGE, *COSTS)
"""What is summed at every stage, in the order of reports: usage, then costs."""


@dataclass(frozen=True)
class Sums:
    """One day's usage and costs. ``bytes`` counts Data rows only; voice is in seconds; sms in messages."""

    bytes: int = 0
    voice_secs: int = 0
    sms: int = 0
    whole_sale_cost_1: Decimal = Decimal(0)
    whole_sale_cost_2: Decimal = Decimal(0)
    whole_sale_cost_3: Decimal = Decimal(0)
    whole_sale_cost_4: Decimal = Decimal(0)
    whole_sale_cost_5: Decimal = Decimal(0)


@dataclass(frozen=True)
class RawTotals(Sums):
    """
    One day of raw, taken from raw itself before any join or grouping.

    ``cdrs`` counts the rows whose cdrid is not NULL, ``distinct_cdrs`` their different values,
    ``repeated_cdrs`` the values that stand in more than one row; ``unclassified`` the rows whose
    calltype is neither Data nor Voice nor SMS.
    """

    rows: int = 0
    cdrs: int = 0
    distinct_cdrs: int = 0
    repeated_cdrs: int = 0
    unclassified: int = 0


@dataclass(frozen=True)
class AggregatedTotals(Sums):
    """
    One day of staging or final. ``cdrs`` is the sum of ``noofcdrids``: a cdrid in two groups counts
    twice. ``source_rows`` is known of staging only: the raw rows that went into its groups.
    """

    rows: int = 0
    cdrs: int = 0
    source_rows: Optional[int] = None


@dataclass(frozen=True)
class ImpalaTotals:
    """
    What Impala itself answers for one day of raw or of final; a day missing from its answer counts as 0 rows.

    None is what it was not asked: ``cdrs`` of raw, and all but rows and bytes in records of earlier versions. ``bytes``
    is a Decimal where Impala's kilobytes are no whole number of bytes.
    """

    rows: int = 0
    bytes: Union[int, Decimal] = 0
    cdrs: Optional[int] = None
    voice_secs: Optional[int] = None
    sms: Optional[int] = None
    whole_sale_cost_1: Optional[Decimal] = None
    whole_sale_cost_2: Optional[Decimal] = None
    whole_sale_cost_3: Optional[Decimal] = None
    whole_sale_cost_4: Optional[Decimal] = None
    whole_sale_cost_5: Optional[Decimal] = None


Totals = TypeVar("Totals", RawTotals, AggregatedTotals, ImpalaTotals)


def totals_to_json(totals: Any) -> dict[str, Any]:
    """The fields of ``totals``, decimals as strings, unknown ones left out."""
    values = ((field.name, getattr(totals, field.name)) for field in fields(totals))
    return {
        name: format(value, "f") if isinstance(value, Decimal) else value for name, value in values if value is not None
    }


def totals_from_mapping(kind: type[Totals], values: Mapping[str, Any]) -> Totals:
    """``kind`` from a row of a query or from JSON: numbers arrive as int, Decimal, text or NULL (0)."""
    converted: dict[str, Any] = {}
    for field in fields(kind):
        value = values.get(field.name)
        if value is None:
            continue
        number = Decimal(value)
        whole = field.name not in COSTS and number == number.to_integral_value()
        converted[field.name] = int(number) if whole else number
    return kind(**converted)


@dataclass(frozen=True)
class Difference:
    """One control total that is not the same at two stages of one day."""

    partition: Partition
    total: str
    left: str
    left_value: Any
    right: str
    right_value: Any

    def __str__(self) -> str:
        return f"{self.partition} {self.total}: {self.left} {self.left_value}, {self.right} {self.right_value}"


def _compare(
    partition: Partition, names: Sequence[str], left: str, left_totals: object, right: str, right_totals: object
) -> list[Difference]:
    pairs = ((name, getattr(left_totals, name), getattr(right_totals, name)) for name in names)
    return [Difference(partition, name, left, first, right, second) for name, first, second in pairs if first != second]


def reconcile_staging(partition: Partition, raw: RawTotals, staging: AggregatedTotals) -> list[Difference]:
    """
    Raw against staging: all sums equal, every raw row in exactly one group, and ``cdrs`` between raw's
    distinct and total cdrids.
    """
    differences = _compare(partition, SUMS, "raw", raw, "staging", staging)
    if staging.source_rows != raw.rows:
        differences.append(Difference(partition, "rows", "raw", raw.rows, "staging's source", staging.source_rows))
    if not raw.distinct_cdrs <= staging.cdrs <= raw.cdrs:
        allowed = f"{raw.distinct_cdrs} distinct to {raw.cdrs}"
        differences.append(Difference(partition, "cdrs", "raw", allowed, "staging", staging.cdrs))
    return differences


def reconcile_final(
    partition: Partition, staging: AggregatedTotals, final: AggregatedTotals, name: str = "final"
) -> list[Difference]:
    """Staging against the rows that were read back from the final table (or from its shadow)."""
    return _compare(partition, ("rows", "cdrs", *SUMS), "staging", staging, name, final)


def reconcile_impala(partition: Partition, final: AggregatedTotals, impala: ImpalaTotals) -> list[Difference]:
    """Spark's view of the final table against Impala's own."""
    return _compare(partition, _asked(impala), "final", final, "impala", impala)


def reconcile_impala_raw(partition: Partition, raw: RawTotals, impala: ImpalaTotals) -> list[Difference]:
    """Spark's view of raw against Impala's own."""
    return _compare(partition, _asked(impala), "raw", raw, "raw in Impala", impala)


def _asked(impala: ImpalaTotals) -> list[str]:
    return [field.name for field in fields(impala) if getattr(impala, field.name) is not None]


def summary(differences: Sequence[Difference], limit: int = 5) -> str:
    """The first differences in one line, then how many more there are."""
    shown = "; ".join(map(str, differences[:limit]))
    more = len(differences) - limit
    return f"{shown}; and {more} more" if more > 0 else shown


def change_percent(before: int, after: int) -> Optional[float]:
    """How much ``after`` differs from ``before``, in percent; None where there was nothing before."""
    if before == 0:
        return None
    return abs(after - before) * 100 / before
