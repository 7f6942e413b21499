"""
The run record as JSON: the file of a run in ``state.dir``, and its copy beside the final table.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from traffic_aggr.errors import PartitionListError, StateError
from traffic_aggr.hive.layout import Placement, RowFormat
from traffic_aggr.run.breakdown import Breakdown
from traffic_aggr.run.command_line import UNKNOWN, CommandLine
from traffic_aggr.run.definition import JobDefinition
from traffic_aggr.run.record import (
    Change,
    Day,
    DayTotals,
    Input,
    Next,
    Outcome,
    Publication,
    RunRecord,
    Staged,
    StepRecord,
)

RECORD_VERSION = 2


def record_to_json(record: RunRecord) -> str:
    """Returns everything but ``job``, which whoever reads the record knows."""
    fields = (item.name for item in dataclasses.fields(record) if item.name != "job")
    document = {"version": RECORD_VERSION, **{name: getattr(record, name) for name in fields}}
    document["totals"] = {partition: totals.to_json() for partition, totals in record.totals.items()}
    document["breakdown"] = {dimension: found.to_json() for dimension, found in record.breakdown.items()}
    return json.dumps(document, indent=1, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else str(value)


def record_from_json(text: str, source: str, job: JobDefinition) -> RunRecord:
    """
    Reads the record in ``text``, of a run of ``job``.

    Raises StateError naming ``source`` when the record is damaged or has a newer version.
    """
    try:
        document = json.loads(text)
        version = document.pop("version")
        if version > RECORD_VERSION:
            raise StateError(
                f"{source} has version {version}, this program knows {RECORD_VERSION}",
                hint="Use the version of the program that wrote it",
            )
        return _record(document, job)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, PartitionListError) as exc:
        raise StateError(
            f"the run record {source} is damaged ({exc})",
            hint="Restore it from the copy in the run's directory beside the final table, or from a backup",
        ) from exc


def _record(document: dict[str, Any], job: JobDefinition) -> RunRecord:
    partition = job.partition.partition
    known = {item.name for item in dataclasses.fields(RunRecord)}
    values = {name: value for name, value in document.items() if name in known}
    values["outcome"] = Outcome(values["outcome"])
    values["publication"] = Publication(values["publication"])
    values["typed"] = CommandLine.from_json(values["typed"]) if "typed" in values else UNKNOWN
    values["next"] = Next(**values["next"]) if values.get("next") else None
    values["partitions"] = [partition(value) for value in values["partitions"]]
    values.update({key: [partition(day) for day in values.get(key, [])] for key in ("kept", "refused")})
    values["steps"] = [StepRecord(**{**step, "outcome": Outcome(step["outcome"])}) for step in values["steps"]]
    values["changes"] = [Change(**change) for change in values["changes"]]
    values["inputs"] = {partition(key): Input(**value) for key, value in values.get("inputs", {}).items()}
    values["days"] = {partition(key): _day(value) for key, value in values["days"].items()}
    values["staged"] = Staged(**values["staged"]) if values["staged"] else None
    values["totals"] = {partition(key): DayTotals.from_json(value) for key, value in values["totals"].items()}
    values["breakdown"] = {
        dimension: Breakdown.from_json(value) for dimension, value in values.get("breakdown", {}).items()
    }
    return RunRecord(job=job, **values)


def _day(value: dict[str, Any]) -> Day:
    before = value["before"]
    if before is not None:
        own_format = before["row_format"]
        row_format = RowFormat(**own_format) if own_format else None
        before = Placement(**{"parameters": None, **before, "row_format": row_format})
    return Day(**{**value, "before": before})
