"""What a partition's owner and others have noted in its parameters, over runs and rollbacks in both modes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devtools.impala_double import ImpalaDouble, Refuse
from tests.support.warehouse import LISTED, UNLISTED, Job

THERE, ADDED = LISTED[:2], LISTED[2]
OWNERS = {"reviewed_by": 'it\'s Ana; "done" é', "spark.sql.note": "not a statistic", "last_modified_by": "ana"}
STATISTICS = {
    "COLUMN_STATS_ACCURATE": '{"BASIC_STATS":"true"}',
    "numRows": "999999",
    "rawDataSize": "888888",
    "STATS_GENERATED": "TASK",
    "spark.sql.statistics.numRows": "999999",
    "spark.sql.statistics.totalSize": "777777",
    "impala_intermediate_stats_num_chunks": "2",
    "impala_intermediate_stats_chunk0": "A" * 4000,
    "impala_intermediate_stats_chunk1": "B" * 1234,
    "impala.events.catalogVersion": "1712",
    "impala.events.catalogServiceId": "6d25f3c0d3a46e0:b9f5d4639557bc59",
}


@pytest.fixture(params=["drop_and_load", "swap"])
def noted(job: Job, request: pytest.FixtureRequest) -> Job:
    """The job in either mode, every partition of its final table with parameters of its owner's and statistics."""
    job.settings["publish"] = {"mode": request.param}
    job.create_final()
    job.alter([*LISTED, *UNLISTED], {**OWNERS, **STATISTICS})
    found = job.parameters()
    assert {**OWNERS, **STATISTICS}.items() <= found[THERE[0]].items()
    return job


def counted(job: Job, day: str) -> dict[str, str]:
    """What the job and the metastore note of new data: the rows, and the files as they are."""
    files = list(Path(job.partitions()[day].removeprefix("file:")).glob("[!._]*"))
    return {
        "numRows": str(job.final_rows([day]).count()),
        "STATS_GENERATED_VIA_STATS_TASK": "true",
        "numFiles": str(len(files)),
        "totalSize": str(sum(file.stat().st_size for file in files)),
    }


def test_a_run_keeps_what_is_the_owners_and_says_of_the_files_what_it_has_counted(noted: Job) -> None:
    before = noted.parameters()

    result = noted("run")

    assert result.code == 0, result.err
    found = noted.parameters()
    for day in THERE:
        assert found[day] == {**OWNERS, **counted(noted, day)}
    assert found[ADDED] == counted(noted, ADDED)
    assert {day: found[day] for day in UNLISTED} == {day: before[day] for day in UNLISTED}


def test_a_rollback_brings_back_everything_that_was_there(noted: Job) -> None:
    before = noted.described()
    assert noted("run").code == 0

    result = noted("rollback", noted.record()["run_id"])

    assert result.code == 0, result.err
    assert noted.described() == before


def test_a_run_that_fails_brings_back_everything_that_was_there(noted: Job, impala: ImpalaDouble) -> None:
    before = noted.described()
    noted.use_impala(impala)
    impala.plan("ExecuteStatement", Refuse("no privilege"), when=lambda sql: sql.endswith(str(noted.staging)))

    failed = noted("run")

    assert failed.code == 1
    assert noted.described() == before


def test_a_rollback_of_a_run_whose_record_has_no_parameters_keeps_the_owners_and_no_statistics(noted: Job) -> None:
    assert noted("run").code == 0
    run_id = noted.record()["run_id"]
    path = noted.home / "state" / "runs" / run_id / "run.json"
    record = json.loads(path.read_text())
    for day in record["days"].values():
        day["before"] = day["before"] and {name: day["before"][name] for name in ("location", "row_format")}
    path.write_text(json.dumps(record))

    result = noted("rollback", run_id)

    assert result.code == 0, result.err
    for day in THERE:
        found = noted.parameters()[day]
        assert {name: value for name, value in found.items() if name not in ("numFiles", "totalSize")} == OWNERS


@pytest.mark.parametrize("mode", ["drop_and_load", "swap"])
def test_a_rollback_brings_back_a_partition_in_a_format_of_its_own(job: Job, mode: str) -> None:
    job.settings["publish"] = {"mode": mode}
    directory = job.create_final("text")
    for file in (directory / f"partition_date={LISTED[0]}").glob("[!._]*"):
        file.write_text(file.read_text().replace(";", "|"))
    for checksum in (directory / f"partition_date={LISTED[0]}").glob(".*.crc"):
        checksum.unlink()
    job.alter([LISTED[0]], {}, **{"field.delim": "|", "serialization.format": "|"})
    before, described = job.content(LISTED), job.described()
    assert job("run").code == 0

    result = job("rollback", job.record()["run_id"])

    assert result.code == 0, result.err
    assert job.content(LISTED) == before
    assert job.described() == described
