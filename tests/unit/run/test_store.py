"""Run records on disk, which of them matter to the next run, and their copies beside the table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.support.fakes import run_record
from traffic_aggr.errors import StateError, UnknownRunError
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.run.record import Day, Outcome, Publication, RunRecord, StepRecord
from traffic_aggr.run.store import RecordStore, adopt_copies, copy_beside_table, remove_misleading_copy
from traffic_aggr.traffic.job import TRAFFIC

DAY = Partition("2021-04-01")


def nth_id(number: int) -> str:
    return f"202105{number:02}T020200Z-0a1b2c"


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(str(tmp_path / "state"), LocalFiles(), TRAFFIC)


def saved(store: RecordStore, number: int, **values: Any) -> RunRecord:
    """The record of the run of that day in May, on disk."""
    record = run_record(nth_id(number), **values)
    store.save(record)
    return record


def ids(records: list[RunRecord]) -> list[str]:
    return [record.run_id for record in records]


def test_a_record_that_was_saved_can_be_loaded(store: RecordStore) -> None:
    record = saved(store, 1, days={DAY: Day("home", "kept")})
    assert store.load(record.run_id) == record


def test_the_run_before_is_the_last_that_changed_one_of_the_same_days(store: RecordStore) -> None:
    other, touched = Partition("2021-04-02"), {"publication": Publication.PUBLISHED}
    first = saved(store, 1, days={DAY: Day("home", "kept"), other: Day("home", "kept")}, **touched)
    saved(store, 2, days={other: Day("home", "kept")}, **touched)
    saved(store, 3, days={DAY: Day("home", "kept")})
    record = saved(store, 4, days={DAY: Day("home", "kept")}, **touched)
    saved(store, 5, days={DAY: Day("home", "kept")}, **touched)
    assert store.run_before(record) == first.run_id
    assert store.run_before(first) is None


def test_a_damaged_record_is_no_run_before_and_hinders_no_report(store: RecordStore, tmp_path: Path) -> None:
    earlier = saved(store, 1, days={DAY: Day("home", "kept")}, publication=Publication.PUBLISHED)
    (tmp_path / "state" / "runs" / earlier.run_id / "run.json").write_text("{")
    assert store.run_before(saved(store, 2, days={DAY: Day("home", "kept")})) is None


def test_saving_again_replaces_the_record(store: RecordStore, tmp_path: Path) -> None:
    record = saved(store, 1)
    record.outcome = Outcome.SUCCESS
    store.save(record)
    assert store.load(record.run_id).outcome is Outcome.SUCCESS
    assert os.listdir(tmp_path / "state" / "runs" / record.run_id) == ["run.json"]


def test_records_and_their_directories_are_private(store: RecordStore, tmp_path: Path) -> None:
    record = saved(store, 1)
    directory = tmp_path / "state" / "runs" / record.run_id
    assert (directory.stat().st_mode & 0o777, (directory / "run.json").stat().st_mode & 0o777) == (0o700, 0o600)


def test_runs_are_listed_newest_first_and_nothing_else_is(store: RecordStore, tmp_path: Path) -> None:
    for number in (2, 1, 3):
        saved(store, number)
    runs = tmp_path / "state" / "runs"
    (runs / nth_id(4)).mkdir()  # a run that was killed before its first save
    (runs / "lost+found").mkdir()
    (runs / nth_id(5)).write_text("a file")
    assert store.run_ids() == [nth_id(3), nth_id(2), nth_id(1)]


def test_a_state_directory_that_is_not_there_yet_has_no_runs(store: RecordStore) -> None:
    assert store.run_ids() == []
    assert store.last() is None
    assert store.last_worked() is None
    assert store.unsettled() == []


@pytest.mark.parametrize("run_id", ["latest", "../../../etc/passwd", ""])
def test_what_is_no_run_id_is_never_a_path(store: RecordStore, run_id: str) -> None:
    with pytest.raises(UnknownRunError, match="is not a run id"):
        store.load(run_id)


def test_a_run_that_is_not_there_is_named(store: RecordStore) -> None:
    with pytest.raises(UnknownRunError, match=f"no run {nth_id(1)}") as caught:
        store.load(nth_id(1))
    assert "history" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"{}"])
def test_a_damaged_record_is_never_taken_for_none(store: RecordStore, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state" / "runs" / nth_id(2) / "run.json"
    saved(store, 1)
    saved(store, 2)
    path.write_bytes(content)
    for ask in (store.last, store.last_worked, store.unsettled):
        with pytest.raises(StateError, match=str(path)):
            ask()


def test_a_directory_that_cannot_be_written_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, not a directory")
    with pytest.raises(StateError, match=r"cannot write the run record .*run\.json"):
        RecordStore(str(tmp_path / "state"), LocalFiles(), TRAFFIC).save(run_record())


def test_a_report_lies_beside_its_record(store: RecordStore) -> None:
    record = saved(store, 1)
    store.write_report(record.run_id, {"report.html": "<p>é"})
    assert Path(store.report_path(record.run_id)).read_text(encoding="utf-8") == "<p>é"
    assert Path(store.report_path(record.run_id)).parent == Path(store.directory(record.run_id))


@pytest.mark.parametrize(
    ("values", "left_over"),
    [
        pytest.param({}, True, id="died before it changed anything"),
        pytest.param({"publication": Publication.WITHDRAWN}, True, id="died in the middle"),
        pytest.param({"publication": Publication.PUBLISHED}, True, id="died after publishing"),
        pytest.param({"publication": Publication.RESTORING, "outcome": Outcome.FAILED}, True, id="could not put back"),
        pytest.param({"publication": Publication.RESTORED, "outcome": Outcome.FAILED}, False, id="put old data back"),
        pytest.param({"publication": Publication.PUBLISHED, "outcome": Outcome.SUCCESS}, False, id="succeeded"),
        pytest.param({"outcome": Outcome.REFUSED}, False, id="was refused"),
        pytest.param({"outcome": Outcome.INTERRUPTED}, False, id="was settled"),
    ],
)
def test_a_run_is_left_over_when_it_died_or_left_days_half_changed(
    store: RecordStore, values: dict[str, Any], left_over: bool
) -> None:
    saved(store, 1, **values)
    assert ids(store.unsettled()) == ([nth_id(1)] if left_over else [])


def test_all_runs_left_over_are_found_newest_first(store: RecordStore) -> None:
    saved(store, 1, publication=Publication.WITHDRAWN)
    saved(store, 2, outcome=Outcome.REFUSED)
    saved(store, 3)
    assert ids(store.unsettled()) == [nth_id(3), nth_id(1)]


def test_the_search_for_runs_left_over_ends_at_one_that_settled_those_before_it(
    store: RecordStore, tmp_path: Path
) -> None:
    saved(store, 1)
    (tmp_path / "state" / "runs" / nth_id(1) / "run.json").write_text("unreadable, and of no concern")
    saved(store, 2, settled_earlier_runs=True, publication=Publication.PUBLISHING)
    saved(store, 3)
    assert ids(store.unsettled()) == [nth_id(3), nth_id(2)]


@pytest.mark.parametrize("outcome", [Outcome.RUNNING, Outcome.FAILED], ids=["was killed", "failed"])
def test_a_rollback_that_stopped_half_way_is_left_over(store: RecordStore, outcome: Outcome) -> None:
    rolled_back = saved(store, 1, settled_earlier_runs=True, outcome=Outcome.SUCCESS, publication=Publication.PUBLISHED)
    rollback = saved(
        store,
        2,
        command="rollback",
        rolls_back=rolled_back.run_id,
        settled_earlier_runs=True,
        outcome=outcome,
        publication=Publication.RESTORING,
    )
    assert ids(store.unsettled()) == [rollback.run_id]


@pytest.mark.parametrize(
    ("values", "worked"),
    [
        pytest.param({"outcome": Outcome.REFUSED}, False, id="refused"),
        pytest.param({}, False, id="died before its first step"),
        pytest.param({"steps": [StepRecord("drop", "t")]}, True, id="began a step"),
        pytest.param({"publication": Publication.RESTORED}, True, id="changed the table"),
    ],
)
def test_the_last_run_that_worked_began_a_step_or_changed_the_table(
    store: RecordStore, values: dict[str, Any], worked: bool
) -> None:
    saved(store, 1, steps=[StepRecord("drop", "t")])
    saved(store, 2, **values)
    found = store.last_worked()
    assert found is not None
    assert found.run_id == nth_id(2 if worked else 1)


@pytest.fixture
def root(tmp_path: Path) -> str:
    """The final table's root; its path is a URI, as the metastore has it."""
    (tmp_path / "final").mkdir()
    return f"file:{tmp_path}/final"


def copied(root: str, number: int, **values: Any) -> RunRecord:
    """A record that has a copy beside the table."""
    record = run_record(nth_id(number), final_root=root, **values)
    copy_beside_table(record, LocalFiles())
    return record


def test_a_copy_lies_in_the_run_s_directory_with_the_rights_of_the_table(root: str, tmp_path: Path) -> None:
    (tmp_path / "final").chmod(0o775)
    copied(root, 1)
    directory = tmp_path / "final" / ".traffic_aggr" / nth_id(1)
    assert os.listdir(directory) == ["recovery.json"]
    assert directory.stat().st_mode & 0o777 == 0o775


def test_a_run_that_knows_no_table_yet_has_no_copy(tmp_path: Path) -> None:
    copy_beside_table(run_record(), LocalFiles())
    assert os.listdir(tmp_path) == []


def test_a_table_without_copies_has_nothing_to_adopt(store: RecordStore, root: str) -> None:
    adopt_copies(store, LocalFiles(), root)
    assert store.run_ids() == []


@pytest.mark.parametrize(
    ("in_store", "in_copy", "after"),
    [
        pytest.param(None, Publication.WITHDRAWN, Publication.WITHDRAWN, id="lost, half-way: adopted"),
        pytest.param(None, Publication.PUBLISHED, None, id="lost, whole: nothing to do"),
        pytest.param(Publication.PUBLISHING, Publication.RESTORED, Publication.RESTORED, id="settled from elsewhere"),
        pytest.param(Publication.PUBLISHED, Publication.PUBLISHING, Publication.PUBLISHED, id="the copy is behind"),
        pytest.param(Publication.RESTORING, Publication.PUBLISHING, Publication.RESTORING, id="both half-way"),
        pytest.param(Publication.RESTORED, Publication.PUBLISHED, Publication.RESTORED, id="both whole"),
    ],
)
def test_copies_beside_the_table_are_adopted_where_they_know_more(
    store: RecordStore, root: str, in_store: Optional[Publication], in_copy: Publication, after: Optional[Publication]
) -> None:
    if in_store is not None:
        saved(store, 1, publication=in_store, final_root=root)
    copied(root, 1, publication=in_copy)
    adopt_copies(store, LocalFiles(), root)
    assert [record.publication for record in store.newest_first()] == ([] if after is None else [after])


@pytest.mark.parametrize(
    ("copy", "record", "kept"),
    [
        pytest.param(Publication.PUBLISHED, Publication.RESTORING, False, id="would end the settling"),
        pytest.param(Publication.RESTORING, Publication.RESTORED, False, id="would repeat the settling"),
        pytest.param(Publication.WITHDRAWN, Publication.RESTORING, True, id="still gets the run settled"),
    ],
)
def test_a_copy_that_cannot_be_replaced_goes_where_it_says_wrongly_whether_the_run_is_settled(
    store: RecordStore, root: str, copy: Publication, record: Publication, kept: bool
) -> None:
    copied(root, 1, publication=copy)
    saved(store, 1, publication=record, final_root=root)
    own = store.load(nth_id(1))

    remove_misleading_copy(own, LocalFiles())
    adopt_copies(store, LocalFiles(), root)

    assert LocalFiles().exists(f"{root}/.traffic_aggr/{nth_id(1)}/recovery.json") is kept
    assert store.load(nth_id(1)).publication is record


def test_a_copy_that_was_never_written_need_not_go(root: str) -> None:
    remove_misleading_copy(run_record(nth_id(1), final_root=root), LocalFiles())


def test_what_is_no_run_beside_the_table_is_passed_over(store: RecordStore, root: str, tmp_path: Path) -> None:
    hidden = tmp_path / "final" / ".traffic_aggr"
    (hidden / nth_id(1)).mkdir(parents=True)  # a run that had only staged
    (hidden / "notes").mkdir()
    (hidden / "lock").write_text("")
    adopt_copies(store, LocalFiles(), root)
    assert store.run_ids() == []


@pytest.mark.parametrize("content", [b"{", b"\xff"], ids=["cut short", "not text"])
def test_a_damaged_copy_of_a_lost_run_is_an_error_that_names_it(
    store: RecordStore, root: str, tmp_path: Path, content: bytes
) -> None:
    copied(root, 1, publication=Publication.WITHDRAWN)
    path = tmp_path / "final" / ".traffic_aggr" / nth_id(1) / "recovery.json"
    path.write_bytes(content)
    with pytest.raises(StateError, match=str(path)):
        adopt_copies(store, LocalFiles(), root)


def test_what_dead_writers_left_beside_records_is_found_also_where_no_record_came_to_be(
    store: RecordStore, tmp_path: Path
) -> None:
    assert store.temporaries() == []
    record = saved(store, 1)
    left = [Path(store.directory(record.run_id)) / ".run.json.12.0123abcd.tmp"]
    left.append(Path(store.directory(nth_id(2))) / ".report.html.12.0123abcd.tmp")
    left[1].parent.mkdir()
    for path in left:
        path.write_text("{")
    assert [info.path for info in store.temporaries()] == [str(path) for path in left]
    store.delete(str(left[0]))
    assert [info.path for info in store.temporaries()] == [str(left[1])]
