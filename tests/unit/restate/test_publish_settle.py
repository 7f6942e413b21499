"""Settling a run that died, refusing to take back what is no longer there, and lost answers of the metastore."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.fakes import FIRST, SECOND, UNLISTED, Broken, MemoryTable, TableOfDays, write
from traffic_aggr.errors import GuardError
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.hive.layout import Placement
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.restate.publish import Publisher, fingerprint
from traffic_aggr.restate.swap import SwapPublisher
from traffic_aggr.run.record import Publication, RunRecord


@pytest.fixture
def site(tmp_path: Path) -> TableOfDays:
    return TableOfDays(tmp_path / "final")


@pytest.fixture
def published(site: TableOfDays) -> RunRecord:
    """The record of a run that has replaced the first day and added the second."""
    site.have(FIRST, "old")
    record = site.record()
    site.publisher.withdraw(record)
    site.stage(record, FIRST, SECOND)
    site.publisher.publish(record)
    return record


@pytest.mark.parametrize("died_while", [Publication.WITHDRAWING, Publication.WITHDRAWN, Publication.RESTORING])
def test_a_run_that_died_before_publishing_is_taken_back(site: TableOfDays, died_while: Publication) -> None:
    site.have(FIRST, "old")
    record = site.record()
    site.publisher.withdraw(record)
    record.publication = died_while
    assert site.publisher.settle(record) is Publication.RESTORED
    assert (site.read(FIRST), site.read(SECOND)) == ("old", None)


def test_a_run_that_died_while_publishing_is_taken_forward(site: TableOfDays) -> None:
    site.have(FIRST, "old")
    record = site.record()
    site.publisher.withdraw(record)
    site.stage(record, FIRST, SECOND)
    record.publication = Publication.PUBLISHING
    assert site.publisher.settle(record) is Publication.PUBLISHED
    assert (site.read(FIRST), site.read(SECOND)) == (f"new {FIRST}", f"new {SECOND}")


@pytest.mark.parametrize("arrived", [False, True], ids=["no day has arrived", "a day has arrived"])
def test_a_run_that_died_while_publishing_is_taken_back_where_new_data_is_gone(
    site: TableOfDays, arrived: bool
) -> None:
    site.have(FIRST, "old")
    record = site.record()
    site.publisher.withdraw(record)
    site.stage(record, FIRST, SECOND)
    if arrived:
        site.aside(FIRST, "staged").rename(site.home(FIRST))
    shutil.rmtree(site.aside(SECOND, "staged"))
    record.publication = Publication.PUBLISHING
    assert site.publisher.settle(record) is Publication.RESTORED
    assert (site.read(FIRST), site.read(SECOND)) == ("old", None)


def test_a_day_that_is_not_listed_is_never_changed(site: TableOfDays, published: RunRecord) -> None:
    site.publisher.restore(published)
    assert site.read(UNLISTED) == "unlisted"


def test_what_is_as_the_run_published_it_can_be_taken_back(site: TableOfDays, published: RunRecord) -> None:
    site.publisher.refuse_unless_published(published)


def drop_a_day(site: TableOfDays) -> None:
    site.table.drop([FIRST])


def move_a_day(site: TableOfDays) -> None:
    site.table.placements[FIRST] = Placement("file:/somewhere/else")


def add_a_file(site: TableOfDays) -> None:
    (site.home(FIRST) / "part-1").write_text("more")


def rewrite_a_file(site: TableOfDays) -> None:
    (site.home(FIRST) / "part-0").write_text("longer than it was")


@pytest.mark.parametrize("meddle", [drop_a_day, move_a_day, add_a_file, rewrite_a_file])
def test_a_day_that_somebody_changed_since_is_not_taken_back(
    site: TableOfDays, published: RunRecord, meddle: object
) -> None:
    assert callable(meddle)
    meddle(site)
    with pytest.raises(GuardError, match=str(FIRST)):
        site.publisher.refuse_unless_published(published)


def test_a_cleared_day_that_somebody_filled_since_is_not_taken_back(site: TableOfDays) -> None:
    record = site.record([FIRST])
    site.publisher.publish(record)
    site.have(FIRST, "foreign")
    with pytest.raises(GuardError, match=str(FIRST)):
        site.publisher.refuse_unless_published(record)


def test_a_fingerprint_is_of_the_data_files_wherever_they_lie(tmp_path: Path) -> None:
    write(tmp_path / "a" / "day", "1234")
    write(tmp_path / "b" / "day", "5678")
    (tmp_path / "b" / "day" / "_SUCCESS").write_text("")
    (tmp_path / "b" / "day" / ".part-0.crc").write_text("crc")
    first, second = (fingerprint(LocalFiles(), str(tmp_path / each)) for each in ("a", "b"))
    assert first == second


@pytest.mark.parametrize("directory", ["day", "other day"])
def test_a_fingerprint_notices_another_file_and_another_directory(tmp_path: Path, directory: str) -> None:
    write(tmp_path / "a" / "day", "1234")
    before = fingerprint(LocalFiles(), str(tmp_path / "a"))
    if directory == "day":
        (tmp_path / "a" / "day" / "part-1").write_text("")
    else:
        (tmp_path / "a" / "day").rename(tmp_path / "a" / directory)
    assert fingerprint(LocalFiles(), str(tmp_path / "a")) != before


class SlowTable(MemoryTable):
    """
    A table whose drop is answered with an error while the metastore still works on it: it takes effect before the next
    drop is answered, or else ``at_last``.
    """

    def __init__(self, placements: dict[Partition, Placement]) -> None:
        super().__init__(placements)
        self.broken = False
        self._pending: Sequence[Partition] = ()

    def drop(self, partitions: Sequence[Partition]) -> None:
        self.at_last()
        if self.broken:
            self.broken = False
            self._pending = partitions
            raise Broken
        super().drop(partitions)

    def at_last(self) -> None:
        super().drop(self._pending)
        self._pending = ()


@pytest.mark.parametrize("act", ["withdraw", "publish"])
def test_a_drop_whose_answer_was_lost_has_ended_before_old_data_is_back(site: TableOfDays, act: str) -> None:
    site.have(FIRST, "old")
    table = SlowTable(site.table.placements)
    publisher = Publisher(table, LocalFiles(), lambda record: None, lambda: None)
    record = site.record([FIRST])
    if act == "publish":
        site.stage(record, FIRST)
    table.broken = True
    with pytest.raises(Broken):
        getattr(publisher, act)(record)
    publisher.restore(record)
    table.at_last()
    assert site.read(FIRST) == "old"


class SlowMetastore(MemoryTable):
    """
    Loses the answer to its first request to point partitions elsewhere; carries it out when the next one comes, or else
    ``at_last``.
    """

    def __init__(self, placements: dict[Partition, Placement]) -> None:
        super().__init__(placements)
        self._broken = True
        self._late: Mapping[Partition, Placement] = {}

    def point(self, placements: Mapping[Partition, Placement]) -> None:
        if self._broken:
            self._broken, self._late = False, placements
            raise Broken
        self.at_last()
        super().point(placements)

    def at_last(self) -> None:
        super().point(self._late)
        self._late = {}


def test_a_swap_whose_answer_was_lost_cannot_take_effect_after_old_data_is_back(tmp_path: Path) -> None:
    days = TableOfDays(tmp_path)
    days.have(FIRST, "old")
    days.table = metastore = SlowMetastore(days.table.placements)
    publisher = SwapPublisher(days.table, LocalFiles(), lambda record: None, lambda: None)
    record = days.record([FIRST])
    days.stage(record, FIRST)
    with pytest.raises(Broken):
        publisher.publish(record)

    publisher.restore(record)
    metastore.at_last()

    assert record.publication is Publication.RESTORED
    assert days.read(FIRST) == "old"
    assert days.table.placements[FIRST] == record.days[FIRST].before
