"""The charts of a report: bars whose lengths are the values, with everything said in words as well."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from traffic_aggr.report.charts import Bar, bar_chart, lying_bars

RECT = re.compile(r'<rect class=(more|less) x="[0-9]+" y="([0-9.]+)" width="8" height="([0-9.]+)"/>')
HOSTILE = '<b a="1">&'


def svg(html: str) -> ElementTree.Element:
    """The drawing in a figure, whose attributes HTML may leave unquoted and XML may not."""
    drawn = html[html.index("<svg") : html.index("</svg>") + len("</svg>")]
    return ElementTree.fromstring(
        drawn.replace("class=before", 'class="before"').replace("class=after", 'class="after"')
    )


def heights(html: str) -> list[tuple[str, float]]:
    return [(each.attrib["class"], float(each.attrib["height"])) for each in svg(html).iter("rect")]


def spoken(value: int) -> str:
    return f"{value} B"


def test_the_highest_value_is_as_high_as_the_drawing_and_others_in_proportion() -> None:
    drawn = bar_chart("Usage", [Bar("04-01", 50, 200), Bar("04-02", 100, 0)], spoken)
    assert heights(drawn) == [("before", 25), ("after", 100), ("before", 50)]


def test_bars_stand_on_the_ground() -> None:
    for bar in svg(bar_chart("Usage", [Bar("04-01", 50, 200)], spoken)).iter("rect"):
        assert float(bar.attrib["y"]) + float(bar.attrib["height"]) == 100


def test_what_is_missing_or_negative_has_no_bar_and_is_said() -> None:
    drawn = bar_chart("Usage", [Bar("04-01", None, 7), Bar("04-02", -3, 7)], spoken)
    assert heights(drawn) == [("after", 100), ("after", 100)]
    titles = [each.text for each in svg(drawn).iter("title")]
    assert titles == ["04-01: none → 7 B", "04-02: -3 B → 7 B"]


@pytest.mark.parametrize("bars", [[], [Bar("04-01", None, None)], [Bar("04-01", 0, -1)]])
def test_nothing_to_show_is_no_chart(bars: list[Bar]) -> None:
    assert bar_chart("Usage", bars, spoken) == ""


def test_the_whole_chart_is_said_in_words() -> None:
    drawn = bar_chart("Usage", [Bar("04-01", 1, 2), Bar("04-02", None, 3)], spoken)
    assert svg(drawn).attrib["aria-label"] == "Usage, 04-01 to 04-02: 1 B before, 5 B after, +400.0 %"


def test_differences_swing_from_the_middle_up_for_more_and_down_for_less() -> None:
    bars = [Bar("04-01", 50, 150), Bar("04-02", 60, 10), Bar("04-03", 5, 5), Bar("04-04", None, 25)]
    _, drawn = bar_chart("Usage", bars, spoken).split("<div class='plot differences'>")
    rects = [(kind, float(y), float(height)) for kind, y, height in RECT.findall(drawn)]
    assert rects == [("more", 0, 50), ("less", 50, 25), ("more", 37.5, 12.5)]
    assert "difference, at most 100 B in a bar; 3 of 4 differ" in drawn
    assert "04-02: -50 B" in drawn
    assert "04-01: +100 B" in drawn


def test_days_that_are_alike_have_no_differences_to_draw() -> None:
    assert "difference" not in bar_chart("Usage", [Bar("04-01", 5, 5)], spoken)


@pytest.mark.parametrize(
    ("days", "labels"), [(1, ["1"]), (2, ["1", "2"]), (3, ["1", "2", "3"]), (30, ["1", "16", "30"])]
)
def test_the_axis_names_first_middle_and_last(days: int, labels: list[str]) -> None:
    drawn = bar_chart("Usage", [Bar(str(day), 1, 1) for day in range(1, days + 1)], spoken)
    axis = drawn[drawn.index("<div class=axis>") :]
    assert [each.partition("<")[0] for each in axis.split("<span>")[1:]] == labels


def test_names_are_no_markup() -> None:
    drawn = bar_chart(HOSTILE, [Bar(HOSTILE, 1, 2)], lambda value: HOSTILE)
    assert HOSTILE not in drawn
    assert HOSTILE in svg(drawn).attrib["aria-label"]


@pytest.mark.parametrize(
    ("before", "after", "highest", "widths"),
    [(5, 10, 10, [50, 100]), (0, 0, 0, [0, 0]), (-5, 10, 20, [0, 50])],
)
def test_a_pair_in_a_cell_is_as_long_as_its_values(before: int, after: int, highest: int, widths: list[float]) -> None:
    drawn = svg(lying_bars(before, after, highest))
    assert [float(bar.attrib["width"]) for bar in drawn.iter("rect")] == widths
