"""
Bars of a value before and after, by day as a figure or for a table's cell: SVG that stretches with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Optional

_SLOT, _BAR, _HEIGHT, _WIDTH = 10, 4, 100, 100
"""
A day's share of the width, either bar of it, and the height of the highest (its width where bars lie), in units of the
drawing.
"""


@dataclass(frozen=True)
class Bar:
    """What a day had ``before`` and has ``after``; None where there is nothing to show."""

    label: str
    before: Optional[int]
    after: Optional[int]


def bar_chart(title: str, bars: Sequence[Bar], spoken: Callable[[int], str]) -> str:
    """
    A figure of a pair of bars for each day; ``spoken`` writes a value with its unit.

    Colours differ in lightness as well as in hue; each pair has a text alternative, and so has the whole.
    """
    values = [value for bar in bars for value in (bar.before, bar.after) if value is not None]
    highest = max(values, default=0)
    if highest <= 0:
        return ""
    summary = f"{title}, {bars[0].label} to {bars[-1].label}: {_totals(bars, spoken)}"
    drawn = "".join(_pair(number, bar, highest, spoken) for number, bar in enumerate(bars))
    return (
        f"<figure><figcaption><b>{escape(title)}</b> {escape(_totals(bars, spoken))}</figcaption>"
        f"<div class=scale>{escape(spoken(highest))}</div><div class=plot>"
        f'<svg viewBox="0 0 {_SLOT * len(bars)} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(summary)}">{drawn}</svg></div>'
        f"<div class=axis>{''.join(f'<span>{escape(label)}</span>' for label in _ticks(bars))}</div></figure>"
    )


def lying_bars(before: int, after: int, highest: int) -> str:
    """A pair of bars to lie in a cell, beside the values, which are its text alternative."""
    drawn = "".join(
        f'<rect class={kind} x="0" y="{top}" width="{max(value, 0) * _WIDTH / max(highest, 1):.2f}" height="{_BAR}"/>'
        for kind, value, top in (("before", before, 1), ("after", after, 1 + _BAR))
    )
    return f'<svg viewBox="0 0 {_WIDTH} {_SLOT}" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'


def _totals(bars: Sequence[Bar], spoken: Callable[[int], str]) -> str:
    before, after = (sum(value or 0 for value in side) for side in zip(*((bar.before, bar.after) for bar in bars)))
    return f"{spoken(before)} before, {spoken(after)} after"


def _ticks(bars: Sequence[Bar]) -> list[str]:
    labels = [bar.label for bar in bars]
    return list(dict.fromkeys([labels[0], labels[len(labels) // 2], labels[-1]]))


def _pair(number: int, bar: Bar, highest: int, spoken: Callable[[int], str]) -> str:
    told = " → ".join("none" if value is None else spoken(value) for value in (bar.before, bar.after))
    left = number * _SLOT + 1
    before = _bar("before", left, bar.before, highest)
    after = _bar("after", left + _BAR, bar.after, highest)
    return f"<g><title>{escape(bar.label)}: {escape(told)}</title>{before}{after}</g>"


def _bar(kind: str, left: int, value: Optional[int], highest: int) -> str:
    if value is None or value <= 0:
        return ""
    height = value * _HEIGHT / highest
    return f'<rect class={kind} x="{left}" y="{_HEIGHT - height:.2f}" width="{_BAR}" height="{height:.2f}"/>'
