"""The HTML report: what it says, and that nothing from outside gets into its markup."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any, Optional

import pytest
from fakes import RUN_ID, run_record

from traffic_aggr.controls import AggregatedTotals, ImpalaTotals, RawTotals
from traffic_aggr.partitions import Partition
from traffic_aggr.report import render_report, verdict
from traffic_aggr.runrecord import Change, Day, DayTotals, Outcome, Publication, RunRecord, StepRecord

FIRST, SECOND = Partition("2021-04-01"), Partition("2021-04-02")
HOSTILE = """</td><script>alert("x")</script>'&amp; $title ${facts} %s"""
VOID = {"meta", "br"}


class Page(HTMLParser):
    """The page's text by element, once every tag that was opened is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.tags: set[str] = set()
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1], data.strip()))

    def all(self, tag: str) -> list[str]:
        return [text for element, text in self.texts if element == tag]


def totals(before: int, after: int, seen: bool) -> DayTotals:
    found = AggregatedTotals(bytes=after, rows=1234, cdrs=90)
    return DayTotals(
        raw=RawTotals(bytes=after, rows=56789, cdrs=90, unclassified=3),
        staging=found,
        final_before=AggregatedTotals(bytes=before, rows=7),
        final_after=found,
        impala=ImpalaTotals(1234, after) if seen else None,
    )


def succeeded(seen_by_impala: bool = True, **values: Any) -> RunRecord:
    return run_record(
        **{
            "outcome": Outcome.SUCCESS,
            "publication": Publication.PUBLISHED,
            "partitions": [FIRST, SECOND],
            "days": {day: Day("home", "kept") for day in (FIRST, SECOND)},
            "totals": {
                FIRST: totals(1024**4, 2 * 1024**4, seen_by_impala),
                SECOND: totals(1024**4, 1024**4, seen_by_impala),
            },
            **values,
        }
    )


def failed(publication: Publication) -> RunRecord:
    record = succeeded(outcome=Outcome.FAILED, publication=publication, error="drop failed; run again")
    for of_day in record.totals.values():
        of_day.final_after = of_day.impala = of_day.staging = None
    return record


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        pytest.param(
            succeeded(),
            "2 days restated; data usage 2.0 TB → 3.0 TB; raw, staging, final and Impala agree on every day.",
            id="success",
        ),
        pytest.param(
            succeeded(seen_by_impala=False),
            "2 days restated; data usage 2.0 TB → 3.0 TB; raw, staging and final agree on every day.",
            id="without Impala",
        ),
        pytest.param(failed(Publication.RESTORED), "drop failed; run again", id="failed"),
        pytest.param(run_record(outcome=Outcome.INTERRUPTED), "The run was interrupted.", id="died"),
        pytest.param(
            run_record(outcome=Outcome.SUCCESS, rolls_back="R", partitions=[FIRST, SECOND]),
            "The 2 days that run R changed are as they were before it.",
            id="rollback",
        ),
    ],
)
def test_the_verdict_is_a_sentence_at_the_top(record: RunRecord, sentence: str) -> None:
    assert verdict(record) == sentence
    assert Page(render_report(record)).all("p") == [sentence]


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
    page = Page(render_report(record))
    assert page.all("h1") == page.all("title") or page.all("h1")[0].startswith(f"run {RUN_ID}: ")
    assert page.all("h2") == [
        "Days",
        "Control totals",
        "Steps",
        "Changes to the table",
        "Statements to Impala",
        "Provenance",
    ]


def test_a_day_has_its_usage_before_and_after_and_the_change() -> None:
    cells = Page(render_report(succeeded())).all("td")
    row = cells[cells.index(FIRST) :][:10]
    assert row == [FIRST, "1.0 TB", "2.0 TB", "+100.0 %", "7", "1,234", "56,789", "90", "3", "1,234"]


def test_each_stage_of_a_day_has_its_totals() -> None:
    cells = Page(render_report(succeeded())).all("td")
    assert [cells.count(stage) for stage in ("raw", "staging", "final")] == [2, 2, 2]


@pytest.mark.parametrize(
    ("publication", "word"),
    [
        (Publication.UNTOUCHED, "unchanged"),
        (Publication.RESTORED, "unchanged"),
        (Publication.WITHDRAWN, "not known"),
        (Publication.PUBLISHED, "not known"),
    ],
)
def test_a_day_of_a_failed_run_says_whether_it_is_unchanged(publication: Publication, word: str) -> None:
    cells = Page(render_report(failed(publication))).all("td")
    assert cells[cells.index(FIRST) + 2] == word


def test_a_day_that_keeps_its_old_data_is_unchanged() -> None:
    record = succeeded()
    del record.days[SECOND]
    record.totals[SECOND].final_after = None
    cells = Page(render_report(record)).all("td")
    assert cells[cells.index(SECOND) + 2] == "unchanged"


def test_steps_changes_and_statements_are_listed() -> None:
    sent = {"sql": "REFRESH mnaas.final", "host": "i1:21050", "attempts": 2, "seconds": 0.257, "outcome": "ok"}
    record = succeeded(
        steps=[StepRecord("drop", "t1", "t2", Outcome.SUCCESS), StepRecord("stage", "t3")],
        changes=[Change("drop from the metastore (2 partitions)", "t1", "t2"), Change("add", "t3")],
        impala=[sent],
    )
    cells = Page(render_report(record)).all("td")
    for expected in ("drop", "running", "drop from the metastore (2 partitions)", "not known", "REFRESH mnaas.final"):
        assert expected in cells
    assert cells[cells.index("i1:21050") :][:4] == ["i1:21050", "2", "0.26", "ok"]


def test_the_report_says_where_everything_came_from() -> None:
    record = succeeded(
        partitions_source="/data/days", partitions_digest="d1", config_digest="c1", tables={"raw": "mnaas.raw"}
    )
    cells = Page(render_report(record)).all("td")
    assert "/data/days (2 days, sha256 d1)" in cells
    assert "c1" in cells
    assert "raw mnaas.raw" in cells
    assert "mnaas@edge1, process 4711" in cells


def test_notes_and_skipped_lines_are_listed() -> None:
    page = Page(render_report(succeeded(notes=["a note"], skipped_lines=["line 3: WARN x"])))
    assert page.all("li") == ["a note", "skipped line 3: WARN x"]


def hostile_record() -> RunRecord:
    record = failed(Publication.RESTORED)
    record.error = record.host = record.user = record.partitions_source = record.mode = HOSTILE
    record.application_id = record.resumes = record.config_digest = HOSTILE
    record.notes, record.skipped_lines = [HOSTILE], [HOSTILE]
    record.tables, record.versions = {HOSTILE: HOSTILE}, {HOSTILE: HOSTILE}
    record.steps, record.changes = [StepRecord(HOSTILE, HOSTILE, HOSTILE)], [Change(HOSTILE, HOSTILE, HOSTILE)]
    record.impala = [{"sql": HOSTILE, "host": HOSTILE, "attempts": 1, "seconds": 0.0, "outcome": HOSTILE}]
    return record


def test_nothing_from_outside_becomes_markup() -> None:
    page = Page(render_report(hostile_record()))
    assert "script" not in page.tags
    assert page.all("p") == [HOSTILE]
    assert page.all("li") == [HOSTILE, f"skipped {HOSTILE}"]
    assert HOSTILE in page.all("td")


def test_the_page_needs_nothing_from_elsewhere() -> None:
    html = render_report(succeeded())
    assert "http" not in html
    assert Page(html).tags.isdisjoint({"script", "img", "link", "iframe"})
