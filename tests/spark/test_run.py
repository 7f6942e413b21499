"""The job, end to end, on real files, a real metastore and an Impala that sees only what it was told."""

from __future__ import annotations

import pytest

from devtools.impala_double import ImpalaDouble
from tests.spark.warehouse import LISTED, UNLISTED, Job


@pytest.mark.parametrize("kind", ["parquet", "text"])
def test_the_final_table_agrees_with_an_independent_computation(job: Job, impala: ImpalaDouble, kind: str) -> None:
    job.create_final(kind)
    job.use_impala(impala)
    before = job.content(UNLISTED)

    result = job("run")

    assert result.code == 0, result.err
    rows = sorted((tuple(row) for row in job.final_rows().collect()), key=repr)
    assert rows == job.sources.expected()
    assert job.content(UNLISTED) == before
    assert f"raw = staging = final = Impala on all {len(LISTED)} days" in result.out
