"""
Breakdown of what a run changed, for the report: totals before and after by the values of each dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from traffic_aggr.run.totals import Totals

TOP = 10


@dataclass(frozen=True)
class Part:
    """
    The totals of one value (None for NULL) before and after the run.

    They are those of one ``partition``, or without it the sums over all changed partitions.
    """

    value: Optional[str]
    before: Totals
    after: Totals
    partition: Optional[str] = None


@dataclass(frozen=True)
class Breakdown:
    """
    The values with the largest changes, largest first. ``rest`` is the sum of the ``others`` remaining values.

    ``by_partition`` has the largest changes of one value in one partition, if the job tells them and several changed.
    """

    parts: list[Part]
    others: int = 0
    rest: Optional[Part] = None
    by_partition: list[Part] = field(default_factory=list)

    @property
    def whole(self) -> Part:
        """The sum over all values."""
        return _summed([*self.parts, *([self.rest] if self.rest is not None else [])])

    def to_json(self) -> dict[str, Any]:
        return {
            "parts": list(map(_part_to_json, self.parts)),
            "others": self.others,
            "rest": None if self.rest is None else _part_to_json(self.rest),
            "by_partition": [{"partition": part.partition, **_part_to_json(part)} for part in self.by_partition],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Breakdown:
        """Rebuilds a breakdown from what ``to_json`` returned."""
        rest = None if found["rest"] is None else _part_from_json(found["rest"])
        by_partition = list(map(_part_from_json, found.get("by_partition", ())))
        return cls(list(map(_part_from_json, found["parts"])), found["others"], rest, by_partition)


Cells = Mapping[tuple[Optional[str], Optional[str]], Totals]
"""Totals by value and partition; the partition is None in a dimension that is not split by it."""


@dataclass(frozen=True)
class UsageBy:
    """Totals by dimension. ``is_split`` is false where no dimension is, since there would have been too many totals."""

    found: Mapping[str, Cells]
    is_split: bool = True


def compare(before: UsageBy, after: UsageBy, names: Sequence[str]) -> dict[str, Breakdown]:
    """Returns the breakdown of each dimension found before or after the run; ``names`` are the totals of each value."""
    nothing = Totals(0, dict.fromkeys(names, 0))
    is_split = before.is_split and after.is_split
    broken_down = {}
    for dimension in dict.fromkeys((*after.found, *before.found)):
        olds, news = before.found.get(dimension, {}), after.found.get(dimension, {})
        cells = [
            Part(value, olds.get((value, partition), nothing), news.get((value, partition), nothing), partition)
            for value, partition in dict.fromkeys((*news, *olds))
        ]
        parts = _largest_first(_by_value(cells), names)
        rest = parts[TOP:]
        broken_down[dimension] = Breakdown(
            parts[:TOP],
            len(rest),
            _summed(rest) if rest else None,
            _largest_in_a_partition(cells, names) if is_split else [],
        )
    return broken_down


def _by_value(cells: Iterable[Part]) -> list[Part]:
    """Sums what each value has in several partitions."""
    found: dict[Optional[str], list[Part]] = {}
    for cell in cells:
        found.setdefault(cell.value, []).append(cell)
    return [replace(_summed(of_value), value=value) for value, of_value in found.items()]


def _largest_in_a_partition(cells: Sequence[Part], names: Sequence[str]) -> list[Part]:
    changed = [cell for cell in cells if cell.partition is not None and cell.before != cell.after]
    several = len({cell.partition for cell in changed}) > 1
    return _largest_first(changed, names)[:TOP] if several else []


def _largest_first(parts: Sequence[Part], names: Sequence[str]) -> list[Part]:
    weight = _weight(parts, names)
    return sorted(parts, key=lambda part: (-weight(part), -part.after.rows, part.value or "", part.partition or ""))


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
    before, after = Totals.from_json(found["before"]), Totals.from_json(found["after"])
    return Part(found["value"], before, after, found.get("partition"))
