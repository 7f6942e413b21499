"""
Control totals and their reconciliation (contract: "The run", 3).

Every comparison is exact: rows and usage are integers, costs are decimals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Optional, TypeVar, Union

from traffic_aggr.hive.partitions import Partition
from traffic_aggr.traffic.columns import COSTS, USAGE

SUMS = (*USAGE, *COSTS)
"""The totals that are summed at every stage, in report order: usage, then costs."""


@dataclass(frozen=True)
class Sums:
    """One day's usage and costs: ``bytes`` of Data rows only, voice in seconds, SMS in messages."""

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
    One day of raw, measured on raw itself before any join or grouping.

    ``cdrs`` counts the rows whose cdrid is not NULL, ``distinct_cdrs`` the different cdrids, ``repeated_cdrs`` the
    cdrids that occur in more than one row. ``unclassified`` counts the rows whose calltype is not Data, Voice or SMS.
    """

    rows: int = 0
    cdrs: int = 0
    distinct_cdrs: int = 0
    repeated_cdrs: int = 0
    unclassified: int = 0


@dataclass(frozen=True)
class AggregatedTotals(Sums):
    """
    One day of staging or final.

    ``cdrs`` is the sum of ``noofcdrids``, so a cdrid in two groups counts twice. ``source_rows`` is the number of raw
    rows that went into the groups; it is known for staging only.
    """

    rows: int = 0
    cdrs: int = 0
    source_rows: Optional[int] = None


@dataclass(frozen=True)
class ImpalaTotals:
    """
    Impala's own totals for one day of raw or final. A day missing from its answer counts as 0 rows.

    A total that Impala was not asked for is None: ``cdrs`` of raw, and all but rows and bytes in records of earlier
    versions. ``bytes`` is a Decimal if Impala's kilobytes do not make a whole number of bytes.
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
    """Returns the fields of ``totals`` that are not None, decimals as strings."""
    values = ((field.name, getattr(totals, field.name)) for field in fields(totals))
    return {
        name: format(value, "f") if isinstance(value, Decimal) else value for name, value in values if value is not None
    }


def totals_from_mapping(kind: type[Totals], values: Mapping[str, Any]) -> Totals:
    """
    Builds ``kind`` from a query row or from JSON, where numbers are int, Decimal or text.

    A NULL or missing value leaves the field's default: 0, or None for a total that may be unknown.
    """
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
    """A control total of one day that differs between two stages."""

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
    Compares raw with staging.

    All sums must be equal, staging's ``source_rows`` must equal raw's rows so that every raw row is in exactly one
    group, and ``cdrs`` must lie between raw's distinct and total cdrids.
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
    """Compares staging with rows read back from the final table, or from the place that ``name`` says."""
    return _compare(partition, ("rows", "cdrs", *SUMS), "staging", staging, name, final)


def reconcile_impala(partition: Partition, final: AggregatedTotals, impala: ImpalaTotals) -> list[Difference]:
    """Compares Spark's totals of the final table with Impala's."""
    return _compare(partition, _asked(impala), "final", final, "impala", impala)


def reconcile_impala_raw(partition: Partition, raw: RawTotals, impala: ImpalaTotals) -> list[Difference]:
    """Compares Spark's totals of raw with Impala's."""
    return _compare(partition, _asked(impala), "raw", raw, "raw in Impala", impala)


def _asked(impala: ImpalaTotals) -> list[str]:
    return [field.name for field in fields(impala) if getattr(impala, field.name) is not None]


def change_percent(before: int, after: int) -> Optional[float]:
    """How much ``after`` differs from ``before``, in percent; None where there was nothing before."""
    if before == 0:
        return None
    return abs(after - before) * 100 / before
