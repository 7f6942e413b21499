from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Union

import pytest

from tests.support.paths import ROOT
from traffic_aggr.units import counted, data_volume, duration, listed, local_time, local_zone, percent_change

SOURCES = sorted((ROOT / "traffic_aggr").rglob("*.py"))
PLURAL = (
    r" ((raw |bad )?(alert|attempt|byte|day|file|line|partition|problem|row|statement|task)s\b(?!/)"
    r"|directories|others|REFRESHes)"
)
"""A noun that is wrong where the count before it is 1."""


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [
        (0, ("day",), "0 days"),
        (1, ("day",), "1 day"),
        (2, ("day",), "2 days"),
        (1200, ("bad line",), "1,200 bad lines"),
        (1, ("directory", "directories"), "1 directory"),
        (0, ("directory", "directories"), "0 directories"),
        (2, ("REFRESH", "REFRESHes"), "2 REFRESHes"),
    ],
)
def test_a_count_has_its_noun_in_the_right_number(count: int, words: tuple[str, ...], text: str) -> None:
    assert counted(count, *words) == text


def texts(path: Path) -> Iterator[str]:
    """The texts in a source, each f-string as one, with ``%s`` for what it puts in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "%s" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_no_message_has_a_count_before_a_plural_of_its_own() -> None:
    found = [text for path in SOURCES for text in texts(path) if re.search(f"%[ds]{PLURAL}", text)]
    assert found == []


@pytest.mark.parametrize(
    ("many", "parts", "text"),
    [
        ("0 days", {}, "0 days listed"),
        ("1 month", {"kept": 1}, "1 month listed: 1 kept"),
        ("5,001 days", {"restated": 5000, "kept": 0, "refused": 1}, "5,001 days listed: 5,000 restated, 1 refused"),
    ],
)
def test_what_is_listed_is_told_apart_by_what_became_of_it(many: str, parts: dict[str, int], text: str) -> None:
    assert listed(many, parts) == text


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("2021-05-04T02:02:00.999+00:00", "2021-05-04 07:32:00 UTC+05:30"),
        ("2021-05-04T02:02:00Z", "2021-05-04 07:32:00 UTC+05:30"),
        (datetime(2021, 5, 4, 2, 2, tzinfo=timezone.utc), "2021-05-04 07:32:00 UTC+05:30"),
        ("2021-05-04 07:32:00", "2021-05-04 07:32:00 UTC+05:30"),
        ("", ""),
        ("yesterday", "yesterday"),
    ],
    ids=["of a record", "with a Z", "as a value", "of the status file", "none", "no time"],
)
def test_a_time_is_said_in_the_zone_of_the_host_which_is_named(time: Union[str, datetime], text: str) -> None:
    assert local_time(time) == text
    assert local_zone() == "UTC+05:30"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1,023 bytes"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1024, "1023.0 KiB"),
        (1024**2, "1.0 MiB"),
        (1024**4 * 14 // 10, "1.4 TiB"),
        (1024**6, "1024.0 PiB"),
        (-2048, "-2.0 KiB"),
    ],
)
def test_a_volume_is_in_the_largest_unit_that_leaves_one_or_more(count: int, text: str) -> None:
    assert data_volume(count) == text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [(1000, 1073, "+7.3 %"), (1000, 500, "-50.0 %"), (1000, 1000, "+0.0 %"), (0, 7, ""), (5, 0, "-100.0 %")],
)
def test_a_change_has_its_sign(before: int, after: int, text: str) -> None:
    assert percent_change(before, after) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (60, "1 min 00 s"),
        (185.2, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (4320, "1 h 12 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_a_duration_is_as_precise_as_it_is_long(seconds: float, text: str) -> None:
    assert duration(seconds) == text
