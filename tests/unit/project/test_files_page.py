"""docs/files.md names every field, column, key and metric of the files that the job writes, and no other."""

from __future__ import annotations

import ast
import csv
import dataclasses
import io
import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from tests.support.fakes import FIRST, run_record
from tests.support.paths import ROOT
from tests.support.reported_runs import succeeded
from tests.support.totals import raw, usage
from traffic_aggr.cli.output import JSON_VERSION, error_json
from traffic_aggr.config.secrets import Redactor
from traffic_aggr.errors import TrafficAggrError
from traffic_aggr.events import Event
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.host import log
from traffic_aggr.host.alerts import FAILURE, RECOVERY, Alert
from traffic_aggr.host.holder import Holder
from traffic_aggr.host.metrics import render_metrics
from traffic_aggr.host.status_file import StatusFile
from traffic_aggr.impala.refresh import SentStatement
from traffic_aggr.report.page import report_files
from traffic_aggr.report.plan_text import plan_json
from traffic_aggr.report.status import Overview, summary
from traffic_aggr.restate.cleanup import Kept, Removal
from traffic_aggr.run.breakdown import TOP, Cells, UsageBy, compare
from traffic_aggr.run.dependants import Dependant, PendingDependants
from traffic_aggr.run.estimate import Estimate
from traffic_aggr.run.plan import FoundDay, Plan, Refusal, Start, Step
from traffic_aggr.run.record import STAGES, DayTotals, Outcome, Publication, RunRecord, StepRecord
from traffic_aggr.run.record_json import RECORD_VERSION, record_to_json
from traffic_aggr.run.result import RESULT_VERSION
from traffic_aggr.run.store import COPY_NAME, DAILY_CSV, INDEX, REPORT, REPORT_JSON
from traffic_aggr.run.totals import Totals
from traffic_aggr.traffic.job import TRAFFIC
from traffic_aggr.usage_trend.job import USAGE_TREND

PAGE = re.sub(r"^```\n.*?^```\n", "", (ROOT / "docs" / "files.md").read_text(), flags=re.MULTILINE | re.DOTALL)
"""The page without its examples."""

SECTIONS = re.findall(r"^#+ (.*)\n((?:(?!#).*\n)*)", PAGE, re.MULTILINE)
"""Headings, each with the text up to the next one."""

ELSEWHERE = {"steps[]", "totals.DAY", "breakdown.DAY"}
"""Objects of the record that the page explains together with those of the report."""


def part(heading: str) -> str:
    """The text under a heading."""
    (text,) = (text for title, text in SECTIONS if title == heading)
    return str(text)


def rows(heading: str, first: str) -> list[list[str]]:
    """The cells of the table under ``heading`` whose first column has the head ``first``."""
    (table,) = re.findall(rf"^\| {first} \|.*\n\|[- |]+\|\n((?:\|.*\n)+)", part(heading), re.MULTILINE)
    return [re.split(r" *\| *", line.strip("|").strip()) for line in table.splitlines()]


def names(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def named(heading: str, first: str = "key") -> set[str]:
    """The names in the first column of that table, each there once."""
    found = [name for row in rows(heading, first) for name in names(row[0])]
    assert len(found) == len(set(found))
    return set(found)


def under(path: str, keys: Mapping[str, object]) -> set[str]:
    return {f"{path}.{key}" for key in keys}


def fields(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def paths(kind: Any, at: str = "") -> Iterator[str]:
    """The fields of a dataclass and of those within it: ``days.DAY.before.location``, ``changes[].what``."""
    for name, hint in get_type_hints(kind).items():
        if name == "job":
            continue
        path = f"{at}.{name}" if at else name
        yield path
        inner, inside = within(hint)
        if inner is not None and path + inside not in ELSEWHERE:
            yield from paths(inner, path + inside)


def within(hint: Any) -> tuple[Any, str]:
    """The dataclass that a field holds, and how a path goes on to it; None where it holds no dataclass."""
    if dataclasses.is_dataclass(hint):
        return hint, ""
    arguments = [each for each in get_args(hint) if each is not type(None)]
    inner, inside = within(arguments[-1]) if arguments else (None, "")
    way = {list: "[]", dict: ".DAY", Union: ""}.get(get_origin(hint), "")
    return inner, way + inside


@pytest.fixture
def record() -> RunRecord:
    """A run whose days have been through every stage."""
    every = DayTotals(**{stage: raw(rows=1) if stage == "raw" else Totals(1) for stage in STAGES})
    return succeeded(
        totals={FIRST: every},
        steps=[StepRecord("stage", "2021-05-04T02:30:00.000+00:00")],
        impala=[{"sql": "REFRESH a", "host": "impalad-1:21050", "attempts": 1, "seconds": 1.0, "outcome": "ok"}],
    )


def test_no_heading_occurs_twice() -> None:
    titles = [title for title, _ in SECTIONS]
    assert len(titles) == len(set(titles))


def test_links_within_the_page_lead_somewhere() -> None:
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title, _ in SECTIONS}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) - anchors == set()


def test_every_file_beside_a_record_has_its_heading_or_row() -> None:
    for name in (REPORT, REPORT_JSON, DAILY_CSV, INDEX):
        part(name)
    assert f"/{COPY_NAME}`" in part("Files that only the job needs")


def test_the_fields_of_the_record_are_named(record: RunRecord) -> None:
    written = {*json.loads(record_to_json(record))}
    assert named("The run record", "field") == written
    assert written == {"version", *(path for path in paths(RunRecord) if re.fullmatch(r"\w+", path))}


def test_the_objects_in_the_record_are_named() -> None:
    assert named("Objects in the record", "field") == {path for path in paths(RunRecord) if "." in path}


def test_the_states_of_a_publication_and_outcomes_are_named() -> None:
    (meaning,) = (row[2] for row in rows("The run record", "field") if names(row[0]) == ["publication"])
    unsettled = {each.value for each in Publication if not each.settled}
    how_far, _, middle = meaning.partition(". In ")
    assert set(names(how_far)) == {each.value for each in Publication}
    assert set(names(middle)) == unsettled

    (outcomes,) = (row[1] for row in rows("What holds for all of them", "value") if row[0] == "outcome")
    assert set(names(outcomes)) == {each.value for each in Outcome}


def test_the_versions_are_named() -> None:
    assert f"`version` is {RECORD_VERSION}." in part("The run record")
    assert f"`version` is {RESULT_VERSION}." in part("report.json")
    assert f"`version` is {JSON_VERSION};" in part("Output of commands")


def test_the_keys_of_the_report_are_named(record: RunRecord) -> None:
    document = json.loads(report_files(record, keep_days=7)[REPORT_JSON])
    (day,) = document["days"].values()
    assert set(STAGES) < set(day)

    of_day = under("days.DAY", {"STAGE": None, **{key: None for key in day if key not in STAGES}})
    counts = under("day_counts", document["day_counts"])
    assert named("report.json") == {*document, *counts, *of_day} - {"days", "day_counts"}
    assert named("Steps") == {*document["steps"][0]} == fields(StepRecord)


def test_the_columns_of_the_csv_file_are_named(record: RunRecord) -> None:
    (header, *_) = csv.reader(io.StringIO(report_files(record, keep_days=7)[DAILY_CSV]))
    told = named("daily.csv", "column") - {"STAGE_TOTAL"}
    for row in rows("Control totals", "total"):
        which = set(names(row[3]))
        stages = which if row[3].startswith("only") else set(STAGES) - which
        told |= {f"{stage}_{total}" for total in names(row[0]) for stage in stages}

    assert told == set(header)


def test_the_stages_and_totals_are_named() -> None:
    assert named("Control totals", "stage") == set(STAGES)
    of_traffic = {*TRAFFIC.names, *(fact.name for fact in TRAFFIC.facts)}
    assert named("Control totals", "total") - of_traffic == {"rows", "source_rows"}
    assert set(USAGE_TREND.names) <= set(names(part("Control totals")))


def test_a_breakdown_is_explained() -> None:
    days = ("2021-04-01", "2021-04-02")
    after: Cells = {(str(number), day): usage(bytes=number, rows=1) for number in range(TOP + 2) for day in days}
    found = compare(UsageBy({}), UsageBy({"customer": after}), TRAFFIC.names)["customer"].to_json()
    within = {f"{key}[].{name}" for key in ("parts", "by_partition") for name in found[key][0]}
    assert named("Breakdown") == {*found, *within}
    assert named("Breakdown", "dimension") == {dimension.name for dimension in TRAFFIC.dimensions}

    (meaning,) = (row[2] for row in rows("Breakdown", "key") if "parts[].before" in row[0])
    assert set(names(meaning)) == set(found["parts"][0]["before"])


def test_the_statements_to_impala_are_named() -> None:
    assert named("Statements to Impala") == fields(SentStatement)


def test_the_metrics_are_named(record: RunRecord) -> None:
    text = render_metrics(record, record, "job")
    assert named("Metrics", "metric") == set(re.findall(r"^(\w+)\{", text, re.MULTILINE))


def test_the_keys_of_the_status_file_are_named(tmp_path: Path) -> None:
    StatusFile(str(tmp_path / "status")).update(flag=0)
    keys = {line.split("=")[0] for line in (tmp_path / "status").read_text().splitlines()}
    assert named("The status file") == keys


def test_the_keys_of_a_lock_are_named() -> None:
    assert named("The lock files") == fields(Holder)


def test_the_keys_of_an_alert_are_named() -> None:
    assert named("The alert file") == fields(Alert)
    assert {FAILURE, RECOVERY} <= set(names(part("The alert file")))


def test_the_keys_of_a_logged_line_are_named() -> None:
    error = (ValueError, ValueError("x"), None)
    logged = logging.LogRecord("traffic_aggr", logging.INFO, "here", 1, "done", (), error)
    logged.event = Event.PLANNED
    assert named("Logs") == {*json.loads(log.JsonFormatter(None, Redactor([])).format(logged))}
    assert named("Logs", "event") == {event.value for event in Event}
    assert f"`logs.dir/{log.FILE_NAME}`" in part("Logs")


def test_the_keys_of_what_is_pending_are_named(tmp_path: Path) -> None:
    trend = Dependant("mnaas.usage_trend", USAGE_TREND.partition, "usage_trend.yaml")
    PendingDependants(str(tmp_path), LocalFiles()).note([trend], [FIRST])
    document = json.loads((tmp_path / "pending.json").read_text())
    assert named("Pending partitions") == set(document)
    assert f"`version` is {document['version']}." in part("Pending partitions")


# ---- what commands print


def test_the_keys_of_an_error_are_named() -> None:
    assert named("Errors") == {"version", "runs", *error_json(TrafficAggrError("x"))}


def test_the_keys_of_status_are_named(tmp_path: Path) -> None:
    status = StatusFile(str(tmp_path / "status")).read()
    document = Overview(status, None, None, None, None, "", None).to_json()
    assert named("status") == {"version", *document, *under("status", document["status"])}


def test_the_keys_of_history_are_named() -> None:
    assert named("history") == {"version", *summary(run_record())}


def test_the_keys_of_a_plan_are_named() -> None:
    plan = Plan(TRAFFIC, "swap", Start(Step.STAGE), restated=(FIRST,), days={FIRST: FoundDay(raw())})
    document = plan_json(plan, [])
    assert named("plan") == {
        "version",
        *document,
        *under("days.DAY", document["days"][FIRST]),
        *(f"refusals[].{name}" for name in fields(Refusal)),
        *(f"estimate.{name}" for name in fields(Estimate)),
    }


def test_the_keys_of_other_commands_are_named() -> None:
    kept = {f"kept[].{name}" for name in fields(Kept)}
    removed = {f"removed[].{name}" for name in fields(Removal)}
    probed = {f"probes[].{name}" for name in ("state", "what", *error_json(TrafficAggrError("x")))}
    told = {key for name in ("alerts", "check", "cleanup") for key in printed(name)} - {"state", "what"}
    assert named("Other commands") == {"version", *told, *kept, *removed, *probed}


def test_every_command_that_prints_json_is_named() -> None:
    modules = {
        path.stem
        for path in (ROOT / "traffic_aggr" / "cli").glob("*.py")
        if re.search(r"(print|say)_json\(", path.read_text())
    }
    commands = {name for row in rows("Output of commands", "command") for name in names(row[0])} - {"--dry-run"}
    assert commands == modules - {"main", "output"}
    assert named("Runs") == {"version", *printed("run"), *printed("recover"), *printed("rollback")}


def printed(module: str) -> set[str]:
    """The keys of the dictionaries that a command's functions with ``print_json`` or ``say_json`` write out."""
    tree = ast.parse((ROOT / "traffic_aggr" / "cli" / f"{module}.py").read_text())
    written = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)]
    functions = [each for each in written if re.search("(print|say)_json", ast.dump(each))]
    keys = [key for each in functions for node in ast.walk(each) if isinstance(node, ast.Dict) for key in node.keys]
    return {str(key.value) for key in keys if isinstance(key, ast.Constant)}
