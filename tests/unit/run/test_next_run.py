"""What is said beforehand of the next run, held to what a run then does."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fakes import FIRST, TableOfDays, run_record
from tests.support.totals import raw
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.hive.partitions import PartitionList
from traffic_aggr.restate.execute import close_settled, settle_earlier
from traffic_aggr.run.next_run import next_run, unfinished
from traffic_aggr.run.plan import FoundDay, Plan, PlanRequest, Start, Step, TableState, build_plan
from traffic_aggr.run.record import Outcome, Publication, RunRecord, StepRecord
from traffic_aggr.run.store import RecordStore
from traffic_aggr.traffic.job import TRAFFIC

LIST = PartitionList((FIRST,))
TABLES = {"final": "mnaas.final"}
STEPS = ("", "drop", "drop stage", "drop stage load", "stage", "stage load")


def id_of(number: int) -> str:
    return f"2021050{number}T020200Z-0a1b2c"


@st.composite
def records(draw: Any, number: int) -> RunRecord:
    """A record of any kind: what died, failed, was refused, succeeded, was taken back or over."""
    done = draw(st.sampled_from(STEPS)).split()
    steps = [StepRecord(name, "t", "t", Outcome.SUCCESS) for name in done]
    if draw(st.booleans()):
        steps.append(StepRecord(draw(st.sampled_from(["drop", "stage", "load"])), "t", "t", Outcome.FAILED))
    return run_record(
        id_of(number),
        command=draw(st.sampled_from(["run", "run", "run", "recover", "cleanup"])),
        mode=draw(st.sampled_from(["drop_and_load", "swap"])),
        tables=TABLES,
        partitions=[FIRST],
        partitions_digest=LIST.digest if draw(st.booleans()) else "another",
        steps=steps,
        flag=draw(st.integers(0, 3)),
        outcome=draw(st.sampled_from(Outcome)),
        continued_by=draw(st.sampled_from([None, None, id_of(9)])),
        settled_earlier_runs=draw(st.booleans()),
    )


def leave(site: TableOfDays, store: RecordStore, record: RunRecord, how_far: str) -> None:
    """Has a run die where ``how_far`` says, with real files and a table."""
    record.days, record.final_root = site.record((FIRST,)).days, None
    if how_far in ("withdrawn", "publishing", "published"):
        site.publisher.withdraw(record)
    if how_far in ("publishing", "published"):
        site.stage(record, FIRST)
        site.publisher.publish(record)
    if how_far == "publishing":
        record.publication = Publication.PUBLISHING
    store.save(record)


def plan(store: RecordStore, flag: int, mode: str, request: PartitionList) -> Plan:
    """The plan that a run with this list makes, once all runs before it are settled."""
    settled, last = unfinished(store)
    assert settled == ()
    found = TableState({FIRST: FoundDay(raw(rows=1))}, flag=flag, staged_matches=True)
    return build_plan(PlanRequest(TRAFFIC, request, mode, TABLES), found, last)


@settings(max_examples=150, deadline=None)
@given(
    older=records(1),
    newest=records(2),
    how_far=st.sampled_from(["untouched", "withdrawn", "publishing", "published"]),
    flag=st.integers(0, 3),
    mode=st.sampled_from(["drop_and_load", "swap"]),
)
def test_what_status_says_is_what_the_run_does(
    older: RunRecord, newest: RunRecord, how_far: str, flag: int, mode: str
) -> None:
    with tempfile.TemporaryDirectory() as home:
        site, store = TableOfDays(Path(home, "final")), RecordStore(f"{home}/state", LocalFiles(), TRAFFIC)
        site.have(FIRST, "old")
        store.save(older)
        leave(site, store, newest, how_far)
        said = next_run(store, flag, mode)

        settled = settle_earlier(store, lambda _: site.publisher)
        close_settled(store, settled, lambda target, rollback: None)
        same = said.last is not None and said.last.same_work(TABLES, mode, LIST.digest)
        done = plan(store, flag, mode, LIST)
        assert done.start == (said.start if same else said.otherwise)


@pytest.mark.parametrize(
    ("publication", "rollback", "start"),
    [
        pytest.param(Publication.PUBLISHED, Publication.RESTORING, Start(Step.DROP), id="killed half-way"),
        pytest.param(Publication.PUBLISHED, Publication.RESTORED, Start(Step.DROP), id="killed at its end"),
    ],
)
def test_an_interrupted_rollback_ends_what_it_takes_back(
    tmp_path: Path, publication: Publication, rollback: Publication, start: Start
) -> None:
    store = RecordStore(str(tmp_path), LocalFiles(), TRAFFIC)
    target = run_record(id_of(1), tables=TABLES, flag=3, publication=publication, outcome=Outcome.FAILED)
    target.steps = [StepRecord("load", "t", "t", Outcome.FAILED)]
    store.save(target)
    store.save(run_record(id_of(2), command="rollback", rolls_back=id_of(1), publication=rollback))
    assert next_run(store, 0, "drop_and_load").start == start
