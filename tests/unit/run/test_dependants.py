"""Which tables follow a job's days, and which of their partitions are pending."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from traffic_aggr.config.load import load_config
from traffic_aggr.errors import ConfigError, StateError
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.hive.partitions import Partition, PartitionColumn
from traffic_aggr.run.dependants import Dependant, PendingDependants, load_dependants
from traffic_aggr.traffic.job import TRAFFIC
from traffic_aggr.usage_trend.job import USAGE_TREND

MONTH = PartitionColumn("month", "month")
TREND = Dependant("db.trend", MONTH, "/app/trend.yaml")
OTHER = Dependant("db.other", MONTH, "/app/other.yaml")
DAYS = tuple(map(Partition, ("2021-04-30", "2021-05-01", "2021-04-01")))


def write(home: Path, name: str, **sections: Any) -> Path:
    """A configuration of days; ``sections`` are merged over it."""
    document: dict[str, Any] = {
        "tables": {"database": "db"},
        "partitions": {"file": "list"},
        "impala": {"enabled": False},
        "state": {"dir": f"{name}/state", "status_file": f"{name}/status", "lock_file": f"{name}/lock"},
        "logs": {"dir": "logs"},
        "notify": {"smtp": {"host": None}, "alert_file": "alerts.jsonl"},
    }
    for section, values in sections.items():
        document[section] = {**document.get(section, {}), **values} if isinstance(values, dict) else values
    path = home / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def write_trend(home: Path, **sections: Any) -> Path:
    tables = {"raw": "traffic_aggr_adhoc", "staging": "trend_inter", "final": "trend", **sections.pop("tables", {})}
    job = {"definition": "traffic_aggr.usage_trend.job:USAGE_TREND", **sections.pop("job", {})}
    return write(home, "trend", tables=tables, job=job, **sections)


def loaded(home: Path, **sections: Any) -> tuple[Dependant, ...]:
    path = write(home, "days", **{"dependants": ["trend.yaml"], **sections})
    return load_dependants(load_config(path, {}), TRAFFIC, {})


def test_a_dependant_is_read_from_its_configuration(tmp_path: Path) -> None:
    path = write_trend(tmp_path)
    assert loaded(tmp_path) == (Dependant("db.trend", USAGE_TREND.partition, str(path)),)
    assert loaded(tmp_path, dependants=[]) == ()


@pytest.mark.parametrize(
    ("trend", "wrong"),
    [
        ({"tables": {"raw": "elsewhere"}}, "reads db.elsewhere, not db.traffic_aggr_adhoc"),
        ({"tables": {"database": "other"}}, "reads other.traffic_aggr_adhoc, not db.traffic_aggr_adhoc"),
        ({"dependants": ["days.yaml"]}, "days.yaml leads back to it"),
        ({"dependants": ["trend.yaml"]}, "trend.yaml leads back to it"),
        ({"state": {"dir": "days/state"}}, "has the same state.dir"),
    ],
    ids=["another raw", "another database", "a cycle", "itself", "the same state"],
)
def test_a_dependant_that_cannot_follow_is_refused(tmp_path: Path, trend: dict[str, Any], wrong: str) -> None:
    write_trend(tmp_path, **trend)
    with pytest.raises(ConfigError, match=wrong):
        loaded(tmp_path)


def test_a_dependant_of_months_cannot_be_made_from_months(tmp_path: Path) -> None:
    write_trend(tmp_path)
    config = load_config(write(tmp_path, "days", dependants=["trend.yaml"]), {})
    with pytest.raises(ConfigError, match="reads partitions by partition_date, not by month"):
        load_dependants(config, USAGE_TREND, {})


def test_the_months_of_days_follow_once_each() -> None:
    assert TREND.around(DAYS) == ("2021-04", "2021-05")
    assert TREND.around(DAYS)[0].directory == "month=2021-04"


def test_partitions_are_pending_until_they_are_done(tmp_path: Path) -> None:
    pending = PendingDependants(str(tmp_path / "state"), LocalFiles())
    assert pending.read() == {}

    pending.note([TREND, OTHER], DAYS[:1])
    pending.note([TREND], DAYS)
    assert pending.read() == {"db.trend": ["2021-04", "2021-05"], "db.other": ["2021-04"]}
    assert [each.directory for each in pending.of(TREND)] == ["month=2021-04", "month=2021-05"]

    pending.done(TREND, pending.of(TREND)[:1])
    pending.done(OTHER, pending.of(OTHER))
    assert pending.read() == {"db.trend": ["2021-05"]}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"pending": {"db.trend": ["2021-13"]}}', '{"pending": ["2021-04"]}', '{"version": 1}']
)
def test_what_cannot_be_read_is_no_empty_list(tmp_path: Path, text: str) -> None:
    pending = PendingDependants(str(tmp_path), LocalFiles())
    (tmp_path / "pending.json").write_text(text)
    with pytest.raises(StateError, match=r"pending\.json"):
        pending.note([TREND], DAYS)
    assert (tmp_path / "pending.json").read_text() == text


def test_what_has_not_changed_is_not_written(tmp_path: Path) -> None:
    pending = PendingDependants(str(tmp_path), LocalFiles())
    pending.done(TREND, DAYS)
    assert not (tmp_path / "pending.json").exists()
    pending.note([TREND], DAYS)
    assert json.loads((tmp_path / "pending.json").read_text())["version"] == 1
