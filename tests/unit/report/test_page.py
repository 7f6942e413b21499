"""The report of a run: what its page, document and table say, and that nothing from outside gets into the markup."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any, Optional

import pytest

from tests.support.fakes import FIRST, RUN_ID, SECOND, run_record
from tests.support.reported_runs import succeeded
from tests.support.totals import grouped, raw, seen, usage
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.report.page import render_report, report_files
from traffic_aggr.run.breakdown import Breakdown, Part
from traffic_aggr.run.record import Change, Day, DayTotals, Next, Outcome, Publication, RunRecord, StepRecord
from traffic_aggr.run.result import advice, period, reasons, result_json, verdict
from traffic_aggr.run.totals import Totals
from traffic_aggr.traffic.job import TRAFFIC

HOSTILE = """</td><script>alert("x")</script>'&amp; $title ${facts} %s"""
KEEP_DAYS = 7
VOID = {"meta", "br"}
SVG_VOID = {"rect"}


class Page(HTMLParser):
    """The page's text by element, once every tag that was opened is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.tags: set[str] = set()
        self.labels: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        self.tags.add(tag)
        self.labels += [value or "" for name, value in attrs if name == "aria-label"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        assert tag in SVG_VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1], data.strip()))

    @property
    def cells(self) -> list[str]:
        """Of all tables, heads included."""
        return [text for element, text in self.texts if element in ("th", "td")]

    def all(self, tag: str) -> list[str]:
        return [text for element, text in self.texts if element == tag]


def html_of(record: RunRecord) -> str:
    return render_report(record, KEEP_DAYS)


def files_of(record: RunRecord) -> dict[str, str]:
    return report_files(record, KEEP_DAYS)


def test_the_page_links_to_the_run_before_on_these_days() -> None:
    linked = render_report(succeeded(), KEEP_DAYS, "20210501T020200Z-0a1b2c")
    assert '<a href="../20210501T020200Z-0a1b2c/report.html">The run before on these days</a>' in linked
    assert "The run before" not in html_of(succeeded())


def failed(publication: Publication) -> RunRecord:
    record = succeeded(outcome=Outcome.FAILED, publication=publication, error="drop failed; run again")
    for partition, of_day in record.totals.items():
        record.set_totals(partition, replace(of_day, final_after=None, impala=None, staging=None))
    return record


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        pytest.param(
            succeeded(),
            "2 days of April 2021 restated; data usage 2.0 TiB → 3.0 TiB; "
            "raw, staging, final and Impala agree on every day.",
            id="success",
        ),
        pytest.param(
            succeeded(seen_by_impala=False),
            "2 days of April 2021 restated; data usage 2.0 TiB → 3.0 TiB; raw, staging and final agree on every day.",
            id="without Impala",
        ),
        pytest.param(
            succeeded(days={FIRST: Day("home", "kept", new="staged"), SECOND: Day("home", "kept")}),
            "2021-04-01 restated, 1 day cleared; data usage 2.0 TiB → 3.0 TiB; "
            "raw, staging, final and Impala agree on every day.",
            id="one cleared",
        ),
        pytest.param(
            succeeded(False, days={day: Day("home", "kept") for day in (FIRST, SECOND)}),
            "2 days cleared; data usage 2.0 TiB → 3.0 TiB; no rows in raw and final.",
            id="all cleared",
        ),
        pytest.param(
            succeeded(days={FIRST: Day("home", "kept", new="staged")}, kept=[SECOND]),
            "2021-04-01 restated, 1 day kept; data usage 1.0 TiB → 2.0 TiB; "
            "raw, staging, final and Impala agree on every day.",
            id="one kept",
        ),
        pytest.param(
            succeeded(days={}, kept=[FIRST, SECOND], publication=Publication.UNTOUCHED),
            "Nothing to restate (2 days listed: 2 kept).",
            id="all kept",
        ),
        pytest.param(run_record(outcome=Outcome.SUCCESS), "Nothing to restate (0 days listed).", id="empty_list: ok"),
        pytest.param(
            succeeded(False, only_verifies=True, resumes="R"),
            "2 days of April 2021 verified, as loaded by run R; data usage 2.0 TiB → 3.0 TiB; "
            "raw, staging and final agree on every day (raw as that run read it).",
            id="verified only",
        ),
        pytest.param(failed(Publication.RESTORED), "drop failed; run again", id="failed"),
        pytest.param(run_record(outcome=Outcome.INTERRUPTED), "The run was interrupted.", id="died"),
        pytest.param(
            run_record(outcome=Outcome.SUCCESS, rolls_back="R", partitions=[FIRST, SECOND]),
            "Old data is back in place for 2 days, as before run R.",
            id="rollback",
        ),
    ],
)
def test_the_verdict_is_a_sentence_at_the_top(record: RunRecord, sentence: str) -> None:
    assert verdict(record) == sentence
    assert Page(html_of(record)).all("p")[0] == sentence


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(run_record(), id="a record with the least"),
        pytest.param(succeeded(), id="a success"),
        pytest.param(failed(Publication.WITHDRAWN), id="a failure"),
        pytest.param(run_record(totals={FIRST: DayTotals()}), id="no totals yet"),
    ],
)
def test_every_run_has_a_report_whose_markup_is_whole(record: RunRecord) -> None:
    page = Page(html_of(record))
    assert page.all("p")[1].startswith(f"run {RUN_ID}: ")
    assert page.all("h2")[-5:] == ["Days", "Control totals", "Timeline", "Statements to Impala", "Provenance"]


def test_a_day_has_its_usage_before_and_after_and_the_change() -> None:
    cells = Page(html_of(succeeded())).cells
    row = cells[cells.index(FIRST) :][:14]
    assert row == [
        *(FIRST, "new", "✓", "+1.0 TiB", "+100.0 %", "1.0 TiB", "2.0 TiB", "0", "0", "+1,227", "+90"),
        *("56,789", "89", "3"),
    ]
    whole = cells[cells.index("Total") :][:14]
    assert whole == [
        *("Total", "+1.0 TiB", "+50.0 %", "2.0 TiB", "3.0 TiB", "0", "0", "+2,454", "+180"),
        *("113,578", "178", "6", "Day", "Stage"),
    ]


def test_amounts_are_a_measure_of_their_own() -> None:
    record = succeeded()
    old, new = (grouped(rows=1, whole_sale_cost_1=Decimal(cost), bytes=5) for cost in ("10.500000", "12.600000"))
    record.set_totals(FIRST, replace(record.totals[FIRST], final_before=old, final_after=new))
    page = Page(html_of(record))
    assert "whole_sale_cost_1, 2021-04-01 to 2021-04-02: 10.500000 before, 12.600000 after, +20.0 %" in page.labels
    assert page.cells[page.cells.index(FIRST) :][:3] == [FIRST, "+2.100000", "+20.0 %"]
    assert page.all("caption")[0].endswith("1 day without change not listed.")


def test_a_day_without_change_is_grey_and_one_that_differs_is_marked() -> None:
    record = succeeded()
    record.set_totals(SECOND, replace(record.totals[SECOND], final_before=record.totals[SECOND].final_after))
    html = html_of(record)
    assert f"<tr class=same><th scope=row>{SECOND}" in html
    assert f"<tr class=same><th scope=row>{FIRST}" not in html
    record.set_totals(FIRST, replace(record.totals[FIRST], impala=seen(1233, bytes=2 * 1024**4)))
    cells = Page(html_of(record)).cells
    assert cells[cells.index(FIRST) + 2] == "✗"
    assert cells[cells.index(SECOND) + 2] == "✓"


def test_the_contents_link_to_every_section() -> None:
    html = html_of(succeeded(breakdown={"customer": Breakdown([Part("Org One", usage(rows=5), usage(rows=9))])}))
    links = re.findall("<a href='#([a-z-]+)'>([^<]+)</a>", html)
    assert [name for name, _ in links] == re.findall("<h2 id='([a-z-]+)'>", html)
    assert [title for _, title in links] == Page(html).all("h2")
    assert "By customer" in Page(html).all("h2")


def test_columns_in_which_a_failed_run_has_nothing_are_left_out() -> None:
    cells = Page(html_of(failed(Publication.RESTORED))).cells
    assert [cell for cell in cells if cell.startswith("Data")] == ["Data before", "Data"]
    assert cells[cells.index("Total") :][:2] == ["Total", "2.0 TiB"]


def test_a_day_that_is_kept_counts_before_and_after() -> None:
    record = succeeded(kept=[SECOND])
    record.set_totals(SECOND, replace(record.totals[SECOND], final_after=None, impala=None))
    cells = Page(html_of(record)).cells
    assert cells[cells.index("Total") :][:5] == ["Total", "+1.0 TiB", "+50.0 %", "2.0 TiB", "3.0 TiB"]


def test_a_total_that_the_record_is_too_old_for_has_no_change() -> None:
    record = succeeded()
    before = record.totals[FIRST].final_before
    assert before is not None
    older = {name: value for name, value in before.sums.items() if name not in ("sms", "whole_sale_cost_1")}
    record.set_totals(FIRST, replace(record.totals[FIRST], final_before=Totals(before.rows, older)))
    page = Page(html_of(record))
    assert [text for text in page.all("b") if text in ("Data", "SMS", "whole_sale_cost_1")] == ["Data"]
    assert page.cells[page.cells.index(FIRST) :][7:10] == ["0", "+1,227", "+90"], "voice, rows and CDRs"


def test_each_stage_of_a_day_has_its_totals() -> None:
    cells = Page(html_of(succeeded())).cells
    assert [cells.count(stage) for stage in ("raw", "staging", "final")] == [2, 2, 2]


@pytest.mark.parametrize(
    ("publication", "word"),
    [
        (Publication.UNTOUCHED, "old"),
        (Publication.RESTORED, "old"),
        (Publication.WITHDRAWN, "not known"),
        (Publication.PUBLISHED, "new"),
    ],
)
def test_a_day_says_which_rows_it_has(publication: Publication, word: str) -> None:
    cells = Page(html_of(failed(publication))).cells
    assert cells[cells.index(FIRST) + 1] == word


def test_days_that_were_published_are_new_and_those_that_were_kept_are_old() -> None:
    record = succeeded()
    del record.days[SECOND]
    record.set_totals(SECOND, replace(record.totals[SECOND], final_after=None))
    record.kept = [SECOND]
    page = Page(html_of(record))
    cells = page.cells
    assert cells[cells.index(FIRST) + 1] == "new"
    assert cells[cells.index(SECOND) + 1] == "old, kept"
    assert "2 days listed: 1 restated, 1 kept" in page.all("dd")


def test_a_day_whose_old_data_is_gone_is_not_said_to_have_it() -> None:
    cells = Page(html_of(succeeded(publication=Publication.RESTORED, lost=[FIRST]))).cells
    assert (cells[cells.index(FIRST) + 1], cells[cells.index(SECOND) + 1]) == ("lost", "old")


def test_a_day_that_was_refused_is_shown_as_such() -> None:
    record = failed(Publication.UNTOUCHED)
    del record.days[SECOND]
    record.refused = [SECOND]
    page = Page(html_of(record))
    cells = page.cells
    assert cells[cells.index(SECOND) + 1] == "old, refused"
    assert "2 days listed: 1 refused, 1 unchanged" in page.all("dd")


def test_steps_and_the_changes_in_them_are_listed_as_they_came_with_what_they_took() -> None:
    def at(second: int) -> str:
        return f"2021-05-01T00:00:{second:02d}.000+00:00"

    record = succeeded(
        steps=[StepRecord("drop", at(0), at(9), Outcome.SUCCESS), StepRecord("stage", at(20))],
        changes=[Change("drop from the metastore", at(1), at(4)), Change("move old data aside", at(5))],
    )
    cells = Page(html_of(record)).cells
    rows = [
        ["2021-05-01 05:30:00 UTC+05:30", "drop", "9.0 s", "success"],
        ["2021-05-01 05:30:01 UTC+05:30", "— drop from the metastore", "3.0 s", "done"],
        ["2021-05-01 05:30:05 UTC+05:30", "— move old data aside", "not known"],
        ["2021-05-01 05:30:09 UTC+05:30", "after drop", "11.0 s"],
        ["2021-05-01 05:30:20 UTC+05:30", "stage", "running"],
    ]
    begin = cells.index(rows[0][0])
    assert cells[begin : begin + sum(map(len, rows))] == [cell for row in rows for cell in row]


def test_statements_to_impala_are_listed() -> None:
    sent = {"sql": "REFRESH mnaas.final", "host": "i1:21050", "attempts": 2, "seconds": 0.257, "outcome": "ok"}
    cells = Page(html_of(succeeded(impala=[sent]))).cells
    assert cells[cells.index("REFRESH mnaas.final") :][:5] == ["REFRESH mnaas.final", "i1:21050", "2", "0.26", "ok"]


def test_the_report_says_where_everything_came_from() -> None:
    record = succeeded(
        partitions_source="/data/days", partitions_digest="d1", config_digest="c1", tables={"raw": "mnaas.raw"}
    )
    told = Page(html_of(record)).all("dd")
    for fact in ("/data/days (2 days, sha256 d1)", "c1", "raw mnaas.raw", "mnaas@edge1, process 4711"):
        assert fact in told


def test_notes_and_skipped_lines_are_listed() -> None:
    page = Page(html_of(succeeded(notes=["a note"], skipped_lines=["line 3: WARN x"])))
    assert page.all("li")[-2:] == ["a note", "skipped line 3: WARN x"]


def hostile_record() -> RunRecord:
    record = failed(Publication.RESTORED)
    record.error = record.host = record.user = record.partitions_source = record.mode = HOSTILE
    record.application_id = record.resumes = record.config_digest = HOSTILE
    record.notes, record.skipped_lines = [HOSTILE], [HOSTILE]
    record.breakdown = {"customer": Breakdown([Part(HOSTILE, usage(), usage(rows=1))])}
    record.tables, record.versions = {HOSTILE: HOSTILE}, {HOSTILE: HOSTILE}
    record.steps, record.changes = [StepRecord(HOSTILE, record.started)], [Change(HOSTILE, record.started)]
    record.impala = [{"sql": HOSTILE, "host": HOSTILE, "attempts": 1, "seconds": 0.0, "outcome": HOSTILE}]
    return record


def test_nothing_from_outside_becomes_markup() -> None:
    page = Page(html_of(hostile_record()))
    assert "script" not in page.tags
    assert page.all("p")[0] == HOSTILE
    assert page.all("li") == [HOSTILE, f"skipped {HOSTILE}"]
    assert HOSTILE in page.cells


def test_the_page_needs_nothing_from_elsewhere() -> None:
    html = html_of(succeeded())
    assert "http" not in html
    assert Page(html).tags.isdisjoint({"script", "img", "link", "iframe"})


def test_usage_is_drawn_as_it_was_and_as_it_is_with_words_for_who_cannot_see_it() -> None:
    page = Page(html_of(succeeded()))
    assert "Data, 2021-04-01 to 2021-04-02: 2.0 TiB before, 3.0 TiB after, +50.0 %" in page.labels
    assert [text for text in page.all("title") if "→" in text][:2] == [
        "2021-04-01: 1.0 TiB → 2.0 TiB",
        "2021-04-02: 1.0 TiB → 1.0 TiB",
    ]


def test_the_change_is_shown_by_customer_with_the_rest_summed() -> None:
    parts = [
        Part("Org One", usage(rows=5, bytes=1024**4, voice_secs=600), usage(rows=9, bytes=2 * 1024**4, sms=3)),
        Part(None, usage(rows=2), usage(rows=2)),
    ]
    rest = Part(None, usage(rows=40, bytes=2048), usage(rows=30, bytes=1024))
    page = Page(html_of(succeeded(breakdown={"customer": Breakdown(parts, 1200, rest)})))
    assert "By customer" in page.all("h2")
    assert "By country" not in page.all("h2")
    cells = page.cells
    row = cells.index("Org One")
    costs = ["0"] * 5
    head = ["Org One", "+1.0 TiB", "+100.0 %", "1.0 TiB", "2.0 TiB", "-10 min", "+3", "+4"]
    assert cells[row : row + 14] == [*head, *costs, "NULL"]
    last = cells.index("1,200 others")
    head = ["1,200 others", "-1.0 KiB", "-50.0 %", "2.0 KiB", "1.0 KiB", "0", "0", "-10"]
    assert cells[last : last + 13] == [*head, *costs]
    assert cells[last + 13 : last + 16] == ["Total", "+1024.0 GiB", "+100.0 %"]


def test_the_largest_changes_of_one_customer_on_one_day_are_shown() -> None:
    parts = [Part("Org One", usage(rows=5, bytes=1024), usage(rows=9, bytes=3072))]
    on_days = [
        Part("Org One", usage(rows=2), usage(rows=5, bytes=1024), "2021-04-02"),
        Part(None, usage(rows=3, bytes=1024), usage(rows=4, bytes=2048), "2021-04-01"),
    ]
    page = Page(html_of(succeeded(breakdown={"customer": Breakdown(parts, by_partition=on_days)})))
    assert "By customer and day" in page.all("h2")
    cells = page.cells
    row = cells.index("2021-04-02", cells.index("Customer", cells.index("Customer") + 1))
    assert cells[row - 1 : row + 5] == ["Org One", "2021-04-02", "+1.0 KiB", "0 bytes", "1.0 KiB", "0"]
    row = cells.index("NULL")
    assert cells[row : row + 4] == ["NULL", "2021-04-01", "+1.0 KiB", "+100.0 %"]


def test_late_cdrs_and_keys_without_a_name_are_shown() -> None:
    late = Breakdown([Part("2021-03-31", usage(), usage(rows=4, cdrs=5, bytes=2048, voice_secs=120, sms=6))])
    page = Page(
        html_of(
            succeeded(breakdown={"late_calldate": late, "mcc_without_country": Breakdown([Part("", usage(), usage())])})
        )
    )
    cells = page.cells
    row = cells.index("2021-03-31")
    assert cells[row : row + 6] == ["2021-03-31", "4", "5", "2.0 KiB", "2 min", "6"]
    assert "(empty)" in cells


def day(before: Optional[Totals], after: Totals) -> DayTotals:
    return DayTotals(final_before=before, final_after=after, staging=replace(after, source_rows=99))


def test_the_report_tells_in_which_ways_days_had_been_wrong() -> None:
    usage = {"bytes": 2048, "voice_secs": 4, "sms": 2, "cdrs": 12}
    twice = {name: 2 * value for name, value in usage.items()}
    right, doubled = grouped(10, **usage), grouped(20, **twice)
    found = {
        "2021-04-01": grouped(9, **{**usage, "bytes": 1024}),
        "2021-04-02": doubled,
        "2021-04-03": grouped(10, **{**usage, "bytes": 3072}),
        "2021-04-04": None,
        "2021-04-05": right,
        "2021-04-06": grouped(20, **{**twice, "sms": 3}),
        "2021-04-07": grouped(8, **{**usage, "bytes": 1024}),
    }
    days = {Partition(name): day(before, right) for name, before in found.items()}
    record = succeeded(totals=days, partitions=list(days), days={each: Day("home", "kept") for each in days})
    assert reasons(record) == [
        "2 days were missing rows: 2021-04-01, 2021-04-07 (data 2.0 KiB → 4.0 KiB).",
        "1 day was counted twice: 2021-04-02 (data 4.0 KiB → 2.0 KiB).",
        "1 day had as many rows, but other values: 2021-04-03 (data 3.0 KiB → 2.0 KiB).",
        "1 day was missing: 2021-04-04 (data 0 bytes → 2.0 KiB).",
        "1 day had too many rows: 2021-04-06 (data 4.0 KiB → 2.0 KiB).",
        "1 day was already correct: 2021-04-05 (data 2.0 KiB → 2.0 KiB).",
    ]
    assert set(reasons(record)) <= set(Page(html_of(record)).all("li"))


def test_of_a_run_that_got_no_further_nothing_is_drawn() -> None:
    assert "svg" not in Page(html_of(failed(Publication.RESTORED))).tags


@pytest.mark.parametrize(
    ("does", "words"),
    [
        ("", "Fix the cause, then run traffic-aggr run --config /my.yaml."),
        ("starts over at drop", "Fix the cause, then run traffic-aggr run --config /my.yaml. It starts over at drop."),
    ],
)
def test_a_run_that_failed_says_where_the_data_is_and_what_to_run(does: str, words: str) -> None:
    record = failed(Publication.RESTORED)
    record.next = Next("traffic-aggr run --config /my.yaml", does)
    assert advice(record) == words
    assert Page(html_of(record)).all("dd")[:2] == [record.data_state, advice(record)]


def test_the_report_of_a_run_that_was_rolled_back_says_so_at_the_top() -> None:
    record = succeeded(rolled_back_by="20210506T020200Z-0a1b2c")
    page = Page(html_of(record))
    assert page.all("p")[1].startswith(f"run {record.run_id}: rolled back; started ")
    assert page.all("p")[0].startswith("Rolled back by run 20210506T020200Z-0a1b2c")
    assert "old data is in place again" in page.all("dd")[0]
    assert "new" not in {day["state"] for day in json.loads(result_json(record))["days"].values()}


def test_a_run_that_succeeded_leaves_nothing_to_do_and_says_how_to_take_it_back() -> None:
    record = succeeded(ended="2021-05-04T02:03:00.000+00:00")
    assert advice(record) == ""
    (how, *_) = Page(html_of(record)).all("dd")
    assert how == f"traffic-aggr rollback {record.run_id}, until 2021-05-11 07:33:00 UTC+05:30"


@pytest.mark.parametrize("values", [{"cleaned": "2021-05-09T00:00:00.000+00:00"}, {"continued_by": "R"}, {"days": {}}])
def test_a_run_that_cannot_be_taken_back_does_not_say_how(values: dict[str, Any]) -> None:
    assert "To take it back" not in Page(html_of(succeeded(**values))).all("dt")


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ([], "no days"),
        (["2021-04-01"], "2021-04-01"),
        (["2021-04-30", "2021-04-01"], "2 days of April 2021"),
        (["2021-05-02", "2021-04-28", "2021-04-30"], "3 days from 2021-04-28 to 2021-05-02"),
    ],
)
def test_days_are_named_by_their_month_where_they_are_of_one(days: list[str], words: str) -> None:
    assert period(TRAFFIC, [Partition(day) for day in days]) == words


def test_the_document_says_the_same_as_the_page() -> None:
    document = json.loads(files_of(succeeded())["report.json"])
    assert document["verdict"] == verdict(succeeded())
    assert document["outcome"] == "success"
    day = document["days"][FIRST]
    assert (day["raw"]["rows"], day["final_before"]["bytes"], day["impala"]["rows"]) == (56789, 1024**4, 1234)
    assert day["raw"]["whole_sale_cost_1"] == "0"


def test_differences_between_stages_are_told_exactly() -> None:
    record = succeeded()
    record.set_totals(FIRST, replace(record.totals[FIRST], impala=seen(1233, bytes=2 * 1024**4)))
    document = json.loads(files_of(record)["report.json"])
    assert "2021-04-01 rows: final 1234, impala 1233" in document["days"][FIRST]["differences"]
    assert "differs: 2021-04-01 rows: final 1234, impala 1233" in Page(html_of(record)).cells


def test_a_cleared_day_of_which_raw_or_final_has_rows_is_told() -> None:
    record = succeeded()
    record.totals[FIRST] = DayTotals(raw(rows=3, bytes=9), final_after=grouped(rows=1, bytes=5))
    told = json.loads(files_of(record)["report.json"])["days"][FIRST]["differences"]
    assert "2021-04-01 rows: raw 3, staging's source 0" in told
    assert "2021-04-01 bytes: staging 0, final 5" in told


def test_a_day_cleared_for_want_of_raw_rows_differs_in_nothing() -> None:
    record = succeeded()
    old, nothing = grouped(rows=1, bytes=5), grouped()
    record.totals[FIRST] = DayTotals(raw(), None, old, nothing, seen())
    assert json.loads(files_of(record)["report.json"])["days"][FIRST]["differences"] == []


def test_impalas_totals_stand_among_the_control_totals() -> None:
    record = succeeded()
    costs = {f"whole_sale_cost_{number}": Decimal(f"{number}.500000") for number in range(1, 6)}
    of_raw = seen(56789, bytes=5, voice_secs=6, sms=7, **costs)
    of_final = seen(1234, bytes=8, cdrs=90, voice_secs=9, sms=10, **costs)
    record.set_totals(FIRST, replace(record.totals[FIRST], impala_raw=of_raw, impala=of_final))
    page = Page(html_of(record))
    cells = page.cells
    texts = [str(cost) for cost in costs.values()]
    # A cell without text is none for the parser: raw's cdrids, which Impala is not asked for.
    assert cells[cells.index("raw in Impala") :][:10] == ["raw in Impala", "✗", "56,789", "5", "6", "7", *texts[:4]]
    assert cells[cells.index("final in Impala") :][:11] == [
        "final in Impala",
        "✗",
        "1,234",
        "90",
        "8",
        "9",
        "10",
        *texts[:4],
    ]
    assert f"differs: {FIRST} bytes: raw {2 * 1024**4}, raw in Impala 5" in cells
    (first, _) = csv.DictReader(io.StringIO(files_of(record)["daily.csv"]))
    assert (first["impala_raw_rows"], first["impala_raw_sms"], first["impala_cdrs"]) == ("56789", "7", "90")
    assert "impala_raw_cdrs" not in first
    day = json.loads(files_of(record)["report.json"])["days"][FIRST]
    assert (day["impala_raw"]["bytes"], day["impala"]["whole_sale_cost_5"]) == (5, "5.500000")


def test_the_days_are_a_table_for_other_programs() -> None:
    first, second = csv.DictReader(io.StringIO(files_of(failed(Publication.RESTORED))["daily.csv"]))
    assert (first["partition_date"], first["state"], first["raw_rows"]) == (FIRST, "old", "56789")
    assert (second["final_before_bytes"], second["final_after_bytes"]) == (str(1024**4), "")
    assert "staging_source_rows" in first
    assert "final_after_source_rows" not in first
