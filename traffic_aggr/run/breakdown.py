"""
Breakdown of what a run changed, for the report.

Compares usage before and after by customer, country and call type, and counts late rows and rows without a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from traffic_aggr.traffic.columns import USAGE

TOP = 10

CUSTOMER, COUNTRY, CALLTYPE = "customer", "country", "calltype"
LATE = "late_calldate"
"""Rows whose ``calldate`` differs from their ``partition_date``, by ``calldate``."""
UNNAMED_CUSTOMER, UNNAMED_COUNTRY = "tcl_secs_id_without_name", "mcc_without_country"
"""Rows whose key has no name in its lookup table, by that key. Counted among new rows only."""


@dataclass(frozen=True)
class Usage:
    """Number of aggregated rows, CDRs (the sum of ``noofcdrids``), data in bytes, voice in seconds, SMS in messages."""

    rows: int = 0
    cdrs: int = 0
    bytes: int = 0
    voice_secs: int = 0
    sms: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.rows + other.rows,
            self.cdrs + other.cdrs,
            self.bytes + other.bytes,
            self.voice_secs + other.voice_secs,
            self.sms + other.sms,
        )


@dataclass(frozen=True)
class Part:
    """Usage of one column value (None for NULL) before and after the run, summed over all changed days."""

    value: Optional[str]
    before: Usage
    after: Usage


@dataclass(frozen=True)
class Breakdown:
    """The values with the largest changes, largest first. ``rest`` is the sum of the ``others`` remaining values."""

    parts: list[Part]
    others: int = 0
    rest: Optional[Part] = None


UsageBy = Mapping[str, Mapping[Optional[str], Usage]]
"""Usage by dimension and value."""


def compare(before: UsageBy, after: UsageBy) -> dict[str, Breakdown]:
    """Returns the breakdown of each dimension found before or after the run."""
    found = {}
    for dimension in dict.fromkeys((*after, *before)):
        olds, news = before.get(dimension, {}), after.get(dimension, {})
        parts = [
            Part(value, olds.get(value, Usage()), news.get(value, Usage())) for value in dict.fromkeys((*news, *olds))
        ]
        found[dimension] = _largest_first(parts)
    return found


def _largest_first(parts: list[Part]) -> Breakdown:
    weight = _weight(parts)
    parts = sorted(parts, key=lambda part: (-weight(part), -part.after.bytes, part.value or ""))
    rest = parts[TOP:]
    return Breakdown(parts[:TOP], len(rest), _summed(rest)) if rest else Breakdown(parts)


def _weight(parts: Iterable[Part]) -> Callable[[Part], float]:
    """
    Returns a function that weighs the change of a part.

    The weight is the change as a share of all data, all voice or all messages, whichever share is largest.
    """
    whole = _summed(parts)
    kinds = {kind: max(getattr(whole.before, kind), getattr(whole.after, kind), 1) for kind in USAGE}

    def weight(part: Part) -> float:
        return float(max(abs(getattr(part.after, kind) - getattr(part.before, kind)) / kinds[kind] for kind in USAGE))

    return weight


def _summed(parts: Iterable[Part]) -> Part:
    before, after = Usage(), Usage()
    for part in parts:
        before, after = before + part.before, after + part.after
    return Part(None, before, after)


def breakdown_from_json(value: Mapping[str, Any]) -> Breakdown:
    """Rebuilds a breakdown from the mapping that ``dataclasses.asdict`` made of it."""
    rest = value["rest"]
    return Breakdown([_part(each) for each in value["parts"]], value["others"], _part(rest) if rest else None)


def _part(value: Mapping[str, Any]) -> Part:
    return Part(value["value"], Usage(**value["before"]), Usage(**value["after"]))
