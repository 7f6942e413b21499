"""What may be deleted, and what may not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Optional

import pytest

from tests.support.fakes import run_record
from traffic_aggr.hive.layout import Directories, Placement
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.run.leftovers import InUse, find_leftovers
from traffic_aggr.run.record import Day, Outcome, Publication, RunRecord, Staged, StepRecord

DAY = Partition("2021-04-01")
ROOT = "file:/warehouse/final"
HOME = f"{ROOT}/{DAY.directory}"
NOW = datetime(2021, 5, 20, tzinfo=timezone.utc)
LONG_AGO, YESTERDAY = "2021-05-01T02:00:00+00:00", "2021-05-19T02:00:00+00:00"
OLD_RUN, NEW_RUN = "20210501T020000Z-aaaaaa", "20210519T020000Z-bbbbbb"


def using(*data: str, days: Sequence[Partition] = (DAY,)) -> InUse:
    return InUse(Directories(data), Directories([ROOT]), days)


DROPPED_HOME = using(HOME)


def place(run_id: str, part: str) -> str:
    return f"{ROOT}/.traffic_aggr/{run_id}/{part}/{DAY.directory}"


def run(run_id: str = OLD_RUN, *, before: Optional[str] = HOME, new: bool = True, **values: Any) -> RunRecord:
    day = Day(
        HOME,
        place(run_id, "old"),
        before=Placement(before) if before else None,
        new=place(run_id, "staged") if new else None,
    )
    defaults: dict[str, Any] = {
        "tables": {"final": "db.final"},
        "days": {DAY: day},
        "publication": Publication.PUBLISHED,
        "outcome": Outcome.SUCCESS,
        "ended": LONG_AGO if run_id == OLD_RUN else YESTERDAY,
        "steps": [StepRecord("load", LONG_AGO)],
    }
    return run_record(run_id, **{**defaults, **values})


def directories(*records: RunRecord, in_use: InUse = DROPPED_HOME, missing: Sequence[str] = ()) -> list[str]:
    found = find_leftovers(records, "db.final", in_use, 7, NOW, lambda directory: directory not in missing)
    return [directory for leftovers in found for directory in leftovers.directories]


def test_old_data_past_the_time_to_keep_it_can_go() -> None:
    assert place(OLD_RUN, "old") in directories(run())


def test_old_data_is_kept_for_a_rollback_until_then() -> None:
    assert directories(run(NEW_RUN)) == []


def test_where_a_partition_points_is_never_deleted_nor_what_is_around_or_in_it() -> None:
    for used in (place(OLD_RUN, "old"), f"{place(OLD_RUN, 'old')}/inside", f"{ROOT}/.traffic_aggr/{OLD_RUN}"):
        assert place(OLD_RUN, "old") not in directories(run(), in_use=using(HOME, used))


@pytest.mark.parametrize(
    "spelled", ["hdfs://nn1:8020", "hdfs://nameservice1", "hdfs://NN1", "viewfs://cluster", "hdfs:"]
)
def test_a_location_that_names_the_cluster_in_another_way_is_in_use_all_the_same(spelled: str) -> None:
    recorded = [f"hdfs://ns{directory.removeprefix('file:')}" for directory in (HOME, place(OLD_RUN, "staged"))]
    record = run(
        mode="swap", days={DAY: Day(recorded[0], "hdfs://ns/old", before=Placement(recorded[0]), new=recorded[1])}
    )
    assert set(recorded) <= set(directories(record, in_use=using()))
    for used in recorded:
        assert used not in directories(record, in_use=using(used.replace("hdfs://ns", spelled)))


def test_a_table_is_never_deleted() -> None:
    assert directories(run(before=ROOT), in_use=using(HOME)).count(ROOT) == 0


def test_data_at_the_standard_path_of_a_swapped_day_can_go() -> None:
    in_use = using(place(OLD_RUN, "staged"))
    assert HOME in directories(run(mode="swap"), in_use=in_use)


def test_data_of_a_day_that_the_table_no_longer_has_stays() -> None:
    assert HOME not in directories(run(), in_use=using(days=()))


def test_what_a_younger_run_needs_for_its_rollback_stays() -> None:
    younger = run(NEW_RUN, before=place(OLD_RUN, "staged"), mode="swap")
    in_use = using(place(NEW_RUN, "staged"))
    assert place(OLD_RUN, "staged") not in directories(younger, run(mode="swap"), in_use=in_use)


def test_what_a_dead_run_staged_can_go_at_once_unless_a_run_could_resume_from_it() -> None:
    staged = Staged(f"{ROOT}/.traffic_aggr/{OLD_RUN}/staged", True, "x")
    dead = run(publication=Publication.RESTORED, outcome=Outcome.INTERRUPTED, new=False, staged=staged)
    assert directories(dead) == []
    assert place(OLD_RUN, "staged") in directories(run(NEW_RUN), dead)


def test_a_run_that_is_not_settled_keeps_everything() -> None:
    for publication in (each for each in Publication if not each.settled):
        assert directories(run(NEW_RUN), run(publication=publication)) == []


def test_runs_on_other_tables_and_runs_cleaned_before_are_left_alone() -> None:
    assert directories(run(tables={"final": "db.other"}), run(cleaned=YESTERDAY, cleaning_ended=YESTERDAY)) == []


def test_a_cleaning_that_died_is_ended() -> None:
    assert place(OLD_RUN, "old") in directories(run(cleaned=YESTERDAY))


def test_a_directory_that_never_was_is_not_said_to_be_deleted() -> None:
    in_use = using(place(OLD_RUN, "staged"))
    gone = [place(OLD_RUN, part) for part in ("old", "new")]
    assert directories(run(mode="swap"), in_use=in_use, missing=gone) == [HOME]


def test_what_a_run_replaced_of_one_that_was_cleaned_can_go() -> None:
    older = run(mode="swap", cleaned=LONG_AGO, cleaning_ended=LONG_AGO)
    newer = run(NEW_RUN, before=place(OLD_RUN, "staged"), mode="swap", ended=LONG_AGO)
    in_use = using(place(NEW_RUN, "staged"))
    assert place(OLD_RUN, "staged") in directories(newer, older, in_use=in_use)


def test_a_directory_that_two_runs_name_is_deleted_once() -> None:
    older = run(mode="swap")
    newer = run(NEW_RUN, before=place(OLD_RUN, "staged"), mode="swap", ended=LONG_AGO)
    found = directories(newer, older, in_use=using(place(NEW_RUN, "staged")))
    assert len(found) == len(set(found))
