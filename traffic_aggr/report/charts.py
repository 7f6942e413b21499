"""
SVG bars of a value before and after: a chart by day, or a pair for a table cell.

The drawings stretch to the width of their container.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Optional

_SLOT, _BAR, _HEIGHT, _WIDTH = 10, 4, 100, 100
"""
In SVG units: the room for one pair of bars, the thickness of a bar, the height of the highest vertical bar, and the
length of the longest horizontal bar.
"""


@dataclass(frozen=True)
class Bar:
    """The value of one day ``before`` and ``after``; None if there is nothing to show."""

    label: str
    before: Optional[int]
    after: Optional[int]


def bar_chart(title: str, bars: Sequence[Bar], spoken: Callable[[int], str]) -> str:
    """
    Returns a figure with a pair of bars for each day, empty if no value is above 0.

    ``spoken`` formats a value with its unit. Colours differ in lightness as well as in hue. Each pair has a text
    alternative, and so does the whole chart.
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
    """Returns a pair of horizontal bars for a table cell. The values beside it are its text alternative."""
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
