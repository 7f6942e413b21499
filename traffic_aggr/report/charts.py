"""
SVG bars of a value before and after: a chart by day, or a pair for a table cell.

The drawings stretch to the width of their container.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Optional

from traffic_aggr.run.totals import Number
from traffic_aggr.units import percent_change

Spoken = Callable[[Any], str]
"""Formats a value with its unit."""

_SLOT, _BAR, _HEIGHT, _WIDTH = 10, 4, 100, 100
"""
In SVG units: the room for one pair of bars, the thickness of a bar, the height of the highest vertical bar, and the
length of the longest horizontal bar.
"""


@dataclass(frozen=True)
class Bar:
    """The value of one day ``before`` and ``after``; None if there is nothing to show."""

    label: str
    before: Optional[Number]
    after: Optional[Number]


def bar_chart(title: str, bars: Sequence[Bar], spoken: Spoken) -> str:
    """
    Returns a figure with a pair of bars for each day; empty if no value is above 0.

    A second plot has the differences, where there are any. Colours differ in lightness as well as in hue. Each pair has
    a text alternative, and so does each plot.
    """
    values = [value for bar in bars for value in (bar.before, bar.after) if value is not None]
    highest = max(values, default=0)
    if highest <= 0:
        return ""
    summary = f"{title}, {bars[0].label} to {bars[-1].label}: {_totals(bars, spoken)}"
    drawn = "".join(_pair(number, bar, highest, spoken) for number, bar in enumerate(bars))
    return (
        f"<figure><figcaption><b>{escape(title)}</b> {escape(_totals(bars, spoken))}</figcaption>"
        f"{_plot(spoken(highest), summary, drawn, len(bars))}{_differences(title, bars, spoken)}"
        f"<div class=axis>{''.join(f'<span>{escape(label)}</span>' for label in _ticks(bars))}</div></figure>"
    )


def _plot(scale: str, summary: str, drawn: str, count: int, kind: str = "") -> str:
    return (
        f"<div class=scale>{escape(scale)}</div><div class='plot{kind}'>"
        f'<svg viewBox="0 0 {_SLOT * count} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(summary)}">{drawn}</svg></div>'
    )


def _differences(title: str, bars: Sequence[Bar], spoken: Spoken) -> str:
    """Returns a second plot with what each day gained above the line, and what it lost below; empty without any."""
    found = [_difference(bar) for bar in bars]
    largest = max(max(found), -min(found))
    if largest == 0:
        return ""
    scale = f"difference, at most {spoken(largest)}"
    days = sum(map(bool, found))
    summary = f"{title}, {scale} in a bar; {days} of {len(bars)} differ"
    drawn = "".join(
        f"<g><title>{escape(bar.label)}: {escape(signed(change, spoken))}</title>{_swing(number, change, largest)}</g>"
        for number, (bar, change) in enumerate(zip(bars, found))
        if change
    )
    return _plot(scale, summary, drawn, len(bars), " differences")


def _difference(bar: Bar) -> Number:
    return (bar.after or 0) - (bar.before or 0)


def _swing(number: int, change: Number, largest: Number) -> str:
    middle = _HEIGHT / 2
    height = float(change if change > 0 else -change) / float(largest) * middle
    kind, top = ("more", middle - height) if change > 0 else ("less", middle)
    return f'<rect class={kind} x="{number * _SLOT + 1}" y="{top:.2f}" width="{2 * _BAR}" height="{height:.2f}"/>'


def signed(difference: Number, spoken: Spoken) -> str:
    """A difference with its sign, and its unit as ``spoken`` has it: ``+1.5 GiB``, ``-3``, ``0``."""
    return f"{'+' if difference > 0 else ''}{spoken(difference)}" if difference else "0"


def lying_bars(before: int, after: int, highest: int) -> str:
    """Returns a pair of horizontal bars for a table cell. The values beside it are its text alternative."""
    drawn = "".join(
        f'<rect class={kind} x="0" y="{top}" width="{max(value, 0) * _WIDTH / max(highest, 1):.2f}" height="{_BAR}"/>'
        for kind, value, top in (("before", before, 1), ("after", after, 1 + _BAR))
    )
    return f'<svg viewBox="0 0 {_WIDTH} {_SLOT}" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'


def _totals(bars: Sequence[Bar], spoken: Spoken) -> str:
    before, after = (sum(value or 0 for value in side) for side in zip(*((bar.before, bar.after) for bar in bars)))
    change = percent_change(before, after)
    return f"{spoken(before)} before, {spoken(after)} after{f', {change}' if change else ''}"


def _ticks(bars: Sequence[Bar]) -> list[str]:
    labels = [bar.label for bar in bars]
    return list(dict.fromkeys([labels[0], labels[len(labels) // 2], labels[-1]]))


def _pair(number: int, bar: Bar, highest: Number, spoken: Spoken) -> str:
    told = " → ".join("none" if value is None else spoken(value) for value in (bar.before, bar.after))
    left = number * _SLOT + 1
    before = _bar("before", left, bar.before, highest)
    after = _bar("after", left + _BAR, bar.after, highest)
    return f"<g><title>{escape(bar.label)}: {escape(told)}</title>{before}{after}</g>"


def _bar(kind: str, left: int, value: Optional[Number], highest: Number) -> str:
    if value is None or value <= 0:
        return ""
    height = float(value / highest) * _HEIGHT
    return f'<rect class={kind} x="{left}" y="{_HEIGHT - height:.2f}" width="{_BAR}" height="{height:.2f}"/>'
