"""Results as tables and a chart, for ``docs/performance.md``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

OURS, THEIRS = "#0072b2", "#b9b9b9"
_GIB = 1024**3
_HOUR, _BILLION = 3600, 1_000_000_000
_HEADS = ("", "seconds", "from, to", "ratio", "CPU seconds", "core-hours per billion CDRs", "peak GiB")


@dataclass(frozen=True)
class Line:
    """A contender's cost: wall-clock seconds (median, least, most), CPU seconds, and bytes of memory at the peak."""

    title: str
    wall: float
    least: float
    most: float
    cpu: float
    memory: int

    @property
    def is_ours(self) -> bool:
        return self.title.startswith("traffic_aggr")


def table(lines: Sequence[Line], cdrs: int) -> list[str]:
    """Returns a Markdown table of what ``cdrs`` raw rows cost. Ratios are to the first line."""
    first = lines[0].wall
    found = [
        [
            line.title,
            f"{line.wall:.1f}",
            f"{line.least:.1f} to {line.most:.1f}",
            f"{line.wall / first:.2f}",
            f"{line.cpu:.0f}",
            f"{line.cpu / _HOUR * _BILLION / cdrs:.1f}",
            f"{line.memory / _GIB:.1f}",
        ]
        for line in lines
    ]
    return [f"| {' | '.join(cells)} |" for cells in (_HEADS, ["---"] * len(_HEADS), *found)]


def picture(lines: Sequence[Line]) -> str:
    """Returns a bar chart of the wall-clock seconds, as SVG."""
    longest = max(line.wall for line in lines)
    drawn = []
    for number, line in enumerate(lines):
        top, width = 10 + 30 * number, 380 * line.wall / longest
        drawn += [
            f'<text x="290" y="{top + 15}" text-anchor="end">{escape(line.title)}</text>',
            f'<rect x="300" y="{top}" width="{width:.1f}" height="20" fill="{OURS if line.is_ours else THEIRS}"/>',
            f'<text x="{306 + width:.1f}" y="{top + 15}">{line.wall:.0f} s</text>',
        ]
    words = "; ".join(f"{line.title} {line.wall:.0f} s" for line in lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 {20 + 30 * len(lines)}" role="img" '
        f'font-family="sans-serif" font-size="14"><title>{escape(words)}</title>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(drawn)}</svg>\n'
    )


def write_block(page: Path, name: str, lines: Sequence[str]) -> None:
    """Replaces what an earlier benchmark put into ``page`` between the markers for ``name``."""
    begin, end = (f"<!-- {word} of what `python -m bench` made: {name} -->" for word in ("begin", "end"))
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    assert found, f"{page} has no place for {name}"
    assert found_end, f"{page} has no place for {name}"
    page.write_text(before + "\n".join([begin, *lines, end]) + after, encoding="utf-8")
