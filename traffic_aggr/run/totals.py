"""
Control totals: what they are called and count, and their values for one partition at one stage.

Whole numbers are integers, amounts are decimals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, Optional, Union

from traffic_aggr.units import data_volume, minutes

ROWS, SOURCE_ROWS = "rows", "source_rows"

Number = Union[int, Decimal]


class Unit(Enum):
    """What a total counts, which decides how people see it."""

    COUNT = "count"
    BYTES = "bytes"
    KIBIBYTES = "kibibytes"
    SECONDS = "seconds"
    AMOUNT = "amount"


@dataclass(frozen=True)
class Total:
    """
    A control total: one number per partition that raw, staging, final and Impala have to agree on.

    ``name`` is its name in records, JSON, CSV and messages, ``title`` its name in reports, ``label`` its name within
    a sentence, where that is not the title. It has ``scale`` decimals.

    ``final`` and ``raw`` are Impala's expressions of it over the rows of final and of raw. Without ``raw``, Impala is
    not asked for raw's. ``audit.max_change_pct`` applies to a ``guarded`` total. One with ``bounds``, the names of two
    measures of raw, must lie between these; any other must equal raw's.
    """

    name: str
    title: str
    unit: Unit
    final: str
    raw: Optional[str] = None
    label: str = ""
    scale: int = 0
    guarded: bool = False
    bounds: Optional[tuple[str, str]] = None

    @property
    def in_text(self) -> str:
        """Its name within a sentence."""
        return self.label or self.title.lower()

    def format(self, value: Optional[Number]) -> str:
        """Returns a value for people: ``1.4 TiB``, ``12 min``, ``1,234``; empty where it is unknown."""
        if value is None:
            return ""
        if self.unit is Unit.BYTES:
            return data_volume(int(value))
        if self.unit is Unit.KIBIBYTES:
            return data_volume(int(value * 1024))
        return minutes(int(value)) if self.unit is Unit.SECONDS else f"{value:,}"


@dataclass(frozen=True)
class Fact:
    """A measure of raw alone, a whole number. The report shows it under ``title`` if it has one."""

    name: str
    title: Optional[str] = None


@dataclass(frozen=True)
class Totals:
    """
    The control totals of one partition at one stage.

    ``sums`` holds the job's totals by name, and of raw its facts. A total that Impala was not asked for is missing from
    them. ``source_rows`` is the number of raw rows that went into the groups; it is known for staging only.
    """

    rows: int = 0
    sums: Mapping[str, Number] = field(default_factory=dict)
    source_rows: Optional[int] = None

    def __getitem__(self, name: str) -> Number:
        """Returns a total. Raises KeyError if it is unknown, unless there are no rows: then all are 0."""
        found = self.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def __add__(self, other: Totals) -> Totals:
        """Returns the sum of each total. Raises KeyError if one side does not know it, unless that has no rows."""
        names = dict.fromkeys((*self.sums, *other.sums))
        return Totals(self.rows + other.rows, {name: self[name] + other[name] for name in names})

    def get(self, name: str) -> Optional[Number]:
        """Returns a total, None if it is unknown: a record may be older than one of the job's totals."""
        if name == ROWS:
            return self.rows
        return self.sums.get(name, None if self.rows else 0)

    def integer(self, name: str) -> int:
        """Returns a total that is a whole number; 0 where it is unknown."""
        return int(self.get(name) or 0)

    def to_json(self) -> dict[str, Any]:
        """Returns the totals that are known, decimals as text."""
        found = {**self.sums, ROWS: self.rows, SOURCE_ROWS: self.source_rows}
        return {
            name: format(value, "f") if isinstance(value, Decimal) else value
            for name, value in found.items()
            if value is not None
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Totals:
        """Rebuilds totals from what ``to_json`` returned."""
        sums = {
            name: Decimal(value) if isinstance(value, str) else value
            for name, value in values.items()
            if name not in (ROWS, SOURCE_ROWS)
        }
        return cls(int(values.get(ROWS, 0)), sums, values.get(SOURCE_ROWS))


def summed(found: Iterable[Optional[Totals]]) -> Totals:
    """Returns the sums of the totals that are known of all; None, which has no totals, does not count."""
    known = [each for each in found if each is not None]
    sums: dict[str, Number] = {}
    for name in dict.fromkeys(name for each in known for name in each.sums):
        values = [value for each in known if (value := each.get(name)) is not None]
        if len(values) == len(known):
            sums[name] = sum(values)
    return Totals(sum(each.rows for each in known), sums)


def measured(row: Optional[Mapping[str, Any]], scales: Mapping[str, int]) -> Totals:
    """
    Builds totals from a query row, where numbers are integers, decimals or text, and NULL counts as 0.

    ``scales`` names the totals, each with its decimals. Without a row, all are 0. Raises KeyError if the row lacks one.
    """
    sums = {name: _number(row[name] if row else 0, scale) for name, scale in scales.items()}
    return Totals(int(row[ROWS]) if row else 0, sums)


def _number(value: Any, scale: int) -> Number:
    number = Decimal(value or 0)
    if not scale and number == number.to_integral_value():
        return int(number)
    return number


def change_percent(before: Number, after: Number) -> Optional[float]:
    """How much ``after`` differs from ``before``, in percent; None where there was nothing before."""
    if before == 0:
        return None
    return float(abs(Decimal(after) - Decimal(before)) * 100 / Decimal(before))
