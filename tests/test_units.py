from __future__ import annotations

import pytest

from traffic_aggr.units import data_volume, duration, percent_change


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KB"),
        (1536, "1.5 KB"),
        (1024**2 - 1024, "1023.0 KB"),
        (1024**2, "1.0 MB"),
        (1024**4 * 14 // 10, "1.4 TB"),
        (1024**6, "1024.0 PB"),
        (-2048, "-2.0 KB"),
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
