"""
Long lives of one table: runs, deaths, resumed runs, edits by hand, rollbacks, cleanups and other writers in any order,
against a model of what each day may hold. TRAFFIC_AGGR_EXAMPLES raises the number of lives.
"""

from __future__ import annotations

import os
import shutil
from typing import Any, Optional

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from pyspark.sql import SparkSession

from tests.support.crash.cover import Covered, harness
from tests.support.crash.harness import FINAL, Harness, Rows
from tests.support.warehouse import LISTED, UNLISTED, Job, Result, raw_rows
from traffic_aggr.host.status_file import StatusFile
from traffic_aggr.traffic.columns import RAW_COLUMNS

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1800)]

ADDED = ("2021-04-05", "2021-04-06")
DAYS = (*UNLISTED, *LISTED, *ADDED)
EXAMPLES = int(os.environ.get("TRAFFIC_AGGR_EXAMPLES", "3"))


class Versions:
    """Raw traffic of the listed days in two versions, and what the final table holds of each."""

    def __init__(self, made: Harness) -> None:
        job = made.job
        self._job = job
        self._raw = f"{job.database}.traffic_details_raw_daily_with_no_dups"
        other = job.home.parent / f"{job.home.name}-raw"
        schema = ", ".join(f"{column.name} {column.type}" for column in RAW_COLUMNS)
        names = [column.name for column in RAW_COLUMNS]
        rows = [tuple(row.get(name) for name in names) for row in raw_rows(seed=8, per_day=60)]
        frame = job.spark.createDataFrame(rows, schema).coalesce(1)
        frame.write.partitionBy("partition_date").parquet(str(other))
        self._directories = (job.sources.root / "raw", other)
        self.rows: list[dict[str, Rows]] = []
        for version in (0, 1):
            for day in LISTED:
                self.choose(day, version)
            assert job("run").code == 0
            self.rows.append(made.days(made.world("one version")))
        made.put_back(made.start)

    def choose(self, day: str, version: int) -> None:
        where = f"file:{self._directories[version]}/partition_date={day}"
        partition = f"PARTITION (partition_date='{day}')"
        self._job.spark.sql(f"ALTER TABLE {self._raw} {partition} SET LOCATION '{where}'")


class Life(RuleBasedStateMachine):
    """
    ``content`` is what each day holds. After a death ``before`` and ``after`` say what the listed days of the run that
    died held, and were to hold: they are all the one or all the other as soon as a command has been through.
    """

    made: Harness
    versions: Versions

    @initialize()
    def begin(self) -> None:
        self.job = self.made.job
        self.made.put_back(self.made.start)
        shutil.rmtree(self.job.home / "elsewhere", ignore_errors=True)
        self.job.settings["publish"].pop("keep_days", None)
        self.raw = dict.fromkeys(LISTED, 0)
        for day in LISTED:
            self.versions.choose(day, 0)
        self.list(LISTED)
        self.content = self.found()
        self.died: Optional[tuple[dict[str, Rows], dict[str, Rows]]] = None
        self.exact = True
        self.runs: dict[str, dict[str, Rows]] = {}

    def list(self, days: tuple[str, ...]) -> None:
        self.listed = days
        (self.job.home / "partitions.txt").write_text("".join(f"{day}\n" for day in days))

    def found(self) -> dict[str, Rows]:
        return self.made.days(self.made.world("now"), DAYS)

    def command(self, *command: str, codes: tuple[int, ...] = (0,)) -> Result:
        result = self.job(*command)
        assert result.code in codes, f"{command}: {result.err}"
        assert "Traceback" not in result.err
        return result

    def settled(self, besides: tuple[str, ...] = ()) -> None:
        """All days are as the model says, those of a run that died all old or all new; ``besides`` are others."""
        found = self.found()
        if self.died is not None:
            before, after = self.died
            days = [day for day in before if day not in besides]
            assert {day: found[day] for day in days} in (
                {day: before[day] for day in days},
                {day: after[day] for day in days},
            )
            self.content.update({day: found[day] for day in days})
            self.died = None
        for day in DAYS:
            if day not in besides:
                assert found[day] == self.content[day], day
        self.content = found

    def is_restated(self, found: dict[str, Rows]) -> None:
        for day in self.listed:
            possible = [rows[day] for rows in self.versions.rows]
            assert found[day] in ([possible[self.raw[day]]] if self.exact else possible), day

    @rule()
    def run(self) -> None:
        before = dict(self.content)
        died = self.died
        self.command("run")
        self.is_restated(self.found())
        self.settled(besides=self.listed)
        if died is None:
            self.runs[self.job.record()["run_id"]] = {day: before[day] for day in self.listed}
        self.exact = True
        status = StatusFile(str(self.job.home / "status")).read()
        assert (status.flag, status.job_status) == (0, "Success")

    @rule(where=st.floats(0, 1, exclude_max=True))
    def die(self, where: float) -> None:
        """A run, or where one has died already its recovery, dies somewhere."""
        before = {day: self.content[day] for day in self.listed}
        worlds = self.made.follow("recover" if self.died else "run", effects=0)
        if self.died is None:
            after = self.made.days(self.made.world("the end"), self.listed)
            self.is_restated(after)
            self.died = (before, after)
        self.made.put_back(worlds[int(where * len(worlds))])
        self.exact = False
        self.runs.clear()

    @rule()
    def recover(self) -> None:
        self.command("recover")
        self.settled()

    @rule(days=st.sets(st.sampled_from(LISTED), min_size=1))
    def edit_the_list(self, days: set[str]) -> None:
        self.list(tuple(sorted(days)))

    @rule(flag=st.integers(0, 3))
    def edit_the_flag(self, flag: int) -> None:
        StatusFile(str(self.job.home / "status")).update(flag=flag)

    @rule(day=st.sampled_from(LISTED))
    def raw_changes(self, day: str) -> None:
        self.raw[day] = 1 - self.raw[day]
        self.versions.choose(day, self.raw[day])

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def roll_back(self, data: Any) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.runs)))
        result = self.command("rollback", run_id, codes=(0, 3))
        if result.code == 0:
            self.content.update(self.runs.pop(run_id))
        self.settled()

    @rule(keep_days=st.sampled_from([0, 7]))
    def clean_up(self, keep_days: int) -> None:
        self.job.settings["publish"]["keep_days"] = keep_days
        self.command("cleanup")
        self.settled()

    @rule(day=st.sampled_from(ADDED), elsewhere=st.booleans())
    def another_writer_adds_a_day(self, day: str, elsewhere: bool) -> None:
        if self.content[day] is None:
            self.add(day, elsewhere)

    @precondition(lambda self: self.died is None)
    @rule()
    def another_writer_adds_a_listed_day_elsewhere(self) -> None:
        day = LISTED[-1]
        if self.content[day] is None and day not in self.runs_days():
            self.add(day, True)

    def runs_days(self) -> set[str]:
        return {day for days in self.runs.values() for day in days}

    def add(self, day: str, elsewhere: bool) -> None:
        final = self.job.home / "a ware house" / "final"
        target = (self.job.home / "elsewhere" if elsewhere else final) / f"partition_date={day}"
        if target.exists():
            return
        shutil.copytree(final / f"partition_date={UNLISTED[0]}", target)
        spec = f"PARTITION (partition_date='{day}') LOCATION 'file:{target}'"
        self.job.spark.sql(f"ALTER TABLE {self.job.database}.{FINAL} ADD {spec}")
        self.content[day] = self.found()[day]


@pytest.mark.parametrize("mode", ["drop_and_load", "swap"])
def test_whatever_happens_in_whatever_order_every_day_is_whole(
    job: Job, spark: SparkSession, mode: str, covered: Covered
) -> None:
    made = harness(job, mode)
    lives = 0

    class Followed(Life):
        def __init__(self) -> None:
            nonlocal lives
            lives += 1
            self.made, self.versions = made, versions
            super().__init__()

    versions = Versions(made)
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=8,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Followed, settings=chosen)
    covered(f"{mode} state machine", f"{lives} lives of 8 steps, derandomized")
