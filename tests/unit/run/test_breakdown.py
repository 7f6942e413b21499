"""The breakdown of a change: which values are shown, in which order, and that nothing is lost in the rest."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Optional

from tests.support.fakes import run_record
from tests.support.totals import usage
from traffic_aggr.run.breakdown import TOP, Breakdown, Part, compare
from traffic_aggr.run.record_json import record_from_json, record_to_json
from traffic_aggr.run.totals import Totals
from traffic_aggr.traffic.job import TRAFFIC


def test_a_value_that_is_gone_or_new_has_no_usage_on_the_other_side() -> None:
    before, after = {"customer": {"gone": usage(rows=1, bytes=5)}}, {"customer": {None: usage(rows=2)}}
    found = compare(before, after, TRAFFIC.names)["customer"]
    assert found.parts == [Part("gone", usage(1, 0, 5), usage()), Part(None, usage(), usage(2))]
    assert (found.others, found.rest) == (0, None)


def test_the_largest_change_of_any_total_comes_first() -> None:
    def customers(data: int, voice: int, sms: int, cost: str) -> dict[Optional[str], Totals]:
        amounts = usage(bytes=data), usage(voice_secs=voice), usage(sms=sms), usage(whole_sale_cost_2=Decimal(cost))
        return dict(zip(("data", "voice", "sms", "cost"), amounts))

    before, after = customers(10**12, 100, 10, "10.0"), customers(11 * 10**11, 50, 8, "13.0")
    found = compare({"customer": before}, {"customer": after}, TRAFFIC.names)["customer"]
    assert [part.value for part in found.parts] == ["voice", "cost", "sms", "data"]


def test_all_but_the_top_ones_are_summed() -> None:
    after = {
        "late_calldate": {
            f"{number:02d}": usage(1, 2 * number, number, 3 * number, 4 * number) for number in range(TOP + 3)
        }
    }
    found = compare({}, after, TRAFFIC.names)["late_calldate"]
    assert [part.value for part in found.parts] == [f"{number:02d}" for number in range(TOP + 2, 2, -1)]
    assert (found.others, found.rest) == (3, Part(None, usage(), usage(3, 6, 0 + 1 + 2, 9, 12)))


def test_a_breakdown_comes_back_from_the_record() -> None:
    found = Breakdown([Part(None, usage(1), usage(2, 3, 4, 5, 6))], 7, Part(None, usage(), usage(8)))
    record = run_record(breakdown={"customer": found, "late_calldate": Breakdown([])})
    assert record_from_json(record_to_json(record), "here", TRAFFIC).breakdown == record.breakdown


def test_a_record_of_before_there_were_breakdowns_has_none() -> None:
    document = json.loads(record_to_json(run_record()))
    del document["breakdown"]
    assert record_from_json(json.dumps(document), "here", TRAFFIC).breakdown == {}
