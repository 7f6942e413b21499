"""
What pages are made of: templates with one style sheet, tables and lists, escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template
from typing import Optional


def rendered(template: str, title: str, **parts: str) -> str:
    """Returns a self-contained page with the template of its body filled in; ``title`` and ``parts`` are HTML."""
    body = Template(_read(template)).substitute(title=title, **parts)
    return Template(_read("page.html")).substitute(style=_read("style.css"), title=title, body=body)


def _read(name: str) -> str:
    return resources.files("traffic_aggr.report").joinpath(name).read_text(encoding="utf-8")


class Markup(str):
    """Text that is already HTML, so it is not escaped."""


@dataclass(frozen=True)
class Row:
    """A row of a table. ``kind`` is a class of the style sheet."""

    cells: Sequence[object]
    kind: str = ""


def table(
    heads: Sequence[str],
    rows: Iterable[Row],
    kind: str = "words",
    *,
    caption: str = "",
    total: Optional[Sequence[object]] = None,
) -> str:
    """
    Returns a table whose first column names its rows, with a row ``total`` at its end.

    Leaves out columns in which no row has anything: a run that failed early has few totals. ``kind`` is a class of the
    style sheet, whose columns from the third on, ``numbers``, or from the second on, ``amounts``, are numbers.
    """
    found = list(rows)
    if not found:
        return "<p>None.</p>"
    columns = [number for number in range(len(heads)) if any(_has(row, number) for row in found)]
    right_from = {"numbers": 2, "amounts": 1}.get(kind.partition(" ")[0], len(heads))

    def line(cells: Sequence[object], row_kind: str = "") -> str:
        shown = [(number, cells[number] if number < len(cells) else "") for number in columns]
        return _line(shown, right_from, row_kind)

    head = "".join(f"<th scope=col{_right(number, right_from)}>{escape(heads[number])}</th>" for number in columns)
    body = "".join(line(row.cells, row.kind) for row in found)
    foot = f"<tfoot>{line(total)}</tfoot>" if total else ""
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    whole = f"<table class='{kind}'>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>{foot}</table>"
    return f"<div class=wide tabindex=0>{whole}</div>"


def _has(row: Row, number: int) -> bool:
    return number < len(row.cells) and row.cells[number] != ""


def _line(cells: Sequence[tuple[int, object]], right_from: int, kind: str) -> str:
    (_, first), *others = cells
    values = "".join(f"<td{_right(number, right_from)}>{_text(value)}</td>" for number, value in others)
    return f"<tr{f' class={kind}' if kind else ''}><th scope=row>{_text(first)}</th>{values}</tr>"


def _right(number: int, right_from: int) -> str:
    return " class=right" if number >= right_from else ""


def _text(value: object) -> str:
    return value if isinstance(value, Markup) else escape(str(value))


def definitions(pairs: Iterable[tuple[str, object]]) -> str:
    """Returns names with their values; leaves out those without one."""
    found = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in pairs if value)
    return f"<dl>{found}</dl>" if found else ""


def listing(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in sentences)}</ul>" if sentences else ""


def sections(parts: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """Returns links to the sections, and the sections: each with its title, except those without content."""
    found = [(re.sub(r"[^a-z0-9]+", "-", title.lower()), title, content) for title, content in parts if content]
    links = " ".join(f"<a href='#{name}'>{escape(title)}</a>" for name, title, _ in found)
    return links, "".join(f"<h2 id='{name}'>{escape(title)}</h2>\n{content}\n" for name, title, content in found)
