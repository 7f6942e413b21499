"""The breakdown of a change: which values are shown, in which order, and that nothing is lost in the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Optional

import pytest

from tests.support.fakes import run_record
from tests.support.totals import usage
from traffic_aggr.run.breakdown import TOP, Breakdown, Cells, Part, UsageBy, compare
from traffic_aggr.run.record_json import record_from_json, record_to_json
from traffic_aggr.run.totals import Totals
from traffic_aggr.traffic.job import TRAFFIC


def by(dimension: str, values: Mapping[Optional[str], Totals]) -> UsageBy:
    """Usage by the values of one dimension, which is not split by partition."""
    return UsageBy({dimension: {(value, None): totals for value, totals in values.items()}})


def test_a_value_that_is_gone_or_new_has_no_usage_on_the_other_side() -> None:
    before, after = by("customer", {"gone": usage(rows=1, bytes=5)}), by("customer", {None: usage(rows=2)})
    found = compare(before, after, TRAFFIC.names)["customer"]
    assert found.parts == [Part("gone", usage(1, 0, 5), usage()), Part(None, usage(), usage(2))]
    assert (found.others, found.rest) == (0, None)


def test_the_largest_change_of_any_total_comes_first() -> None:
    def customers(data: int, voice: int, sms: int, cost: str) -> dict[Optional[str], Totals]:
        amounts = usage(bytes=data), usage(voice_secs=voice), usage(sms=sms), usage(whole_sale_cost_2=Decimal(cost))
        return dict(zip(("data", "voice", "sms", "cost"), amounts))

    before, after = customers(10**12, 100, 10, "10.0"), customers(11 * 10**11, 50, 8, "13.0")
    found = compare(by("customer", before), by("customer", after), TRAFFIC.names)["customer"]
    assert [part.value for part in found.parts] == ["voice", "cost", "sms", "data"]


def test_all_but_the_top_ones_are_summed() -> None:
    after = {f"{number:02d}": usage(1, 2 * number, number, 3 * number, 4 * number) for number in range(TOP + 3)}
    found = compare(UsageBy({}), by("late_calldate", after), TRAFFIC.names)["late_calldate"]
    assert [part.value for part in found.parts] == [f"{number:02d}" for number in range(TOP + 2, 2, -1)]
    assert (found.others, found.rest) == (3, Part(None, usage(), usage(3, 6, 0 + 1 + 2, 9, 12)))


FIRST, SECOND = "2021-04-01", "2021-04-02"


def test_the_largest_changes_of_a_value_in_a_partition_are_told() -> None:
    before: Cells = {("Org", FIRST): usage(1, bytes=100), ("Org", SECOND): usage(1, bytes=90)}
    after: Cells = {("Org", FIRST): usage(1, bytes=101), ("Org", SECOND): usage(1, bytes=50), ("New", FIRST): usage(1)}
    after = {**after, ("same", FIRST): usage()}

    found = compare(UsageBy({"customer": before}), UsageBy({"customer": after}), TRAFFIC.names)["customer"]

    assert found.parts[0] == Part("Org", usage(2, bytes=190), usage(2, bytes=151))
    assert found.parts[1] == Part("New", usage(), usage(1))
    assert [(part.value, part.partition) for part in found.by_partition] == [
        ("Org", SECOND),
        ("Org", FIRST),
        ("New", FIRST),
    ]
    assert found.by_partition[0].after == usage(1, bytes=50)


def test_of_many_changes_in_a_partition_the_largest_are_told() -> None:
    after: Cells = {(str(number), day): usage(1, bytes=number) for number in range(TOP) for day in (FIRST, SECOND)}
    found = compare(UsageBy({}), UsageBy({"customer": after}), TRAFFIC.names)["customer"]
    assert [part.after["bytes"] for part in found.by_partition] == [9, 9, 8, 8, 7, 7, 6, 6, 5, 5]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(UsageBy({}), {("Org", FIRST): usage(1)}, id="one partition changed"),
        pytest.param(
            UsageBy({"customer": {("Org", FIRST): usage(1)}}),
            {("Org", FIRST): usage(1), ("Org", SECOND): usage(1)},
            id="the other is as it was",
        ),
        pytest.param(
            UsageBy({"customer": {("Org", None): usage(2)}}, is_split=False),
            {("Org", FIRST): usage(1), ("Org", SECOND): usage(2)},
            id="too many values before",
        ),
    ],
)
def test_what_says_no_more_than_the_values_themselves_is_not_told(before: UsageBy, after: Cells) -> None:
    assert compare(before, UsageBy({"customer": after}), TRAFFIC.names)["customer"].by_partition == []


def test_a_breakdown_comes_back_from_the_record() -> None:
    in_a_partition = [Part(None, usage(1), usage(2), FIRST)]
    rest = Part(None, usage(), usage(8))
    found = Breakdown([Part(None, usage(1), usage(2, 3, 4, 5, 6))], 7, rest, in_a_partition)
    record = run_record(breakdown={"customer": found, "late_calldate": Breakdown([])})
    assert record_from_json(record_to_json(record), "here", TRAFFIC).breakdown == record.breakdown


def test_a_record_of_before_there_were_breakdowns_has_none() -> None:
    document = json.loads(record_to_json(run_record()))
    del document["breakdown"]
    assert record_from_json(json.dumps(document), "here", TRAFFIC).breakdown == {}
