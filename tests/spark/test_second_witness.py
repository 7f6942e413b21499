"""Impala asked for totals of its own, of raw before a run and of final after it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import SparkSession

from devtools.impala_double import ImpalaDouble
from devtools.impala_double.spark_catalog import SparkCatalog
from devtools.impala_double.storage import LocalStorage, Stamp
from tests.support.totals import asked_of_final, asked_of_raw
from tests.support.warehouse import LISTED, RAW, Job
from traffic_aggr.hive.sql import TableName

FIRST, SECOND, THIRD = LISTED
MODES = pytest.mark.parametrize("mode", ["drop_and_load", "swap"])
ODD_CALLTYPES = [
    "VO\u0130CE",
    "vo\u0131ce",
    "\u017fms",
    "DATA\t",
    "\u00a0sms",
    "voice\u3000",
    "  Voice  ",
    "dATA",
    "S M S",
]


class Misreading(LocalStorage):
    """Reads one more of ``column`` in each row of the Parquet files whose path holds ``below``, than Spark does."""

    def __init__(self, scratch: Path, below: str, column: str, amount: str) -> None:
        self._scratch, self._below = scratch, below
        self._change = f'"{column}" + {amount}::DECIMAL(18,6)'
        self._column = column

    def readable(self, path: str, stamp: Stamp) -> str:
        if self._below not in path:
            return super().readable(path, stamp)
        copy = self._scratch / f"{abs(hash(path))}.parquet"
        source = f"read_parquet('{path}', hive_partitioning = false)"
        kind = duckdb.sql(f'SELECT typeof("{self._column}") FROM {source} LIMIT 1').fetchall()[0][0]
        changed = f'SELECT * REPLACE (CAST({self._change} AS {kind}) AS "{self._column}") FROM {source}'
        duckdb.sql(f"COPY ({changed}) TO '{copy}' (FORMAT parquet)")
        return str(copy)


@contextmanager
def misreading(job: Job, below: str, column: str, amount: str = "0.000001") -> Iterator[ImpalaDouble]:
    scratch = job.home / "misread"
    scratch.mkdir()
    with ImpalaDouble(SparkCatalog(job.spark), storage=Misreading(scratch, below, column, amount)) as double:
        job.use_impala(double)
        yield double


def raw_of(job: Job) -> TableName:
    return TableName(job.database, RAW)


def own_raw(job: Job, day: str) -> Path:
    """Points a day of raw to a copy of its files, for the test to change; the copy."""
    directory = job.home / "raw" / f"partition_date={day}"
    shutil.copytree(job.sources.root / "raw" / f"partition_date={day}", directory)
    job.spark.sql(
        f"ALTER TABLE {raw_of(job).quoted} PARTITION (partition_date='{day}') SET LOCATION 'file:{directory}'"
    )
    return directory


def sent(job: Job) -> list[str]:
    return [each["sql"] for each in job.record()["impala"]]


@MODES
def test_raw_that_impala_reads_otherwise_is_refused_before_anything_is_touched(job: Job, mode: str) -> None:
    job.create_final()
    job.settings["publish"] = {"mode": mode}
    before, places = job.content(LISTED), job.partitions()

    with misreading(job, f"/raw/partition_date={SECOND}/", "whole_sale_cost_5"):
        refused = job("run")

    assert refused.code == 3
    assert f"Spark and Impala read {raw_of(job)} differently: {SECOND} whole_sale_cost_5: raw 150.000000" in refused.err
    assert "raw in Impala 150.000150" in refused.err
    assert "nothing was touched, old data is in place" in refused.err
    assert (job.content(LISTED), job.partitions()) == (before, places)
    record = job.record()
    assert (record["publication"], record["steps"]) == ("untouched", [])
    assert record["totals"][SECOND]["impala_raw"]["whole_sale_cost_5"] == "150.000150"
    asked = asked_of_raw(raw_of(job), LISTED)
    assert sent(job) == [asked, f"REFRESH {raw_of(job)} PARTITION (partition_date='{SECOND}')", asked]
    assert not job.spark.catalog.tableExists(str(job.staging))


@pytest.mark.parametrize(
    ("column", "total"),
    [("whole_sale_cost_5", "whole_sale_cost_5"), ("noofcdrids", "cdrs")],
)
def test_final_that_impala_reads_otherwise_in_one_total_fails_the_run(job: Job, column: str, total: str) -> None:
    job.create_final()
    with misreading(job, f"/final/partition_date={SECOND}/", column, "1"):
        failed = job("run")

    assert failed.code == 1
    assert f"Impala does not see what was loaded: {SECOND} {total}: final " in failed.err
    assert "new data is in place for 3 partitions" in failed.err
    assert failed.err.splitlines()[-1].count(", impala ") == 1

    with ImpalaDouble(SparkCatalog(job.spark)) as right:
        job.use_impala(right)
        resumed = job("run")

    assert resumed.code == 0, resumed.err
    assert sent(job) == [f"REFRESH {job.final}", asked_of_final(job.final, LISTED)]
    assert f"raw = staging = final = Impala on all {len(LISTED)} days" in resumed.out


def test_raw_is_not_asked_for_where_the_configuration_says_so(job: Job) -> None:
    job.create_final()
    with misreading(job, f"/raw/partition_date={SECOND}/", "whole_sale_cost_5"):
        job.settings["impala"]["verify_raw"] = False
        result = job("run")

    assert result.code == 0, result.err
    assert not [statement for statement in sent(job) if str(raw_of(job)) in statement]
    assert f"raw = staging = final = Impala (not asked for raw) on all {len(LISTED)} days" in result.out


@pytest.mark.quick
def test_raw_that_impala_has_not_refreshed_is_refreshed_and_the_run_goes_on(job: Job, impala: ImpalaDouble) -> None:
    job.create_final()
    job.use_impala(impala)
    impala._service._cache.table(job.database, raw_of(job).name)
    raw = own_raw(job, FIRST)
    shutil.copy(next(raw.glob("*.parquet")), raw / "late.parquet")

    result = job("run")

    assert result.code == 0, result.err
    asked = asked_of_raw(raw_of(job), LISTED)
    assert sent(job)[:3] == [asked, f"REFRESH {raw_of(job)} PARTITION (partition_date='{FIRST}')", asked]
    totals = job.record()["totals"][FIRST]
    assert totals["impala_raw"]["rows"] == totals["raw"]["rows"] > 150


def test_a_day_that_is_kept_since_spark_sees_no_rows_is_refused_where_impala_sees_some(job: Job) -> None:
    class Seeing(LocalStorage):
        """Finds the files of the first day of raw in the directory of the third as well."""

        def list(self, location: str) -> dict[str, Stamp]:
            return super().list(str(full) if location == str(emptied) else location)

    job.create_final()
    full, emptied = own_raw(job, FIRST), own_raw(job, THIRD)
    for file in emptied.iterdir():
        file.unlink()
    job.settings["partitions"] = {"empty_source": "keep"}
    before = job.content(LISTED)

    with ImpalaDouble(SparkCatalog(job.spark), storage=Seeing()) as double:
        job.use_impala(double)
        refused = job("run")
        alone = job("run", "--dates", THIRD)

    assert (refused.code, alone.code) == (3, 3)
    for result in (refused, alone):
        assert f"{THIRD} rows: raw 0, raw in Impala 150" in result.err
    assert job.content(LISTED) == before


@pytest.fixture
def turkish(spark: SparkSession) -> Iterator[None]:
    """A JVM whose texts become lower case as in Turkish."""
    locale = spark._jvm.java.util.Locale  # type: ignore[union-attr]
    before = locale.getDefault()
    locale.setDefault(locale.forLanguageTag("tr"))
    yield
    locale.setDefault(before)


@pytest.mark.usefixtures("turkish")
def test_odd_call_types_are_told_apart_alike_by_spark_and_impala(job: Job, impala: ImpalaDouble) -> None:
    job.create_final()
    job.use_impala(impala)
    raw = own_raw(job, FIRST)
    values = ", ".join(f"('{calltype}')" for calltype in ODD_CALLTYPES)
    rows = f"(SELECT * FROM '{raw}/*.parquet' LIMIT 20) r, (VALUES {values}) odd(calltype)"
    odd = raw / "odd.parquet"
    duckdb.sql(f"COPY (SELECT r.* REPLACE (odd.calltype AS calltype) FROM {rows}) TO '{odd}' (FORMAT parquet)")
    for file in set(raw.iterdir()) - {odd}:
        file.unlink()
    usage = "sum(bytes) FILTER (calltype = 'dATA'), sum(retailduration) FILTER (calltype = '  Voice  ')"
    ((data, voice),) = duckdb.sql(f"SELECT {usage} FROM '{odd}'").fetchall()

    result = job("run", "--dates", FIRST)

    assert result.code == 0, result.err
    totals = job.record()["totals"][FIRST]
    assert (totals["raw"]["bytes"], totals["raw"]["voice_secs"], totals["raw"]["sms"]) == (data, voice, 0)
    assert totals["raw"]["unclassified"] == 20 * (len(ODD_CALLTYPES) - 2)
