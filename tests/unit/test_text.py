"""Text on one line: first lines of errors, and the first of many things."""

from __future__ import annotations

import pytest

from traffic_aggr.text import first_line, some_of


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("first\nsecond"), "first"),
        (ValueError("\n  first  \n"), "first"),
        (ValueError(), "ValueError"),
        ("text", "text"),
    ],
)
def test_the_first_line_of_an_error_is_its_text_or_its_name(error: object, line: str) -> None:
    assert first_line(error) == line


@pytest.mark.parametrize(
    ("count", "separator", "text"),
    [
        (0, "; ", ""),
        (2, "; ", "0; 1"),
        (3, "; ", "0; 1; 2"),
        (4, "; ", "0; 1; 2; and 1 more"),
        (1204, ", ", "0, 1, 2 and 1,201 more"),
    ],
)
def test_the_first_things_are_shown_and_the_others_counted(count: int, separator: str, text: str) -> None:
    assert some_of(range(count), 3, separator) == text
