"""Telling who else writes a day, from what writers leave while they are at it."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from traffic_aggr.files.local import LocalFiles
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.restate.writers import find_writers

DAY, OTHER = Partition("2021-04-01"), Partition("2021-04-02")
NOW = datetime(2021, 5, 4, 2, tzinfo=timezone.utc)


def write(path: Path, age: timedelta) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("rows")
    for each in (path, *path.parents):
        if "warehouse" in each.parts:
            os.utime(each, 2 * ((NOW - age).timestamp(),))


def found(root: Path) -> tuple[list[str], list[str]]:
    directories = {f"file:{root}/{day.directory}": day for day in (DAY, OTHER)}
    refusals, notes = find_writers(LocalFiles(), f"file:{root}", directories, NOW)
    return [refusal.message for refusal in refusals], notes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "warehouse" / "final"
    write(root / DAY.directory / "part-0.parquet", timedelta(minutes=1))
    return root


def test_a_day_with_committed_files_alone_has_no_writer(root: Path) -> None:
    assert found(root) == ([], [])


@pytest.mark.parametrize("name", ["_temporary/0/part-0", ".hive-staging_hive_1/x", "_impala_insert_staging/x"])
def test_uncommitted_rows_in_a_listed_day_that_changed_lately_are_of_a_writer(root: Path, name: str) -> None:
    write(root / DAY.directory / name, timedelta(hours=5))
    (refusal,), _ = found(root)
    assert f"2021-04-01 in file:{root}/{DAY.directory}/{name.split('/')[0]}" in refusal
    assert "last changed 2021-05-04 02:30:00 UTC+05:30" in refusal


def test_uncommitted_rows_may_be_the_only_ones_so_nobody_is_told_to_delete_them(root: Path) -> None:
    write(root / DAY.directory / "_temporary/0/part-0", timedelta(hours=5))
    (refusal,), _ = find_writers(LocalFiles(), f"file:{root}", {f"file:{root}/{DAY.directory}": DAY}, NOW)
    assert "move that directory out of the table" in refusal.hint


def test_what_a_writer_left_that_is_long_dead_is_only_noted(root: Path) -> None:
    write(root / DAY.directory / "_temporary" / "0" / "part-0", timedelta(hours=7))
    refusals, (note,) = found(root)
    assert refusals == []
    died = "2021-05-04 00:30:00 UTC+05:30"
    assert note == f"file:{root}/{DAY.directory}/_temporary was left by a writer that died after {died}"


def test_a_file_that_grows_deep_inside_shows_life(root: Path) -> None:
    deep = root / DAY.directory / "_temporary" / "0" / "_temporary" / "attempt_1" / "part-0"
    write(deep, timedelta(days=2))
    os.utime(deep, 2 * ((NOW - timedelta(minutes=3)).timestamp(),))
    assert len(found(root)[0]) == 1


def test_a_writer_of_several_days_is_told_by_the_days_that_it_writes(root: Path) -> None:
    write(root / ".spark-staging-1" / "partition_date=2021-03-31" / "part-0", timedelta(0))
    assert found(root) == ([], [])
    write(root / ".spark-staging-1" / OTHER.directory / "part-0", timedelta(0))
    (refusal,), _ = found(root)
    assert "2021-04-02 in" in refusal
