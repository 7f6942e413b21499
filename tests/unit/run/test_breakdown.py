"""The breakdown of a change: which values are shown, in which order, and that nothing is lost in the rest."""

from __future__ import annotations

import json

from tests.support.fakes import run_record
from traffic_aggr.run.breakdown import CUSTOMER, LATE, TOP, Breakdown, Part, Usage, compare
from traffic_aggr.run.record_json import record_from_json, record_to_json


def test_a_value_that_is_gone_or_new_has_no_usage_on_the_other_side() -> None:
    found = compare({CUSTOMER: {"gone": Usage(rows=1, bytes=5)}}, {CUSTOMER: {None: Usage(rows=2)}})[CUSTOMER]
    assert found.parts == [Part("gone", Usage(1, 0, 5), Usage()), Part(None, Usage(), Usage(2))]
    assert (found.others, found.rest) == (0, None)


def test_the_largest_change_of_data_voice_or_messages_comes_first() -> None:
    before = {CUSTOMER: {"data": Usage(bytes=10**12), "voice": Usage(voice_secs=100), "sms": Usage(sms=10)}}
    after = {CUSTOMER: {"data": Usage(bytes=11 * 10**11), "voice": Usage(voice_secs=50), "sms": Usage(sms=8)}}
    assert [part.value for part in compare(before, after)[CUSTOMER].parts] == ["voice", "sms", "data"]


def test_all_but_the_top_ones_are_summed() -> None:
    after = {LATE: {f"{number:02d}": Usage(1, 2, number, 3, 4) for number in range(TOP + 3)}}
    found = compare({}, after)[LATE]
    assert [part.value for part in found.parts] == [f"{number:02d}" for number in range(TOP + 2, 2, -1)]
    assert (found.others, found.rest) == (3, Part(None, Usage(), Usage(3, 6, 0 + 1 + 2, 9, 12)))


def test_a_breakdown_comes_back_from_the_record() -> None:
    found = Breakdown([Part(None, Usage(1), Usage(2, 3, 4, 5, 6))], 7, Part(None, Usage(), Usage(8)))
    record = run_record(breakdown={CUSTOMER: found, LATE: Breakdown([])})
    assert record_from_json(record_to_json(record), "here").breakdown == record.breakdown


def test_a_record_of_before_there_were_breakdowns_has_none() -> None:
    document = json.loads(record_to_json(run_record()))
    del document["breakdown"]
    assert record_from_json(json.dumps(document), "here").breakdown == {}
