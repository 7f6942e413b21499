"""
Reconciliation: whether the control totals of two stages agree (contract: "The run", 3). Every comparison is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from traffic_aggr.hive.partitions import Partition
from traffic_aggr.run.totals import ROWS, Total, Totals


@dataclass(frozen=True)
class Difference:
    """A control total of one partition that differs between two stages."""

    partition: Partition
    total: str
    left: str
    left_value: Any
    right: str
    right_value: Any

    def __str__(self) -> str:
        return f"{self.partition} {self.total}: {self.left} {self.left_value}, {self.right} {self.right_value}"


def _compare(
    partition: Partition, names: Iterable[str], left: str, left_totals: Totals, right: str, right_totals: Totals
) -> list[Difference]:
    pairs = ((name, left_totals.get(name), right_totals.get(name)) for name in names)
    return [Difference(partition, name, left, first, right, second) for name, first, second in pairs if first != second]


def reconcile_staging(totals: Sequence[Total], partition: Partition, raw: Totals, staging: Totals) -> list[Difference]:
    """
    Compares raw with staging.

    Totals must be equal, or lie within their bounds. Staging's ``source_rows`` must equal raw's rows, so that every raw
    row is in exactly one group.
    """
    equal = [total.name for total in totals if not total.bounds]
    differences = _compare(partition, equal, "raw", raw, "staging", staging)
    if staging.source_rows != raw.rows:
        differences.append(Difference(partition, ROWS, "raw", raw.rows, "staging's source", staging.source_rows))
    for total in totals:
        if total.bounds:
            low, high = (raw[bound] for bound in total.bounds)
            if not low <= staging[total.name] <= high:
                allowed = f"between {low} and {high}"
                differences.append(Difference(partition, total.name, "raw", allowed, "staging", staging[total.name]))
    return differences


def reconcile_final(
    totals: Sequence[Total], partition: Partition, staging: Totals, final: Totals, name: str = "final"
) -> list[Difference]:
    """Compares staging with rows read back from the final table, or from the place that ``name`` says."""
    return _compare(partition, [ROWS, *(total.name for total in totals)], "staging", staging, name, final)


def reconcile_impala(partition: Partition, final: Totals, impala: Totals) -> list[Difference]:
    """Compares Spark's totals of the final table with those that Impala was asked for."""
    return _compare(partition, [ROWS, *impala.sums], "final", final, "impala", impala)


def reconcile_impala_raw(partition: Partition, raw: Totals, impala: Totals) -> list[Difference]:
    """Compares Spark's totals of raw with those that Impala was asked for."""
    return _compare(partition, [ROWS, *impala.sums], "raw", raw, "raw in Impala", impala)
