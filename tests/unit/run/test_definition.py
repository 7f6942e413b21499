"""The definition of a job: what is wrong with one, and how a configuration names it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from traffic_aggr.errors import ConfigError
from traffic_aggr.hive.schema import Column
from traffic_aggr.run.definition import Dimension, Lookup, load_definition
from traffic_aggr.run.totals import Fact, Total, Unit
from traffic_aggr.traffic.job import TRAFFIC

INCOMPLETE = """
from dataclasses import replace
from traffic_aggr.traffic.job import TRAFFIC
JOB = replace(TRAFFIC, raw=())
"""
ORDERS = Total("orders", "Orders", Unit.COUNT, final="SUM(orders)")


def test_the_traffic_job_is_what_a_configuration_names_by_default() -> None:
    assert load_definition("traffic_aggr.traffic.job:TRAFFIC") is TRAFFIC


def test_a_definition_needs_no_spark() -> None:
    code = "import sys; sys.modules['pyspark'] = None; import traffic_aggr.traffic.job"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"totals": (*TRAFFIC.totals, TRAFFIC.totals[0])}, "cdrs is twice a total or fact"),
        ({"facts": (*TRAFFIC.facts, Fact("rows"))}, "rows is twice a total or fact"),
        ({"final": (*TRAFFIC.final, TRAFFIC.final[0])}, "customernumber is twice a column of final"),
        ({"final": (*TRAFFIC.final, Column("partition_date", "STRING"))}, "partition_date is twice a column of final"),
        ({"raw": TRAFFIC.raw[:-1]}, "raw has no column partition_date"),
        ({"raw": (*TRAFFIC.raw, TRAFFIC.raw[0])}, "cdrid is twice a column of raw"),
        (
            {"totals": (*TRAFFIC.totals, replace(ORDERS, final=""))},
            "total orders has no expression of final for Impala",
        ),
        (
            {"totals": (*TRAFFIC.totals, replace(ORDERS, bounds=("few", "cdrs")))},
            "total orders is bounded by few, which is no measure of raw",
        ),
        ({"headline": ORDERS}, "its headline orders is not one of its totals"),
        ({"texts": ("nothing",)}, "text nothing is no column of final"),
        ({"lookups": (Lookup("rates", "code", ()),)}, "lookup rates has no column code, its key"),
        ({"dimensions": (Dimension("a", "A", "A"), Dimension("a", "B", "B"))}, "a is twice a dimension"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_definition_that_cannot_work_is_refused(changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match="the job traffic is not well defined") as refused:
        replace(TRAFFIC, **changed)
    assert problem in refused.value.message


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        replace(TRAFFIC, raw=TRAFFIC.raw[:-1], headline=ORDERS)
    assert "raw has no column partition_date" in refused.value.message
    assert "its headline orders is not one of its totals" in refused.value.message


@pytest.mark.parametrize(
    ("source", "reference", "said"),
    [
        (None, "nowhere.job:JOB", "cannot be imported: No module named 'nowhere'"),
        (None, "", "cannot be imported"),
        (None, "traffic_aggr.traffic.job", "cannot be imported"),
        ("JOB = 1", "site_job:JOB", "is no JobDefinition"),
        ("JOB = 1", "site_job:OTHER", "cannot be imported: module 'site_job' has no attribute 'OTHER'"),
        ("1 / 0", "site_job:JOB", "cannot be imported: division by zero"),
        ("JOB =", "site_job:JOB", "cannot be imported: invalid syntax"),
        (
            INCOMPLETE,
            "site_job:JOB",
            "is not well defined: raw has no column",
        ),
    ],
    ids=[
        "no module",
        "nothing",
        "no name",
        "another kind",
        "no such name",
        "an error",
        "no Python",
        "not well defined",
    ],
)
def test_a_reference_to_no_definition_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reference: str, said: str
) -> None:
    if source is not None:
        (tmp_path / "site_job.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "site_job", raising=False)
    with pytest.raises(ConfigError) as refused:
        load_definition(reference)
    assert said in refused.value.message
    assert "\n" not in refused.value.message
