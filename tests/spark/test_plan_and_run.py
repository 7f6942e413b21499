"""The plan says what the run then does."""

from __future__ import annotations

import json
from typing import Optional

import pytest

from devtools.impala_double import ImpalaDouble
from tests.support.impala_session import run as run_in_impala
from tests.support.warehouse import LISTED, UNLISTED, Job

DAYS = f"{LISTED[0]}..{UNLISTED[1]}"  # of the last of them raw has no rows


@pytest.mark.parametrize("final", ["parquet", None])
@pytest.mark.parametrize("mode", ["swap", "drop_and_load"])
def test_impala_is_sent_the_statements_of_the_plan(
    job: Job, impala: ImpalaDouble, mode: str, final: Optional[str]
) -> None:
    if final is not None:
        job.create_final(final)
        run_in_impala(impala, f"INVALIDATE METADATA {job.final}")  # a table that Impala lacks needs one more statement
    job.use_impala(impala)
    job.settings["publish"] = {"mode": mode}
    job.settings["partitions"] = {"empty_source": "clear"}
    planned = json.loads(job("plan", "--dates", DAYS, "--json").out)["statements"]
    impala.journal.statements.clear()

    result = job("run", "--dates", DAYS)

    assert result.code == 0, result.err
    own = ("REFRESH", "INVALIDATE", "SELECT")
    received = [statement.sql for statement in impala.journal.statements]
    assert received == [statement for statement in planned if statement.startswith(own)]
