"""spark.engine: velox aggregates in native code, and what proves the aggregation stays in the JVM."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.support.spark_session import ENGINE
from tests.support.warehouse import Job
from traffic_aggr.spark.engine import VELOX

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
    assert sorted(map(tuple, job.final_rows().collect()), key=repr) == job.sources.expected()
    assert re.fullmatch(r"\d+\.\d+\.\d+", job.record()["versions"]["gluten"])
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


def test_text_is_written_from_what_velox_has_aggregated(job: Job) -> None:
    job.create_final("text")
    result = job("run")
    assert result.code == 0, result.err
    assert sorted(map(tuple, job.final_rows().collect()), key=repr) == job.sources.expected()
