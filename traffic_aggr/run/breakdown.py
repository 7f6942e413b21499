"""
Breakdown of what a run changed, for the report: totals before and after by the values of each dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from traffic_aggr.run.totals import Total, Totals

TOP = 10


@dataclass(frozen=True)
class Part:
    """The totals of one value (None for NULL) before and after the run, summed over all changed partitions."""

    value: Optional[str]
    before: Totals
    after: Totals


@dataclass(frozen=True)
class Breakdown:
    """The values with the largest changes, largest first. ``rest`` is the sum of the ``others`` remaining values."""

    parts: list[Part]
    others: int = 0
    rest: Optional[Part] = None

    def to_json(self) -> dict[str, Any]:
        rest = None if self.rest is None else _part_to_json(self.rest)
        return {"parts": list(map(_part_to_json, self.parts)), "others": self.others, "rest": rest}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Breakdown:
        """Rebuilds a breakdown from what ``to_json`` returned."""
        rest = None if found["rest"] is None else _part_from_json(found["rest"])
        return cls(list(map(_part_from_json, found["parts"])), found["others"], rest)


UsageBy = Mapping[str, Mapping[Optional[str], Totals]]
"""Totals by dimension and value."""


def compare(before: UsageBy, after: UsageBy, usage: Sequence[Total]) -> dict[str, Breakdown]:
    """
    Returns the breakdown of each dimension found before or after the run.

    ``usage`` are the totals that each value has. The guarded ones, or else all, decide which changes are the largest.
    """
    nothing = Totals(0, {total.name: 0 for total in usage})
    weighed = [total.name for total in usage if total.guarded] or [total.name for total in usage]
    found = {}
    for dimension in dict.fromkeys((*after, *before)):
        olds, news = before.get(dimension, {}), after.get(dimension, {})
        parts = [
            Part(value, olds.get(value, nothing), news.get(value, nothing)) for value in dict.fromkeys((*news, *olds))
        ]
        found[dimension] = _largest_first(parts, weighed)
    return found


def _largest_first(parts: list[Part], weighed: Sequence[str]) -> Breakdown:
    weight = _weight(parts, weighed)
    parts = sorted(parts, key=lambda part: (-weight(part), -part.after[weighed[0]], part.value or ""))
    rest = parts[TOP:]
    return Breakdown(parts[:TOP], len(rest), _summed(rest)) if rest else Breakdown(parts)


def _weight(parts: Iterable[Part], weighed: Sequence[str]) -> Callable[[Part], float]:
    """
    Returns a function that weighs the change of a part.

    The weight is the change as a share of all usage of one kind: the kind whose share is largest.
    """
    whole = _summed(parts)
    kinds = {kind: float(max(whole.before[kind], whole.after[kind], 1)) for kind in weighed}

    def weight(part: Part) -> float:
        return max(abs(float(part.after[kind]) - float(part.before[kind])) / kinds[kind] for kind in weighed)

    return weight


def _summed(parts: Iterable[Part]) -> Part:
    before, after = Totals(), Totals()
    for part in parts:
        before, after = before + part.before, after + part.after
    return Part(None, before, after)


def _part_to_json(part: Part) -> dict[str, Any]:
    return {"value": part.value, "before": part.before.to_json(), "after": part.after.to_json()}


def _part_from_json(found: Mapping[str, Any]) -> Part:
    return Part(found["value"], Totals.from_json(found["before"]), Totals.from_json(found["after"]))
