"""Deaths in runs of the job that docs/another-job.md shows: the engine keeps its days as it keeps those of traffic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.support.another_job import ShopJob, ShopSources, importable
from tests.support.crash.cover import Covered, cover_run
from tests.support.crash.harness import Harness, every
from tests.support.crash.trail import distinct

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1800)]

WORLDS = 12


@pytest.fixture
def shops(spark: SparkSession, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[ShopJob]:
    (tmp_path / "job").mkdir()
    sources: Any = ShopSources()
    with importable(tmp_path):
        made = ShopJob(spark, database, tmp_path / "job", sources, capsys)
        made.create_sources()
        made.create_old_days()
        yield made


@pytest.mark.parametrize("mode", ["drop_and_load", pytest.param("swap", marks=pytest.mark.thorough)])
def test_after_a_death_in_a_run_of_another_job_every_day_is_whole(shops: ShopJob, mode: str, covered: Covered) -> None:
    shops.settings["publish"] = {"mode": mode}
    made = Harness(shops)
    worlds = distinct(made.first_run(), fine=False)
    chosen = list(every(worlds, max(1, len(worlds) // WORLDS)))
    covered(f"another job, {mode}", cover_run(made, chosen, run_every=len(chosen)))
