"""Withdraw, publish and restore on real files, a table of a few days beside them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.fakes import FIRST, SECOND, Broken, MemoryTable, TableOfDays, write
from tests.support.totals import grouped
from traffic_aggr.errors import StepError
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.hive.layout import Placement, RowFormat
from traffic_aggr.hive.parameters import ACCURATE
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.restate.publish import Publisher
from traffic_aggr.restate.swap import SwapPublisher
from traffic_aggr.run.record import DayTotals, Publication


@pytest.fixture
def site(tmp_path: Path) -> TableOfDays:
    return TableOfDays(tmp_path / "final")


def test_withdraw_takes_the_days_out_and_keeps_their_files_aside(site: TableOfDays) -> None:
    site.have(FIRST, "old")
    record = site.record([FIRST])
    site.publisher.withdraw(record)
    assert site.read(FIRST) is None
    assert not site.home(FIRST).exists()
    assert (site.aside(FIRST, "old") / "part-0").read_text() == "old"
    assert record.publication is Publication.WITHDRAWN


def test_publish_after_withdraw_puts_new_data_at_the_standard_place(site: TableOfDays) -> None:
    site.have(FIRST, "old")
    record = site.record()
    site.publisher.withdraw(record)
    site.stage(record, FIRST, SECOND)
    site.publisher.publish(record)
    assert (site.read(FIRST), site.read(SECOND)) == (f"new {FIRST}", f"new {SECOND}")
    assert site.table.placements[FIRST].location == f"file:{site.home(FIRST)}"
    assert record.publication is Publication.PUBLISHED


def test_publish_replaces_a_partition_that_is_there(site: TableOfDays) -> None:
    site.have(FIRST, "old")
    record = site.record([FIRST])
    site.stage(record, FIRST)
    site.publisher.publish(record)
    assert site.read(FIRST) == f"new {FIRST}"
    assert (site.aside(FIRST, "old") / "part-0").read_text() == "old"


def test_publish_takes_away_a_day_that_gets_no_rows(site: TableOfDays) -> None:
    site.have(FIRST, "old")
    record = site.record([FIRST])
    site.publisher.publish(record)
    assert site.read(FIRST) is None
    assert record.publication is Publication.PUBLISHED


def test_publish_brings_a_day_at_another_directory_home_and_leaves_that_one_alone(site: TableOfDays) -> None:
    elsewhere = site.root.parent / "elsewhere"
    site.have(FIRST, "old", elsewhere)
    record = site.record([FIRST])
    site.stage(record, FIRST)
    site.publisher.publish(record)
    assert site.table.placements[FIRST].location == f"file:{site.home(FIRST)}"
    assert (elsewhere / "part-0").read_text() == "old"


def test_an_orphan_directory_at_the_standard_place_does_not_get_into_the_new_data(site: TableOfDays) -> None:
    write(site.home(FIRST), "orphan")
    record = site.record([FIRST])
    site.stage(record, FIRST)
    site.publisher.publish(record)
    assert site.read(FIRST) == f"new {FIRST}"
    assert (site.aside(FIRST, "old") / "part-0").read_text() == "orphan"


def test_a_partition_whose_directory_is_missing_can_be_replaced(site: TableOfDays) -> None:
    site.have(FIRST, None)
    record = site.record([FIRST])
    site.publisher.withdraw(record)
    site.stage(record, FIRST)
    site.publisher.publish(record)
    assert site.read(FIRST) == f"new {FIRST}"


def test_publish_refuses_when_new_data_is_not_there_and_changes_nothing(site: TableOfDays) -> None:
    site.have(FIRST, "old")
    record = site.record([FIRST, SECOND])
    site.stage(record, FIRST, SECOND)
    shutil.rmtree(site.aside(SECOND, "staged"))
    with pytest.raises(StepError, match=f"new data of {SECOND}"):
        site.publisher.publish(record)
    assert site.read(FIRST) == "old"


def test_old_data_comes_back_after_publish_was_refused_for_missing_new_data(site: TableOfDays) -> None:
    site.have(FIRST, "old")
    record = site.record([FIRST])
    site.publisher.withdraw(record)
    site.stage(record, FIRST)
    shutil.rmtree(site.aside(FIRST, "staged"))
    with pytest.raises(StepError):
        site.publisher.publish(record)
    site.publisher.restore(record)
    assert site.read(FIRST) == "old"


@pytest.mark.parametrize("done", ["nothing", "withdrawn", "published", "restored"])
@pytest.mark.parametrize("before", ["at home", "elsewhere", "elsewhere, and an orphan", "none", "orphan", "emptied"])
def test_restore_puts_everything_back_where_it_was(site: TableOfDays, before: str, done: str) -> None:
    if before.startswith("elsewhere"):
        site.have(FIRST, "old", site.root.parent / "elsewhere")
    elif before in ("at home", "emptied"):
        site.have(FIRST, "old" if before == "at home" else None)
    if before.endswith("orphan"):
        write(site.home(FIRST), "orphan")
    placements, text = dict(site.table.placements), site.read(FIRST)
    record = site.record([FIRST])
    if done != "nothing":
        site.publisher.withdraw(record)
    if done in ("published", "restored"):
        site.stage(record, FIRST)
        site.publisher.publish(record)
    if done == "restored":
        site.publisher.restore(record)
    site.publisher.restore(record)
    assert site.table.placements == placements
    assert site.read(FIRST) == text
    assert site.home(FIRST).exists() == (before == "at home" or before.endswith("orphan"))
    assert record.publication is Publication.RESTORED


def test_restore_gives_a_partition_back_its_own_row_format(site: TableOfDays) -> None:
    own = Placement(f"file:{site.home(FIRST)}", RowFormat("serde", "in", "out", {"field.delim": ";"}))
    site.have(FIRST, "old")
    site.table.point({FIRST: own})
    record = site.record([FIRST])
    site.publisher.withdraw(record)
    site.publisher.restore(record)
    assert site.table.placements[FIRST].row_format == own.row_format


STATISTICS = {"numRows": "1", ACCURATE: '{"BASIC_STATS":"true"}'}


@pytest.mark.parametrize("kind", [Publisher, SwapPublisher])
def test_old_data_that_is_gone_comes_back_without_its_statistics(site: TableOfDays, kind: type[Publisher]) -> None:
    site.have(FIRST, "old")
    site.table.point({FIRST: Placement(f"file:{site.home(FIRST)}", parameters={"owner": "ana", **STATISTICS})})
    record = site.record([FIRST])
    record.totals[FIRST] = DayTotals(final_before=grouped(rows=1))
    site.stage(record, FIRST)
    publisher = kind(site.table, LocalFiles(), lambda record: None, lambda: None)
    publisher.publish(record)
    shutil.rmtree(site.aside(FIRST, "old") if kind is Publisher else site.home(FIRST))
    publisher.restore(record)
    assert record.lost == [FIRST]
    assert site.table.placements[FIRST].parameters == {"owner": "ana"}


@pytest.mark.parametrize("kind", [Publisher, SwapPublisher])
def test_what_an_owner_changes_in_a_day_that_was_not_touched_stays(site: TableOfDays, kind: type[Publisher]) -> None:
    site.have(FIRST, "old")
    record = site.record([FIRST])
    now = Placement(f"file:{site.home(FIRST)}", parameters={"owner": "bob"})
    site.table.point({FIRST: now})
    kind(site.table, LocalFiles(), lambda record: None, lambda: None).restore(record)
    assert site.table.placements[FIRST] == now


@pytest.mark.parametrize("died", [False, True])
@pytest.mark.parametrize("kind", [Publisher, SwapPublisher])
def test_where_a_record_does_not_say_the_owners_parameters_stay_and_statistics_go(
    site: TableOfDays, kind: type[Publisher], died: bool
) -> None:
    site.have(FIRST, "old")
    record = site.record([FIRST])
    site.stage(record, FIRST)
    publisher = kind(site.table, LocalFiles(), lambda record: None, lambda: None)
    publisher.publish(record)
    now = site.table.placements[FIRST]
    site.table.point({FIRST: dataclasses.replace(now, parameters={"owner": "ana", **STATISTICS})})
    before = record.days[FIRST].before
    assert before is not None
    record.set_day(
        FIRST, dataclasses.replace(record.days[FIRST], before=dataclasses.replace(before, parameters=None, created=0))
    )
    if died:  # after the drop, which takes the parameters with it
        with suppress(Broken):
            kind(DiesAfterDrop(site.table.placements), LocalFiles(), lambda record: None, lambda: None).restore(record)
    publisher.restore(record)
    assert site.table.placements[FIRST] == dataclasses.replace(
        now, location=before.location, parameters={"owner": "ana"}
    )


class DiesAfterDrop(MemoryTable):
    def drop(self, partitions: Sequence[Partition]) -> None:
        super().drop(partitions)
        raise Broken


def test_restore_says_which_days_have_files_and_no_partition(site: TableOfDays) -> None:
    site.have(FIRST, "old")
    write(site.home(SECOND), "found by no metastore")
    record = site.record([FIRST, SECOND])
    site.publisher.withdraw(record)
    site.publisher.restore(record)
    assert record.outside == [SECOND]
    assert f"as files without a partition for {SECOND}: `check`" in record.data_state


def test_a_directory_in_another_spelling_is_no_change(site: TableOfDays) -> None:
    site.have(FIRST, "old")
    record = site.record([FIRST])
    record.set_day(FIRST, dataclasses.replace(record.days[FIRST], before=Placement(f"file://{site.home(FIRST)}/")))
    site.publisher.restore(record)
    assert record.changes == []


@pytest.mark.parametrize("act", ["publish", "restore"])
def test_a_directory_written_by_somebody_else_meanwhile_is_kept_beside_the_old_one(site: TableOfDays, act: str) -> None:
    site.have(FIRST, "old")
    record = site.record([FIRST])
    site.publisher.withdraw(record)
    site.stage(record, FIRST)
    write(site.home(FIRST), "foreign")
    with pytest.raises(StepError, match="written by another program") as caught:
        getattr(site.publisher, act)(record)
    assert str(site.home(FIRST)) in str(caught.value)
    assert (site.home(FIRST) / "part-0").read_text() == "foreign"
    assert (site.aside(FIRST, "old") / "part-0").read_text() == "old"


@pytest.mark.parametrize(("act", "outcome"), [("publish", f"new {FIRST}"), ("restore", "old")])
def test_recovery_goes_on_once_the_foreign_directory_is_moved_away(site: TableOfDays, act: str, outcome: str) -> None:
    site.have(FIRST, "old")
    record = site.record([FIRST])
    site.publisher.withdraw(record)
    site.stage(record, FIRST)
    write(site.home(FIRST), "foreign")
    with pytest.raises(StepError):
        getattr(site.publisher, act)(record)
    site.home(FIRST).rename(site.root.parent / "foreign")
    site.publisher.settle(record)
    assert site.read(FIRST) == outcome
