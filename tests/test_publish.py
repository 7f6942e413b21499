"""Withdraw, publish and restore on real files, a table of a few days beside them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fakes import FIRST, SECOND, TableOfDays, write

from traffic_aggr.errors import StepError
from traffic_aggr.layout import Placement, RowFormat
from traffic_aggr.runrecord import Publication


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
    write(site.home(FIRST), "old")
    site.table.add({FIRST: own})
    record = site.record([FIRST])
    site.publisher.withdraw(record)
    site.publisher.restore(record)
    assert site.table.placements[FIRST].row_format == own.row_format


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
    record.days[FIRST].before = Placement(f"file://{site.home(FIRST)}/")
    site.publisher.restore(record)
    assert record.changes == []


@pytest.mark.parametrize("act", ["publish", "restore"])
def test_a_directory_written_by_somebody_else_meanwhile_is_kept_beside_the_old_one(site: TableOfDays, act: str) -> None:
    site.have(FIRST, "old")
    record = site.record([FIRST])
    site.publisher.withdraw(record)
    site.stage(record, FIRST)
    write(site.home(FIRST), "foreign")
    with pytest.raises(StepError, match="written by somebody else") as caught:
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
