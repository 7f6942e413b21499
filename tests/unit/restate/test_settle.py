"""Settling runs that died, and closing their records once everybody knows."""

from __future__ import annotations

from pathlib import Path

from tests.support.fakes import FIRST, RUN_ID, TableOfDays
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.restate.execute import close_settled, settle_earlier
from traffic_aggr.run.record import Outcome, Publication
from traffic_aggr.run.store import RecordStore
from traffic_aggr.traffic.job import TRAFFIC


def test_a_run_counts_as_interrupted_until_it_is_settled_and_everybody_was_told(tmp_path: Path) -> None:
    site = TableOfDays(tmp_path / "final")
    site.have(FIRST, "old")
    store = RecordStore(str(tmp_path / "state"), LocalFiles(), TRAFFIC)
    record = site.record()
    site.publisher.withdraw(record)
    store.save(record)

    settled = settle_earlier(store, lambda _: site.publisher)

    assert site.read(FIRST) == "old"
    assert [each.run_id for each in store.unsettled()] == [RUN_ID]
    close_settled(store, settled, lambda target, rollback: None)
    assert store.unsettled() == []
    closed = store.load(RUN_ID)
    assert (closed.publication, closed.outcome) == (Publication.RESTORED, Outcome.INTERRUPTED)
