"""Which runs the records let a rollback take back, and what an operator is told to type where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import pytest

from tests.support.fakes import FIRST, SECOND, UNLISTED, run_record
from traffic_aggr.errors import GuardError, UnknownRunError
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.run.command_line import CommandLine
from traffic_aggr.run.record import Day, Outcome, Publication, RunRecord
from traffic_aggr.run.rollback_rules import refuse_rollback
from traffic_aggr.run.store import RecordStore
from traffic_aggr.traffic.job import TRAFFIC

FINAL = "mnaas.traffic_aggr_adhoc"
OLDER, RUN, NEWER = (f"2021050{number}T020200Z-0a1b2c" for number in (1, 2, 3))


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(str(tmp_path), LocalFiles(), TRAFFIC)


def run_of(run_id: str, *days: Partition, **values: Any) -> RunRecord:
    """A run that published ``days``."""
    whole = {
        "outcome": Outcome.SUCCESS,
        "publication": Publication.PUBLISHED,
        "tables": {"final": FINAL},
        "days": {day: Day("home", "kept", new="staged") for day in days},
        "typed": CommandLine(command=("run", "--partitions", "/days.txt")),
    }
    return run_record(run_id, **{**whole, **values})


def refusal(store: RecordStore, *records: RunRecord) -> GuardError:
    """What a rollback of ``RUN`` is refused with, by these records."""
    for record in records:
        store.save(record)
    with pytest.raises(GuardError) as refused:
        refuse_rollback(store, RUN, FINAL)
    return refused.value


def test_the_newest_run_of_its_days_may_be_rolled_back(store: RecordStore) -> None:
    for record in (run_of(OLDER, FIRST), run_of(RUN, FIRST, SECOND), run_of(NEWER, UNLISTED)):
        store.save(record)
    assert refuse_rollback(store, RUN, FINAL).run_id == RUN


@pytest.mark.parametrize("publication", [each for each in Publication if not each.settled])
def test_a_run_that_is_not_settled_yet_passes(store: RecordStore, publication: Publication) -> None:
    store.save(run_of(RUN, FIRST, publication=publication, outcome=Outcome.RUNNING))
    assert refuse_rollback(store, RUN, FINAL).publication is publication


def test_there_has_to_be_such_a_run(store: RecordStore) -> None:
    with pytest.raises(UnknownRunError):
        refuse_rollback(store, RUN, FINAL)


@pytest.mark.parametrize(
    ("values", "says", "command"),
    [
        pytest.param({"tables": {"final": "mnaas.other"}}, "changed mnaas.other, not", (), id="another table"),
        pytest.param({"rolled_back_by": NEWER}, f"was rolled back by {NEWER}", (), id="rolled back"),
        pytest.param({"continued_by": NEWER}, f"was continued by {NEWER}", ("rollback", NEWER), id="continued"),
        pytest.param({"publication": Publication.UNTOUCHED}, "published nothing", ("history",), id="untouched"),
        pytest.param({"publication": Publication.RESTORED}, "published nothing", ("history",), id="put back"),
        pytest.param(
            {"command": "rollback", "rolls_back": OLDER, "publication": Publication.RESTORING},
            "published nothing",
            ("history",),
            id="half a rollback",
        ),
    ],
)
def test_a_record_can_forbid_a_rollback(
    store: RecordStore, values: dict[str, Any], says: str, command: tuple[str, ...]
) -> None:
    refused = refusal(store, run_of(RUN, FIRST, **values))
    assert says in refused.message
    assert refused.command == command


@pytest.mark.parametrize("days", [(FIRST,), (FIRST, SECOND), (UNLISTED, SECOND)])
def test_a_newer_run_of_one_of_its_days_comes_first(store: RecordStore, days: tuple[Partition, ...]) -> None:
    refused = refusal(store, run_of(RUN, FIRST, SECOND), run_of(NEWER, *days))
    assert f"run {NEWER} restated {min(set(days) & {FIRST, SECOND})} after" in refused.message
    assert refused.command == ("rollback", NEWER)


@pytest.mark.parametrize(
    "values", [{"rolled_back_by": "20210504T020200Z-0a1b2c"}, {"publication": Publication.RESTORED}]
)
def test_a_newer_run_whose_data_is_gone_is_not_in_the_way(store: RecordStore, values: dict[str, Any]) -> None:
    for record in (run_of(RUN, FIRST), run_of(NEWER, FIRST, **values)):
        store.save(record)
    assert refuse_rollback(store, RUN, FINAL).run_id == RUN


@pytest.mark.parametrize(
    ("days", "command"),
    [
        ((FIRST,), ("run", "--dates", "2021-04-01..2021-04-01")),
        ((SECOND, UNLISTED, FIRST), ("run", "--dates", "2021-03-31..2021-04-02")),
        ((UNLISTED, SECOND), ("run", "--partitions", "/days.txt")),
    ],
)
def test_where_old_data_was_deleted_the_days_can_be_restated(
    store: RecordStore, days: tuple[Partition, ...], command: tuple[str, ...]
) -> None:
    refused = refusal(store, run_of(RUN, *days, cleaned="2021-05-20T02:02:00.000+00:00"))
    assert "was deleted by `cleanup`" in refused.message
    assert refused.command == command


@pytest.mark.parametrize("table", [FINAL, None])
def test_records_that_do_not_name_their_table_are_taken_for_this_one(store: RecordStore, table: Optional[str]) -> None:
    store.save(run_of(RUN, FIRST, tables={"final": table} if table else {}))
    assert refuse_rollback(store, RUN, FINAL).run_id == RUN
