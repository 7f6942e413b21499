"""publish.mode swap: partitions are pointed at new directories, and every day is whole from start to end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from devtools.impala_double import ImpalaDouble, Refuse
from tests.support.warehouse import LISTED, UNLISTED, Job
from traffic_aggr.hive.catalog import HiveCatalog, HiveTable
from traffic_aggr.hive.layout import Placement
from traffic_aggr.hive.partitions import Partition


@pytest.fixture
def swap(job: Job) -> Job:
    job.settings["publish"] = {"mode": "swap"}
    return job


@pytest.mark.parametrize(
    ("kind", "managed"), [("parquet", True), ("text", False)], ids=["parquet-managed", "text-external"]
)
def test_new_directories_take_the_place_of_old_ones_and_rollback_points_back(
    swap: Job, impala: ImpalaDouble, kind: str, managed: bool
) -> None:
    swap.create_final(kind, managed=managed)
    swap.use_impala(impala)
    before, places = swap.content(LISTED), swap.partitions()

    result = swap("run")

    assert result.code == 0, result.err
    assert swap.rows() == swap.sources.expected()
    run_id = swap.record()["run_id"]
    for day in LISTED:
        assert f"/.traffic_aggr/{run_id}/" in swap.partitions()[day]
    assert {day: swap.partitions()[day] for day in UNLISTED} == {day: places[day] for day in UNLISTED}
    assert [step["name"] for step in swap.record()["steps"]] == ["stage", "load"]
    rolled_back = swap("rollback", run_id)
    assert rolled_back.code == 0, rolled_back.err
    assert swap.partitions() == places
    assert swap.content(LISTED) == before


def test_a_later_run_in_the_other_mode_brings_the_days_back_to_their_standard_places(swap: Job) -> None:
    directory = swap.create_final()
    assert swap("run").code == 0
    swap.settings["publish"] = {"mode": "drop_and_load"}

    result = swap("run")

    assert result.code == 0, result.err
    assert swap.rows() == swap.sources.expected()
    assert swap.partitions() == {day: f"{directory}/partition_date={day}" for day in (*LISTED, *UNLISTED)}


@pytest.mark.quick
def test_no_reader_of_the_metastore_ever_finds_a_day_missing_or_mixed(swap: Job) -> None:
    swap.create_final()
    old = {day: swap.partitions().get(day) for day in LISTED}
    table = HiveTable(HiveCatalog(swap.spark), HiveCatalog(swap.spark).facts(swap.final))  # type: ignore[arg-type]
    seen: list[dict[Partition, Placement]] = []

    with reading(lambda: seen.append(table.partitions([Partition(day) for day in LISTED[:2]]))):
        assert swap("run").code == 0

    new = swap.partitions()
    assert len(seen) > 10
    for found in seen:
        places = {day: found[Partition(day)].location.removeprefix("file:") for day in LISTED[:2]}
        assert places in ({day: old[day] for day in LISTED[:2]}, {day: new[day] for day in LISTED[:2]})


@contextmanager
def reading(read: object) -> Iterator[None]:
    """Calls ``read`` again and again in another thread while the block runs."""
    done = threading.Event()
    failures: list[BaseException] = []

    def loop() -> None:
        while not done.is_set():
            try:
                read()  # type: ignore[operator]
            except BaseException as exc:  # shown in the test's own thread
                failures.append(exc)
                return

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert failures == []


def test_statistics_that_are_no_longer_true_are_gone_and_rows_are_those_proven(swap: Job) -> None:
    swap.create_final()
    swap.spark.sql(f"ANALYZE TABLE {swap.final.quoted} PARTITION (partition_date='{LISTED[0]}') COMPUTE STATISTICS")

    assert swap("run").code == 0

    found = swap.spark.sql(f"DESCRIBE EXTENDED {swap.final.quoted} PARTITION (partition_date='{LISTED[0]}')").collect()
    described = {row["col_name"]: row["data_type"] for row in found}
    rows = swap.spark.table(swap.final.quoted).where(f"partition_date = '{LISTED[0]}'").count()
    told = described.get("Partition Statistics", "")
    assert "rows" not in told or f" {rows} rows" in told


def test_a_refusal_by_impala_before_the_load_changes_no_partition(swap: Job, impala: ImpalaDouble) -> None:
    swap.create_final()
    swap.use_impala(impala)
    places = swap.partitions()
    impala.plan("ExecuteStatement", Refuse("no privilege"), when=lambda sql: sql.endswith(str(swap.staging)))

    failed = swap("run")

    assert failed.code == 1
    assert "nothing was touched" in failed.err
    assert swap.partitions() == places
    assert swap("run").code == 0
    assert swap.rows() == swap.sources.expected()
