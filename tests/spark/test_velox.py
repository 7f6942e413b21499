"""spark.engine: velox aggregates in native code, and what proves the aggregation stays in the JVM."""

from __future__ import annotations

import os
import re
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from tests.support.awkward_days import AwkwardDays
from tests.support.installation import PATIENCE_S, Installation
from tests.support.spark_session import ENGINE
from tests.support.warehouse import RAW, Job
from traffic_aggr.errors import InputError
from traffic_aggr.spark.engine import VELOX, refuse_unreachable_files
from traffic_aggr.traffic import aggregation

pytestmark = pytest.mark.skipif(ENGINE != VELOX, reason="runs with TRAFFIC_AGGR_TEST_ENGINE=velox: make test-velox")

NATIVE = re.compile(r".*(Transformer|Velox|Columnar)")
BETWEEN = re.compile(r"AdaptiveSparkPlan|AQEShuffleRead|ReusedExchange|Execute InsertIntoHadoopFsRelationCommand")
LEFT_TO_THE_JVM = re.compile(r"CollectMetrics|InMemoryTableScan|Scan hive \S+\.org_details ?")


def plans(spark: SparkSession) -> dict[int, list[str]]:
    """The names of the nodes that each of the session's last queries had in the end, by its number."""
    store: Any = spark._jsparkSession.sharedState().statusStore()
    executions = store.executionsList()
    found = {}
    for number in range(executions.size()):
        execution = executions.apply(number).executionId()
        nodes = store.planGraph(execution).allNodes()
        found[execution] = [nodes.apply(each).name() for each in range(nodes.size())]
    return found


def test_velox_aggregates_from_scan_to_write_and_nothing_else(job: Job) -> None:
    job.settings["publish"] = {"mode": "swap"}
    job.create_final()
    before = max(plans(job.spark), default=0)

    result = job("run")

    assert result.code == 0, result.err
    assert job.rows() == job.sources.expected()
    record = job.record()
    assert re.fullmatch(r"\d+\.\d+\.\d+", record["versions"]["gluten"])
    assert record["engine"] == VELOX
    assert sorted(name.rpartition(".")[2] for name in record["fallbacks"]) == ["CollectMetrics", "org_details"]
    assert all(record["fallbacks"].values()), "each has a reason"
    made = [names for number, names in plans(job.spark).items() if number > before]
    writes = [names for names in made if any("InsertInto" in name for name in names)]
    assert len(writes) == 1
    (names,) = writes
    assert "VeloxColumnarWriteFiles" in names
    assert "ColumnarPartialProject" not in names  # the JVM would compute a part of each row
    in_cache = names.index("InMemoryTableScan") if "InMemoryTableScan" in names else len(names)
    known = (NATIVE, BETWEEN, LEFT_TO_THE_JVM)
    assert [name for name in names[:in_cache] if not any(kind.match(name) for kind in known)] == []
    proofs = [names for names in made if names not in writes]
    assert len(proofs) > 5
    assert [name for names in proofs for name in names if NATIVE.match(name)] == []


def test_check_names_what_velox_leaves_to_the_jvm_before_any_run(job: Job) -> None:
    result = job("check")
    assert result.code == 0, result.out
    line = next(line for line in result.out.splitlines() if "velox aggregates" in line)
    assert re.search(r"^ok    velox aggregates; in its place, the JVM does .*CollectMetrics \(.+\)", line)


@pytest.mark.parametrize(
    ("locations", "said"),
    [
        (["/tables/raw", "file:/tables/raw"], ""),
        (["file:/tables/raw", "s3a://bucket/raw"], "velox reads local files and HDFS, and tables are in s3a"),
        (["hdfs://nameservice1/raw"], "velox needs Hadoop's libhdfs.so on the executors"),
    ],
)
def test_files_that_velox_cannot_read_are_refused(spark: SparkSession, locations: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said) if said else nullcontext():
        refuse_unreachable_files(spark, locations)


def test_velox_reads_all_kinds_of_files_as_duckdb_does(spark: SparkSession, tmp_path: Path) -> None:
    spark.sql("CREATE DATABASE awkward_for_velox")
    try:
        assert AwkwardDays(spark, "awkward_for_velox", tmp_path).wrong() == []
    finally:
        spark.sql("DROP DATABASE awkward_for_velox CASCADE")


def test_raw_of_120_columns_is_restated_exactly(job: Job) -> None:
    name, directory = f"{job.database}.{RAW}", job.home / "wide"
    rows = job.spark.table(name)
    needed = rows.drop("partition_date").columns
    others = {f"other_{number}": F.lit(str(number)) for number in range(119 - len(needed))}
    wide = rows.withColumns(others).select(*others, *reversed(needed), "partition_date")
    assert len(wide.columns) == 120
    wide.write.partitionBy("partition_date").parquet(str(directory))
    fields = ", ".join(f"{column} {type_}" for column, type_ in wide.dtypes if column != "partition_date")
    job.spark.sql(f"DROP TABLE {name}")
    job.spark.sql(
        f"CREATE EXTERNAL TABLE {name} ({fields}) PARTITIONED BY (partition_date STRING) "
        f"STORED AS PARQUET LOCATION 'file:{directory}'"
    )
    job.spark.sql(f"MSCK REPAIR TABLE {name}")

    result = job("run")

    assert result.code == 0, result.err
    assert job.rows() == job.sources.expected()


def test_a_value_that_velox_gets_wrong_is_never_published(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.settings["publish"] = {"mode": "swap"}
    job.create_final()
    before = job.rows()
    right = aggregation.final_rows

    def wrong(groups: DataFrame) -> DataFrame:
        """One second too many in some rows, computed by Velox."""
        more = F.when(F.col("customernumber") == "c1", 1).otherwise(0)
        return right(groups).withColumn("voice_usage_in_secs", F.col("voice_usage_in_secs") + more)

    monkeypatch.setattr(aggregation, "final_rows", wrong)
    result = job("run")
    assert result.code == 3, result.err
    assert "staging differs from raw" in result.err
    assert "nothing was touched, old data is in place" in result.err
    assert job.rows() == before


def crash_files() -> set[Path]:
    """What crashes have left in the directory that drivers are started in."""
    return {*Path("/").glob("core*"), *Path("/").glob("hs_err*")}


def test_a_crash_in_native_code_is_an_ordinary_death(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    installation.make_sample_data()
    installation.configure({"spark": {"engine": VELOX}, "publish": {"mode": "swap"}})
    old, left_by_others = installation.data(), crash_files()

    process = installation.start("run")
    installation.wait_until(lambda record: [step["name"] for step in record.get("steps", ())] == ["stage"], process)
    os.kill(installation.newest_record()["jvm_process_id"], signal.SIGSEGV)
    _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 1, err
    assert "Spark's JVM has ended" in err, err
    assert "libjvm.so" not in err, f"the native stack is not the operator's: {err}"
    assert installation.data() == old, err
    assert [each.name for each in (tmp_path / "logs").glob("hs_err_pid*.log")], "beside Spark's log"
    assert crash_files() == left_by_others, "not in the working directory"

    code, out, err = installation.run("run")
    assert code == 0, err
    assert "raw = staging = final" in out


def test_text_is_written_from_what_velox_has_aggregated(job: Job) -> None:
    job.create_final("text")
    result = job("run")
    assert result.code == 0, result.err
    assert job.rows() == job.sources.expected()
