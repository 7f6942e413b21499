"""
What pages are made of: templates with one style sheet, tables and lists, escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from string import Template


def rendered(template: str, title: str, **parts: str) -> str:
    """Returns a self-contained page with the template of its body filled in; ``title`` and ``parts`` are HTML."""
    body = Template(_read(template)).substitute(title=title, **parts)
    return Template(_read("page.html")).substitute(style=_read("style.css"), title=title, body=body)


def _read(name: str) -> str:
    return resources.files("traffic_aggr.report").joinpath(name).read_text(encoding="utf-8")


class Markup(str):
    """Text that is already HTML, so it is not escaped."""


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], kind: str = "words") -> str:
    """Returns a table whose first column names its rows. ``kind`` is a class of the style sheet."""
    head = "".join(f"<th scope=col>{escape(each)}</th>" for each in heads)
    body = "".join(map(_row, rows))
    if not body:
        return "<p>None.</p>"
    found = f"<table class='{kind}'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div class=wide tabindex=0>{found}</div>"


def _row(values: Sequence[object]) -> str:
    first, *others = map(_text, values)
    return f"<tr><th scope=row>{first}</th>{''.join(f'<td>{value}</td>' for value in others)}</tr>"


def _text(value: object) -> str:
    return value if isinstance(value, Markup) else escape(str(value))


def definitions(pairs: Iterable[tuple[str, object]]) -> str:
    """Returns names with their values; leaves out those without one."""
    found = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in pairs if value)
    return f"<dl>{found}</dl>" if found else ""


def listing(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in sentences)}</ul>" if sentences else ""
