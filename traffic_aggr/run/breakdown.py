"""
Breakdown of what a run changed, for the report: totals before and after by the values of each dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from traffic_aggr.run.totals import Totals

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

    @property
    def whole(self) -> Part:
        """The sum over all values."""
        return _summed([*self.parts, *([self.rest] if self.rest is not None else [])])

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


def compare(before: UsageBy, after: UsageBy, names: Sequence[str]) -> dict[str, Breakdown]:
    """Returns the breakdown of each dimension found before or after the run; ``names`` are the totals of each value."""
    nothing = Totals(0, dict.fromkeys(names, 0))
    found = {}
    for dimension in dict.fromkeys((*after, *before)):
        olds, news = before.get(dimension, {}), after.get(dimension, {})
        parts = [
            Part(value, olds.get(value, nothing), news.get(value, nothing)) for value in dict.fromkeys((*news, *olds))
        ]
        found[dimension] = _largest_first(parts, names)
    return found


def _largest_first(parts: list[Part], names: Sequence[str]) -> Breakdown:
    weight = _weight(parts, names)
    parts = sorted(parts, key=lambda part: (-weight(part), -part.after.rows, part.value or ""))
    rest = parts[TOP:]
    return Breakdown(parts[:TOP], len(rest), _summed(rest)) if rest else Breakdown(parts)


def _weight(parts: Iterable[Part], names: Sequence[str]) -> Callable[[Part], float]:
    """
    Returns a function that weighs the change of a part.

    The weight is the change as a share of a total over all parts: of the total whose share is largest.
    """
    whole = _summed(parts)
    wholes = {name: float(max(whole.before[name], whole.after[name], 1)) for name in names}

    def weight(part: Part) -> float:
        return max(abs(float(part.after[name]) - float(part.before[name])) / wholes[name] for name in names)

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
