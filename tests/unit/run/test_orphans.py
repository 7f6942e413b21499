"""What lies beside a table's partitions, and what the operator is told to do about it."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from tests.support.fakes import RUN_ID, run_record
from traffic_aggr.hive.layout import Placement
from traffic_aggr.hive.partitions import PARTITION_DATE, Partition
from traffic_aggr.run.orphans import Orphan, TableDirectory, find_orphans
from traffic_aggr.run.record import Day, Publication, RunRecord

DAY, OTHER = Partition("2021-04-01"), Partition("2021-04-02")
ROOT = "file:/warehouse/final"
HOME = f"{ROOT}/{DAY.directory}"
ELSEWHERE = f"{ROOT}/.traffic_aggr/{RUN_ID}/staged/{DAY.directory}"


def orphans(*records: RunRecord, **values: Any) -> list[Orphan]:
    found: dict[str, Any] = {"table": "db.final", "column": PARTITION_DATE, "root": ROOT}
    found |= {"names": (), "runs": (), "locations": {}, "missing": ()}
    return list(find_orphans(TableDirectory(**{**found, **values}), records))


def test_a_tidy_table_has_none() -> None:
    assert orphans(run_record(), locations={DAY: ELSEWHERE}, runs=[RUN_ID]) == []


def test_rows_of_a_day_without_a_partition_are_hidden() -> None:
    (orphan,) = orphans(names=[DAY.directory], locations={OTHER: f"{ROOT}/{OTHER.directory}"})
    assert orphan.where == HOME
    assert "nobody sees them" in orphan.what
    assert "ALTER TABLE db.final ADD PARTITION (partition_date='2021-04-01')" in orphan.mends
    assert "traffic-aggr run --dates 2021-04-01" in orphan.mends


def test_rows_at_the_standard_path_of_a_day_that_is_elsewhere_could_count_twice() -> None:
    (orphan,) = orphans(names=[DAY.directory], locations={DAY: ELSEWHERE})
    assert "drop and INSERT would count them again" in orphan.what
    assert orphan.mends == "If nobody needs them: rm -r '/warehouse/final/partition_date=2021-04-01'"


@pytest.mark.parametrize(
    ("publication", "cleaned", "mends"),
    [
        (Publication.PUBLISHED, None, "traffic-aggr cleanup"),
        (Publication.PUBLISHING, None, "traffic-aggr cleanup"),
        (Publication.RESTORING, None, "traffic-aggr cleanup"),
        (Publication.PUBLISHED, "2021-05-20T00:00:00+00:00", "rm -r"),
        (Publication.RESTORED, None, "rm -r"),
    ],
)
def test_what_a_run_keeps_for_a_rollback_is_left_to_cleanup(
    publication: Publication, cleaned: Optional[str], mends: str
) -> None:
    days = {
        DAY: Day(home=HOME, kept=f"{ROOT}/kept", before=Placement("file:///warehouse/final/partition_date=2021-04-01"))
    }
    record = run_record(tables={"final": "db.final"}, publication=publication, days=days, cleaned=cleaned)
    (orphan,) = orphans(record, names=[DAY.directory], locations={DAY: ELSEWHERE})
    assert mends in orphan.mends


def test_uncommitted_rows_can_be_deleted_when_their_writer_is_dead() -> None:
    names = ["_temporary", ".hive-staging_hive_2021", ".spark-staging-1"]
    found = orphans(names=names, root="hdfs://nn/final")
    assert [orphan.where for orphan in found] == [f"hdfs://nn/final/{name}" for name in names]
    assert found[0].mends == (
        "If that writer is dead, restate what it was writing, then: hdfs dfs -rm -r 'hdfs://nn/final/_temporary'"
    )


def test_directories_that_are_no_days_are_nobodys_business() -> None:
    assert orphans(names=["archive", "partition_date=__HIVE_DEFAULT_PARTITION__", "month=2021-04"]) == []


def test_a_partition_whose_directory_is_gone_reads_as_empty() -> None:
    (orphan,) = orphans(locations={DAY: HOME}, missing=[DAY])
    assert (orphan.where, "reads as empty" in orphan.what) == (HOME, True)
    assert "run --dates 2021-04-01" in orphan.mends


def test_partitions_in_one_directory_count_its_rows_for_each() -> None:
    (orphan,) = orphans(locations={DAY: HOME, OTHER: f"file://{HOME[len('file:') :]}/"})
    assert "2021-04-01, 2021-04-02" in orphan.what
    assert "SET LOCATION" in orphan.mends


def test_a_run_of_another_state_directory_is_named_unless_a_partition_is_in_it() -> None:
    (orphan,) = orphans(runs=[RUN_ID])
    assert f"run {RUN_ID}" in orphan.what
    assert "only copy" in orphan.mends
    assert orphan.mends.index("traffic-aggr recover") < orphan.mends.index("rm -r")
    assert orphans(runs=[RUN_ID], locations={DAY: ELSEWHERE}) == []
