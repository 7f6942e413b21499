"""Turns a mail into HTML that phones show well: what happened and what to do first."""

from __future__ import annotations

from html import escape


def mail_page(text: str) -> str:
    """
    Returns the text as HTML.

    The first line becomes the heading. Each line up to the first empty one becomes a paragraph; in ``Label: words`` the
    label goes above the words. The rest keeps its line breaks.
    """
    summary, _, details = text.partition("\n\n")
    heading, *answers = summary.split("\n")
    return (
        '<html><body style="font: 16px/1.4 sans-serif; color: #1b1b1b; max-width: 44em; overflow-wrap: anywhere">'
        f'<p style="font-size: 20px; font-weight: bold">{escape(heading)}</p>'
        f"{''.join(map(_answer, answers))}"
        f'<pre style="font-size: 13px; white-space: pre-wrap">{escape(details)}</pre></body></html>'
    )


def _answer(line: str) -> str:
    label, colon, words = line.partition(": ")
    return f"<p><b>{escape(label)}</b><br>{escape(words)}</p>" if colon else f"<p>{escape(line)}</p>"
