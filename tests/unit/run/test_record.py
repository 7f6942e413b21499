"""The run record as text: everything comes back, and what is damaged says so."""

from __future__ import annotations

import ast
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import run_record
from tests.support.paths import ROOT
from tests.support.totals import grouped, one_more, raw, seen
from traffic_aggr.errors import StateError
from traffic_aggr.hive.layout import Placement, RowFormat
from traffic_aggr.hive.partitions import Partition, PartitionList, SkippedLine
from traffic_aggr.report.page import report_files
from traffic_aggr.run.command_line import CommandLine
from traffic_aggr.run.reconcile import reconcile_final
from traffic_aggr.run.record import (
    Change,
    Day,
    DayTotals,
    Next,
    Outcome,
    Publication,
    RunRecord,
    Staged,
    StepRecord,
    is_run_id,
    new_run_id,
)
from traffic_aggr.run.record_json import record_from_json, record_to_json
from traffic_aggr.run.result import differences, verdict
from traffic_aggr.run.totals import Total, Unit
from traffic_aggr.traffic.job import TRAFFIC

FIRST, SECOND = Partition("2021-04-01"), Partition("2021-04-02")
OWN_FORMAT = RowFormat("serde", "in", "out", {"field.delim": ";"})
FULL = RunRecord(
    run_id="20210504T020200Z-0a1b2c",
    command="run",
    started="2021-05-04T02:02:00.000+00:00",
    host="edge1",
    user="mnaas",
    process_id=4711,
    job=TRAFFIC,
    process_started=123456,
    typed=CommandLine(("./spark-submit.sh",), "/etc/my.yaml", ("run", "--month", "2021-04"), "load"),
    config_digest="c0ffee",
    mode="drop_and_load",
    tables={"raw": "mnaas.raw", "final": "mnaas.final"},
    partitions=[FIRST, SECOND],
    partitions_digest="d1",
    partitions_source="/data/days",
    skipped_lines=["line 3: WARN é"],
    application_id="application_1_2",
    jvm_process_id=4712,
    versions={"spark": "3.5.9"},
    engine="velox",
    fallbacks={"CollectMetrics": "not supported"},
    ended="2021-05-04T02:12:00.000+00:00",
    outcome=Outcome.FAILED,
    exit_code=1,
    error="it failed",
    next=Next("traffic-aggr run --config /etc/my.yaml", "starts over at drop"),
    settled_earlier_runs=True,
    resumes="20210503T020200Z-0a1b2c",
    continued_by="20210505T020200Z-0a1b2c",
    rolls_back="20210502T020200Z-0a1b2c",
    rolled_back_by="20210506T020200Z-0a1b2c",
    caused_by="20210505T020200Z-0a1b2c",
    cleaned="2021-05-20T02:00:00+00:00",
    cleaning_ended="2021-05-20T02:00:01+00:00",
    flag=2,
    steps=[StepRecord("drop", "t1", "t2", Outcome.SUCCESS), StepRecord("stage", "t3")],
    changes=[Change("drop", "t1", "t2"), Change("add", "t3")],
    publication=Publication.RESTORING,
    final_root="file:/warehouse/final",
    days={
        FIRST: Day("home", "kept", Placement("there", OWN_FORMAT, {"owner": "ana"}, 1000, 2000), "new", "f1"),
        SECOND: Day("home", "kept", Placement("there")),
    },
    kept=[SECOND],
    refused=[FIRST],
    only_verifies=True,
    staged=Staged("staged", True, "f2"),
    shadow="mnaas.final__1",
    totals={
        FIRST: DayTotals(
            raw(4, bytes=1, whole_sale_cost_1=Decimal("0.000001"), cdrs=5, distinct_cdrs=6),
            grouped(2, 4, bytes=1, whole_sale_cost_5=Decimal("5.500000"), cdrs=3),
            grouped(2, bytes=2),
            grouped(2, bytes=3),
            seen(2, bytes=3, cdrs=4, whole_sale_cost_1=Decimal("0.1")),
            seen(4, bytes=1, voice_secs=2, whole_sale_cost_1=Decimal("0.000001")),
        ),
        SECOND: DayTotals(),
    },
    impala=[{"sql": "REFRESH mnaas.final", "attempts": 2, "seconds": 0.25}],
    notes=["a note"],
)


def document() -> dict[str, Any]:
    """``FULL`` as JSON, to be damaged."""
    found: dict[str, Any] = json.loads(record_to_json(FULL))
    return found


def test_the_full_record_has_every_field_set() -> None:
    unset = run_record()
    same = [
        item.name
        for item in dataclasses.fields(RunRecord)
        if getattr(FULL, item.name) == getattr(unset, item.name) and item.default is not dataclasses.MISSING
    ]
    assert same == []


@pytest.mark.parametrize("record", [FULL, run_record()], ids=["every field", "only the least"])
def test_a_record_comes_back_from_json(record: RunRecord) -> None:
    assert record_from_json(record_to_json(record), "run.json", TRAFFIC) == record


def test_what_comes_back_has_the_types_that_went_in() -> None:
    found = record_from_json(record_to_json(FULL), "run.json", TRAFFIC)
    assert found.partitions[0].directory == "partition_date=2021-04-01"
    assert [day.directory for day in (*found.kept, *found.refused)] == [SECOND.directory, FIRST.directory]
    assert [day.directory for day in found.days] == [FIRST.directory, SECOND.directory]
    assert found.outcome is Outcome.FAILED
    assert found.publication is Publication.RESTORING
    assert found.steps[0].outcome is Outcome.SUCCESS


def test_totals_are_in_json_by_partition_and_stage_with_decimals_as_text() -> None:
    totals = document()["totals"]["2021-04-01"]
    assert list(totals) == ["raw", "staging", "final_before", "final_after", "impala", "impala_raw"]
    assert totals["raw"]["whole_sale_cost_1"] == "0.000001"
    assert totals["staging"]["source_rows"] == 4


def test_a_record_of_version_1_is_read_which_has_only_impalas_rows_and_bytes() -> None:
    totals = {"2021-04-01": {"impala": {"rows": 2, "bytes": 3}}}
    found = record_from_json(json.dumps({**document(), "version": 1, "totals": totals}), "run.json", TRAFFIC)
    assert found.totals == {FIRST: DayTotals(impala=seen(2, bytes=3))}
    assert json.loads(record_to_json(found))["totals"] == totals


def test_a_field_of_a_later_program_of_the_same_version_is_passed_over() -> None:
    assert record_from_json(json.dumps({**document(), "novelty": 1}), "run.json", TRAFFIC) == FULL


def test_a_record_of_before_parameters_were_kept_says_nothing_of_them() -> None:
    old = document()
    for day in old["days"].values():
        day["before"] = {name: day["before"][name] for name in ("location", "row_format")}
    found = record_from_json(json.dumps(old), "run.json", TRAFFIC).days[FIRST].before
    assert found == Placement("there", OWN_FORMAT, None)


def test_a_newer_version_is_refused_by_name() -> None:
    with pytest.raises(StateError, match=r"/state/run\.json has version 3, this program knows 2"):
        record_from_json(json.dumps({**document(), "version": 3}), "/state/run.json", TRAFFIC)


def damaged(**changes: Any) -> str:
    return json.dumps({**document(), **changes})


def without(key: str) -> str:
    return json.dumps({name: value for name, value in document().items() if name != key})


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(record_to_json(FULL)[:200], id="cut short"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="nothing"),
        pytest.param("not JSON", id="not JSON"),
        pytest.param(without("version"), id="no version"),
        pytest.param(without("run_id"), id="no run id"),
        pytest.param(without("days"), id="no days"),
        pytest.param(damaged(version="one"), id="version a word"),
        pytest.param(damaged(outcome="so-so"), id="unknown outcome"),
        pytest.param(damaged(publication=None), id="no publication"),
        pytest.param(damaged(days={"2021-04-01": {"home": "x"}}), id="half a day"),
        pytest.param(damaged(days={"2021-04-01": None}), id="no day"),
        pytest.param(damaged(days={"2021-04-31": document()["days"]["2021-04-01"]}), id="a day that is none"),
        pytest.param(damaged(partitions=["2021-4-1"]), id="a partition that is none"),
        pytest.param(damaged(partitions=[20210401]), id="a partition that is a number"),
        pytest.param(damaged(steps=[{"name": "drop"}]), id="half a step"),
        pytest.param(damaged(changes=["drop"]), id="a change that is a word"),
        pytest.param(damaged(staged={"directory": "x"}), id="half of what was staged"),
        pytest.param(damaged(totals={"2021-04-01": {"raw": {"rows": "many"}}}), id="a total that is a word"),
        pytest.param(
            damaged(totals={"2021-04-01": {"raw": {"whole_sale_cost_1": "dear"}}}), id="a cost that is a word"
        ),
        pytest.param(damaged(totals={"2021-04-01": {"elsewhere": {}}}), id="an unknown stage"),
    ],
)
def test_a_damaged_record_is_an_error_that_names_the_file(text: str) -> None:
    with pytest.raises(StateError, match=r"/state/run\.json is damaged"):
        record_from_json(text, "/state/run.json", TRAFFIC)


def test_a_run_id_is_the_start_in_utc_and_six_hex_digits() -> None:
    start = datetime(2021, 5, 4, 7, 32, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    run_id = new_run_id(start)
    assert run_id.startswith("20210504T020200Z-")
    assert is_run_id(run_id)


def test_two_runs_that_start_at_the_same_moment_have_two_ids() -> None:
    start = datetime(2021, 5, 4, tzinfo=timezone.utc)
    assert len({new_run_id(start) for _ in range(20)}) > 1


def test_runs_that_start_in_one_second_sort_by_their_start() -> None:
    moments = [datetime(2021, 5, 4, microsecond=moment, tzinfo=timezone.utc) for moment in (0, 16, 4_096, 999_999)]
    found = [new_run_id(moment) for moment in moments]
    assert found == sorted(found)
    assert all(map(is_run_id, found))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20210504T020200Z",
        "20210504T020200Z-0a1b2",
        "20210504T020200Z-0A1B2C",
        "20210504T020200Z-0a1b2c\n",
        "20210504T020200Z-0a1b2c/..",
        "../../etc",
    ],
)
def test_other_text_is_no_run_id(text: str) -> None:
    assert not is_run_id(text)


@pytest.mark.parametrize("publication", list(Publication))
def test_a_run_that_died_in_the_middle_of_a_change_needs_settling(publication: Publication) -> None:
    assert publication.settled == (publication.value in ("untouched", "published", "restored"))


def test_only_a_step_that_succeeded_is_done() -> None:
    record = run_record(steps=[StepRecord("drop", "t", outcome=Outcome.FAILED), StepRecord("stage", "t")])
    assert [record.step_done(name) for name in ("drop", "stage", "load")] == [False, False, False]
    record.steps.append(StepRecord("drop", "t", outcome=Outcome.SUCCESS))
    assert record.step_done("drop")


@pytest.mark.parametrize(
    ("values", "finished"),
    [
        ({}, False),
        ({"outcome": Outcome.FAILED}, False),
        ({"outcome": Outcome.INTERRUPTED}, False),
        ({"outcome": Outcome.SUCCESS}, True),
        ({"outcome": Outcome.FAILED, "continued_by": "another"}, True),
        ({"outcome": Outcome.FAILED, "rolled_back_by": "another"}, True),
    ],
)
def test_a_run_is_finished_when_nothing_is_left_to_do_for_it(values: dict[str, Any], finished: bool) -> None:
    assert run_record(**values).finished is finished


@pytest.mark.parametrize(
    ("tables", "mode", "digest", "same"),
    [
        ({"final": "mnaas.final"}, "swap", "d", True),
        ({"final": "mnaas.other"}, "swap", "d", False),
        ({"final": "mnaas.final"}, "drop_and_load", "d", False),
        ({"final": "mnaas.final"}, "swap", "e", False),
    ],
    ids=["the same", "other tables", "another mode", "another list"],
)
def test_a_run_is_resumed_by_the_same_work_only(tables: dict[str, str], mode: str, digest: str, same: bool) -> None:
    record = run_record(tables={"final": "mnaas.final"}, mode="swap", partitions_digest="d")
    assert record.same_work(tables, mode, digest) is same


def test_a_rollback_that_touched_nothing_leaves_the_data_of_the_run_it_was_to_take_back() -> None:
    record = run_record(command="rollback", rolls_back="20210503T020200Z-0a1b2c")
    assert record.data_state == "nothing was touched, the data of run 20210503T020200Z-0a1b2c is in place"


def test_a_change_that_leaves_partitions_where_they_are_mixes_no_days() -> None:
    pointed = Change("point to other directories", "2021-05-04T02:02:00+00:00", "2021-05-04T02:02:01+00:00")
    described = Change("describe as before", "2021-05-04T02:02:02+00:00", "2021-05-04T02:02:09+00:00")
    assert run_record(changes=[pointed, described]).mixed_seconds == 0
    assert run_record(changes=[pointed, pointed, described]).mixed_seconds == 1


def changes_outside(module: Path) -> Iterator[str]:
    """Where a module assigns to a field of a record, or changes a list or dictionary in one."""
    fields = {field.name for field in dataclasses.fields(RunRecord)}
    for node in ast.walk(ast.parse(module.read_text())):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = [each for target in node.targets for each in getattr(target, "elts", [target])]
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            targets = [node.target]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in CHANGING:
            targets = [node.func.value] if isinstance(node.func, ast.Attribute) else []
        for target in targets:
            changed = target.value if isinstance(target, ast.Subscript) else target
            if isinstance(changed, ast.Attribute) and changed.attr in fields:
                of = ast.unparse(changed.value)
                if of not in ("self", "error"):  # an error has a next command too
                    yield f"{module.name}:{node.lineno}: {of}.{changed.attr}"


CHANGING = {"append", "extend", "insert", "update", "setdefault", "pop", "clear", "remove", "sort"}


def test_a_record_is_changed_by_its_own_methods_only() -> None:
    rooms = ("cluster", "report", "restate", "run")
    others = [
        each for room in rooms for each in (ROOT / "traffic_aggr" / room).glob("*.py") if each.name != "record.py"
    ]
    assert len(others) > 35
    assert [found for module in others for found in changes_outside(module)] == []


def test_a_change_of_a_record_elsewhere_is_found(tmp_path: Path) -> None:
    module = tmp_path / "elsewhere.py"
    module.write_text("record.flag = 1\nlast.notes += []\nrun.steps.append(1)\nrun.days[x] = 1\na.outcome, b = 1, 2\n")
    found = {each.partition(": ")[2] for each in changes_outside(module)}
    assert found == {"record.flag", "last.notes", "run.steps", "run.days", "a.outcome"}


def test_a_record_that_takes_over_days_leaves_the_other_record_as_it_is() -> None:
    mine = dataclasses.replace(FULL, days={}, totals={})
    mine.take_published(FULL)
    for partition, day in mine.days.items():
        mine.set_day(partition, dataclasses.replace(day, new=None, arrived=not day.arrived))
        mine.set_totals(partition, DayTotals())
    assert record_from_json(json.dumps(document()), "run.json", TRAFFIC) == FULL


def test_a_record_of_before_jobs_had_definitions_says_the_same() -> None:
    text = (ROOT / "tests" / "samples" / "record_before_definitions.json").read_text()
    record = record_from_json(text, "run.json", TRAFFIC)

    written = json.loads(text)
    since = {"caused_by": None, "engine": None, "fallbacks": {}}
    since["breakdown"] = {name: {**found, "by_partition": []} for name, found in written["breakdown"].items()}
    assert json.loads(record_to_json(record)) == {**written, **since}
    assert verdict(record) == (
        "3 days of April 2021 restated; data usage 2.2 GiB → 2.2 GiB; raw, staging and final agree on every day."
    )
    assert all(differences(TRAFFIC, day, totals) == [] for day, totals in record.totals.items())
    assert set(report_files(record, keep_days=7)) == {"report.html", "report.json", "daily.csv"}


def test_a_total_that_a_record_is_too_old_for_differs_in_nothing_and_proves_nothing() -> None:
    orders = Total("orders", "Orders", Unit.COUNT, final="SUM(orders)", guarded=True)
    later = replace(TRAFFIC, totals=(*TRAFFIC.totals, orders))
    text = (ROOT / "tests" / "samples" / "record_before_definitions.json").read_text()
    record = record_from_json(text, "run.json", later)
    day, totals = next(iter(record.totals.items()))

    assert differences(later, day, totals) == []
    assert set(report_files(record, keep_days=7)) == {"report.html", "report.json", "daily.csv"}
    now = one_more(totals.loaded, "orders", 7)
    (found,) = reconcile_final(later.totals, day, totals.loaded, now)
    assert str(found) == f"{day} orders: staging None, final 7"


def test_what_is_repeated_or_skipped_in_the_list_is_noted() -> None:
    record = run_record()
    skipped = tuple(SkippedLine(number, "WARN") for number in range(1, 101))
    record.take_list(PartitionList((FIRST,), skipped, (FIRST,), "days.txt", 1_350), 0)
    assert record.notes == [
        "skipped 1,250 more lines of days.txt",
        "listed more than once, and restated once: 2021-04-01",
    ]


def test_a_list_without_repeats_is_not_noted() -> None:
    record = run_record()
    record.take_list(PartitionList((FIRST,), (SkippedLine(1, "WARN"),), (), "days.txt", 1), 0)
    assert record.notes == []
