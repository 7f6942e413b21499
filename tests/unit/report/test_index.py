"""The page of all runs: what it says of each, and that nothing from outside gets into the markup."""

from __future__ import annotations

from typing import Any

from tests.support.fakes import FIRST, RUN_ID, run_record
from tests.support.reported_runs import succeeded
from traffic_aggr.report.index import render_index
from traffic_aggr.run.record import Outcome, RunRecord

HOSTILE = """</td><script>alert("x")</script>'&amp; $title"""
OLDER = "20210401T020200Z-0a1b2c"


def page(*runs: RunRecord, count: int = 0, **pending: Any) -> str:
    return render_index("traffic_adhoc_aggr", runs, count or len(runs), pending)


def test_each_run_is_a_row_that_links_to_its_report() -> None:
    found = page(succeeded(), run_record(OLDER, outcome=Outcome.FAILED, error="drop failed"))
    assert found.index(f"<a href='{RUN_ID}/report.html'>") < found.index(f"<a href='{OLDER}/report.html'>")
    assert "data usage 2.0 TiB → 3.0 TiB, +50.0 %" in found
    assert "<td>drop failed</td>" in found
    assert "raw, staging, final and Impala agree on every day." in found


def test_a_run_says_which_others_it_has_to_do_with() -> None:
    found = page(
        run_record(rolled_back_by="R1", outcome=Outcome.SUCCESS),
        run_record(OLDER, rolls_back="R2", resumes="R3", caused_by="R4"),
    )
    assert "rolled back by R1" in found
    assert "rolls back R2; resumes R3; follows R4" in found


def test_what_is_pending_stands_above_the_runs() -> None:
    found = page(succeeded(), usage_trend=[FIRST])
    assert "<li>usage_trend: 2021-04-01 pending</li>" in found
    assert 'class="verdict bad"' in found


def test_only_the_newest_are_shown_of_many() -> None:
    assert "The newest 1 of 1,200 runs; `history -n 1200` lists all." in page(succeeded(), count=1200)


def test_without_runs_there_is_a_page_too() -> None:
    assert "There is no run yet" in page()


def test_what_comes_from_outside_is_text() -> None:
    found = page(run_record(outcome=Outcome.FAILED, error=HOSTILE, command=HOSTILE))
    assert "<script>" not in found
    assert "$title" in found
