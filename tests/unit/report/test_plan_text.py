"""Plans and results as text and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import run_record
from tests.support.totals import asked_of_final, asked_of_raw, grouped, one_more, raw, seen
from traffic_aggr.config.config import ImpalaConfig, TablesConfig
from traffic_aggr.hive.partitions import Partition, partitions_of_month
from traffic_aggr.hive.sql import TableName
from traffic_aggr.report.plan_text import (
    Statement,
    plan_json,
    plan_lines,
    plan_statements,
    result_lines,
    rollback_lines,
)
from traffic_aggr.run.estimate import Estimate
from traffic_aggr.run.plan import Basis, FoundDay, Plan, Refusal, Start, Step
from traffic_aggr.run.record import Day, DayTotals, Input, Publication, RunRecord
from traffic_aggr.traffic.job import TRAFFIC

FIRST, SECOND, THIRD = (Partition(f"2021-04-0{number}") for number in (1, 2, 3))
TABLES = TablesConfig(database="db", raw="raw", final="final", staging="staging")
NO_IMPALA, WITNESS = ImpalaConfig(enabled=False), ImpalaConfig()
IMPALA = ImpalaConfig(verify=False, verify_raw=False)
TERABYTE = 1024**4
ROOT = "file:/warehouse/final"
RESTATED, CLEARED = Day("home", "kept", new="staged"), Day("home", "kept")
REFRESHED = [{"sql": "REFRESH db.final"}]
DAYS = {
    FIRST: FoundDay(raw(rows=56789, bytes=2 * TERABYTE), grouped(rows=1234, bytes=TERABYTE), "file:/elsewhere"),
    SECOND: FoundDay(raw(rows=5, bytes=TERABYTE)),
    THIRD: FoundDay(raw(), grouped(rows=7, bytes=1024)),
}


VERIFIES = Start(Step.LOAD, Basis.PUBLISHED, "R")


def plan(first: Step = Step.DROP, **values: Any) -> Plan:
    least: dict[str, Any] = {
        "mode": "drop_and_load",
        "restated": (FIRST, SECOND),
        "days": DAYS,
        "read": tuple(DAYS),
        "final_root": ROOT,
    }
    return Plan(TRAFFIC, **{**least, "start": Start(first), **values})


def texts(statements: list[Statement]) -> list[str]:
    return [each.sql for each in statements]


def kinds(statements: list[str]) -> list[str]:
    """The statements without what they are about."""
    return [" ".join(word for word in statement.split() if word.isupper()) for statement in statements]


DROPS, ADDS, REFRESH = "ALTER TABLE DROP IF EXISTS PARTITION", "ALTER TABLE ADD IF NOT EXISTS PARTITION", "REFRESH"
MOVED = "REFRESH PARTITION"  # FIRST was elsewhere


@pytest.mark.parametrize(
    ("first", "impala", "expected"),
    [
        (Step.DROP, NO_IMPALA, [DROPS, ADDS]),
        (Step.DROP, IMPALA, [DROPS, REFRESH, REFRESH, ADDS, REFRESH, REFRESH, MOVED]),
        (Step.STAGE, IMPALA, [REFRESH, DROPS, ADDS, REFRESH, REFRESH, MOVED]),
        (Step.LOAD, NO_IMPALA, [DROPS, ADDS]),
    ],
    ids=["all steps", "all steps and Impala", "from stage", "from load"],
)
def test_statements_stand_in_the_order_of_the_steps(first: Step, impala: ImpalaConfig, expected: list[str]) -> None:
    found = kinds(texts(plan_statements(plan(first, restated=(FIRST,), days={FIRST: DAYS[FIRST]}), TABLES, impala)))
    assert [kind.replace(" LOCATION", "") for kind in found] == expected


def test_impala_refreshes_staging_after_stage_and_final_after_the_others() -> None:
    statements = texts(plan_statements(plan(), TABLES, IMPALA))
    assert [each for each in statements if each.startswith("REFRESH")] == [
        "REFRESH db.final",
        "REFRESH db.staging",
        "REFRESH db.staging",
        "REFRESH db.final",
        f"REFRESH db.final PARTITION (partition_date='{FIRST}')",
    ]


def test_a_note_says_where_fewer_refreshes_are_sent_than_the_plan_has() -> None:
    days = partitions_of_month("2021-04").partitions
    found = plan(restated=days, days=dict.fromkeys(days, DAYS[FIRST]), notes=("a note",))
    note = "Impala 5.0 and later is sent the 30 REFRESHes of single partitions as 1 statement"
    statements = plan_statements(found, TABLES, IMPALA)
    assert plan_json(found, statements)["notes"] == ["a note", note]
    assert f"Note: {note}." in plan_lines(found, statements)
    assert plan_json(found, statements)["statements"] == texts(statements)


def test_a_table_that_the_run_creates_is_made_known_rather_than_refreshed() -> None:
    statements = texts(plan_statements(plan(creates=("db.final",)), TABLES, IMPALA))
    assert "INVALIDATE METADATA db.final" in statements
    assert "REFRESH db.final" not in statements


def test_a_run_that_only_verifies_changes_no_partition() -> None:
    only = {SECOND: DAYS[SECOND]}
    found = texts(plan_statements(plan(start=VERIFIES, restated=(SECOND,), days=only), TABLES, IMPALA))
    assert found == ["REFRESH db.final"]


def test_impala_is_asked_for_raw_before_anything_and_for_final_after_everything() -> None:
    kept = {**DAYS, THIRD: FoundDay(raw())}
    first, *_, last = texts(plan_statements(plan(kept=(THIRD,), days=kept), TABLES, WITNESS))
    assert first == asked_of_raw(TableName("db", "raw"), [FIRST, SECOND, THIRD])
    assert last == asked_of_final(TableName("db", "final"), [FIRST, SECOND])


@pytest.mark.parametrize(
    ("impala", "asked"),
    [
        (ImpalaConfig(verify=False), ["db.raw"]),
        (ImpalaConfig(verify_raw=False), ["db.final"]),
        (ImpalaConfig(enabled=False), []),
    ],
)
def test_impala_is_asked_for_what_the_configuration_says(impala: ImpalaConfig, asked: list[str]) -> None:
    statements = texts(plan_statements(plan(), TABLES, impala))
    assert [each.split(" FROM ")[1].split()[0] for each in statements if each.startswith("SELECT")] == asked


def test_a_run_that_only_verifies_asks_for_final_alone() -> None:
    statements = texts(plan_statements(plan(start=VERIFIES), TABLES, WITNESS))
    assert [each.split()[0] for each in statements] == ["REFRESH", "REFRESH", "SELECT"]


def test_a_note_says_that_raw_may_be_refreshed() -> None:
    note = "where Impala's totals of raw differ from Spark's, it is sent a REFRESH of those and asked once more"
    assert f"Note: {note}." in plan_lines(plan(), plan_statements(plan(), TABLES, WITNESS))
    assert note not in plan_json(plan(), plan_statements(plan(), TABLES, IMPALA))["notes"]


def test_many_days_go_into_several_statements() -> None:
    days = partitions_of_month("2021-01").partitions + tuple(
        day for month in range(2, 6) for day in partitions_of_month(f"2021-{month:02}").partitions
    )
    found = texts(plan_statements(plan(restated=days, days=dict.fromkeys(days, DAYS[FIRST])), TABLES, NO_IMPALA))
    assert [each.count("partition_date='") for each in found if "DROP" in each] == [100, len(days) - 100]
    assert [each.count("LOCATION") for each in found if "ADD" in each] == [100, len(days) - 100]


def test_a_cleared_day_is_dropped_and_not_added() -> None:
    drop, add = texts(plan_statements(plan(cleared=(THIRD,)), TABLES, NO_IMPALA))
    assert THIRD in drop
    assert THIRD not in add


@pytest.mark.parametrize(
    ("values", "actions"),
    [
        ({"kept": (THIRD,)}, ["restate", "restate", "keep"]),
        ({"cleared": (THIRD,)}, ["restate", "restate", "clear"]),
        ({"refusals": (Refusal("empty_source", "", "", (THIRD,)),)}, ["restate", "restate", "refuse"]),
        ({"refusals": (Refusal("max_change_pct", "", "", (FIRST, THIRD)),)}, ["refuse", "restate", "refuse"]),
        ({"start": VERIFIES}, ["verify", "verify", "verify"]),
    ],
)
def test_the_plan_says_what_becomes_of_each_day(values: dict[str, Any], actions: list[str]) -> None:
    found = plan(**values)
    assert [day["action"] for day in plan_json(found, [])["days"].values()] == actions
    lines = list(plan_lines(found, []))
    assert [line.split()[1] for line in lines[2:5]] == actions


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kept": (THIRD,)}, "3 days listed: 2 to restate, 1 to keep"),
        ({"cleared": (SECOND, THIRD), "restated": (FIRST,)}, "3 days listed: 1 to restate, 2 to clear"),
        (
            {"refusals": (Refusal("empty_source", "", "", (THIRD,)),)},
            "3 days listed: 2 to restate, 1 refused; the run is refused by empty_source",
        ),
        (
            {"refusals": (Refusal("lookup_keys", "", ""),), "kept": (THIRD,)},
            "3 days listed: 2 to restate, 1 to keep; the run is refused by lookup_keys",
        ),
        ({"start": VERIFIES}, "3 days listed: 3 to verify"),
        ({"days": {FIRST: DAYS[FIRST]}, "restated": (FIRST,)}, "1 day listed: 1 to restate"),
        ({"days": {}, "restated": ()}, "0 days listed"),
    ],
)
def test_the_plan_begins_with_how_many_days_are_listed_and_what_becomes_of_them(
    values: dict[str, Any], words: str
) -> None:
    assert next(iter(plan_lines(plan(**values), []))) == f"{words}."


def test_the_plan_is_a_document_for_scripts() -> None:
    refusal = Refusal("empty_source", "raw has no rows", "Load it")
    found = plan(
        start=Start(Step.STAGE, Basis.DROPPED, "R"), creates=("db.final",), notes=("a note",), refusals=(refusal,)
    )
    document = json.loads(
        json.dumps(plan_json(found, [Statement("stage", "Impala", "A"), Statement("load", "Spark", "B")]))
    )
    assert {key: value for key, value in document.items() if key != "days"} == {
        "mode": "drop_and_load",
        "steps": ["stage", "load"],
        "resumes": "R",
        "next_run": "resumes run R at stage",
        "creates": ["db.final"],
        "refusals": [{"guard": "empty_source", "message": "raw has no rows", "hint": "Load it", "days": []}],
        "notes": ["a note"],
        "statements": ["A", "B"],
        "sent": [
            {"step": "stage", "engine": "Impala", "sql": "A"},
            {"step": "load", "engine": "Spark", "sql": "B"},
        ],
        "readers": "the listed days are missing from the start of drop to the end of load",
        "estimate": None,
        "dependants": {},
    }


def test_a_day_of_the_document_has_its_place_and_its_totals() -> None:
    days = plan_json(plan(), [])["days"]
    assert days[FIRST]["location"] == "file:/elsewhere"
    assert (days[FIRST]["raw"]["rows"], days[FIRST]["final_before"]["rows"]) == (56789, 1234)
    assert (days[SECOND]["location"], days[SECOND]["final_before"]) == (None, None)


def test_a_day_is_a_line_with_old_and_new_usage() -> None:
    _, _, first, second, *_ = plan_lines(plan(), [])
    assert first.split() == [FIRST, "restate", "56,789", "2.0", "TiB", "1,234", "1.0", "TiB", "+100.0", "%"]
    assert second.split() == [SECOND, "restate", "5", "1.0", "TiB", "none"]


def test_the_plan_for_people_ends_with_steps_statements_and_what_run_will_do() -> None:
    found = plan(start=Start(Step.STAGE, Basis.DROPPED, "R"), creates=("db.final",), notes=("a note",))
    sent = [Statement("stage", "Impala", "A STATEMENT")]
    lines = list(plan_lines(found, sent))
    assert lines[5:] == [
        "",
        "Note: a note.",
        "Creates db.final.",
        "Steps: stage -> load (drop_and_load)",
        "  stage  Impala  A STATEMENT",
        "Readers meanwhile: the listed days are missing from the start of drop to the end of load.",
        "Nothing was changed. The next run resumes run R at stage: it will restate 2 days.",
    ]


def test_statements_stand_below_their_step_and_engine_and_are_cut_to_the_width() -> None:
    found = plan(restated=(FIRST,), days={FIRST: DAYS[FIRST]})
    lines = list(plan_lines(found, plan_statements(found, TABLES, WITNESS), width=60))
    begin = lines.index("Steps: drop -> stage -> load (drop_and_load)") + 1
    assert lines[begin : begin + 10] == [
        "  plan   Impala  SELECT partition_date, COUNT(*), SUM(CASE …",
        "  drop   Spark   ALTER TABLE `db`.`final` DROP IF EXISTS PA…",
        "         Impala  REFRESH db.final",
        "  stage  Impala  REFRESH db.staging",
        "  load   Spark   ALTER TABLE `db`.`final` ADD IF NOT EXISTS…",
        "         Impala  REFRESH db.staging",
        "                 REFRESH db.final",
        "                 REFRESH db.final PARTITION (partition_date…",
        "                 SELECT partition_date, COUNT(*), SUM(CAST(…",
        "Readers meanwhile: the listed days are missing from the start of drop to the end of load.",
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cleared": (THIRD,)}, "restate 2 days, clear 1 without raw rows."),
        ({"kept": (THIRD,)}, "restate 2 days, keep 1 without raw rows."),
        ({"start": VERIFIES}, "refresh and verify 3 days."),
        ({"restated": (FIRST,), "kept": (SECOND, THIRD)}, "restate 1 day, keep 2 without raw rows."),
        (
            {"restated": (FIRST,), "days": {FIRST: FoundDay(raw(rows=1), input=Input("file:/raw", 1, 1, 0))}},
            "restate 1 day: 1 file of raw, 1 byte.",
        ),
        (
            {"days": {FIRST: FoundDay(raw(rows=1), input=Input("file:/raw", 1200, 3 * TERABYTE, 0))}},
            "restate 2 days: 1,200 files of raw, 3.0 TiB.",
        ),
    ],
)
def test_the_plan_for_people_ends_with_what_becomes_of_the_days(values: dict[str, Any], words: str) -> None:
    assert list(plan_lines(plan(**values), []))[-1].endswith(f": it will {words}")


@pytest.mark.parametrize(
    ("values", "words"), [({"mode": "swap"}, "every day whole"), ({"start": VERIFIES}, "the new data")]
)
def test_the_plan_says_what_readers_see_meanwhile(values: dict[str, Any], words: str) -> None:
    assert words in plan_json(plan(**values), [])["readers"]


def test_the_plan_says_how_long_it_is_likely_to_take() -> None:
    likely = Estimate(90.0, "R", 45.0, 30, TERABYTE)
    assert "Estimated time: 1 min 30 s, going by run R (45.0 s for 30 days, 1.0 TiB of raw)." in plan_lines(
        plan(), [], likely
    )
    assert plan_json(plan(), [], likely)["estimate"]["seconds"] == 90.0


def test_a_plan_that_would_be_refused_says_by_which_guard_and_what_to_do() -> None:
    lines = list(plan_lines(plan(refusals=(Refusal("empty_source", "raw has no rows", "Load it"),)), []))
    assert lines[-1] == "Would be refused (empty_source): raw has no rows. Load it."


def done(of_raw: bool = False, final: bool = False, **values: Any) -> RunRecord:
    """A run that restated two days; ``of_raw`` and ``final`` say what Impala was asked for."""
    after = grouped(bytes=2 * TERABYTE)
    asked = {"impala": seen() if final else None, "impala_raw": seen() if of_raw else None}
    least: dict[str, Any] = {
        "partitions": [FIRST, SECOND],
        "days": {FIRST: RESTATED, SECOND: RESTATED},
        "publication": Publication.PUBLISHED,
        "totals": {
            FIRST: DayTotals(final_before=grouped(bytes=TERABYTE), final_after=after, **asked),
            SECOND: DayTotals(final_after=after, **asked),
        },
    }
    return run_record(**{**least, **values})


@pytest.mark.parametrize(
    ("raw", "final", "agreement"),
    [
        (True, True, "raw = staging = final = Impala on all 2 days"),
        (False, True, "raw = staging = final = Impala (not asked for raw) on all 2 days"),
        (True, False, "raw = staging = final (Impala asked for raw alone) on all 2 days"),
        (False, False, "raw = staging = final (Impala not asked) on all 2 days"),
    ],
)
def test_a_finished_run_says_what_changed_and_where_to_read_on(raw: bool, final: bool, agreement: str) -> None:
    assert list(result_lines(done(raw, final), "/state/report.html", Path("/log/job.log"))) == [
        "2021-04-01  1.0 TiB -> 2.0 TiB  +100.0 %",
        "2021-04-02  none -> 2.0 TiB",
        "all 2 days: Data  1.0 TiB -> 4.0 TiB  +300.0 %",
        agreement,
        "report: /state/report.html",
        "log: /log/job.log",
    ]


@pytest.mark.parametrize(
    ("record", "lines"),
    [
        pytest.param(done(True, True), ["raw = staging = final = Impala on all 2 days"], id="compared with Impala"),
        pytest.param(
            done(impala=REFRESHED),
            ["raw = staging = final (Impala refreshed, not compared) on all 2 days"],
            id="impala.verify: false",
        ),
        pytest.param(
            done(partitions=[FIRST], days={FIRST: RESTATED}),
            ["raw = staging = final (Impala not asked) on 1 day"],
            id="one day",
        ),
        pytest.param(
            done(days={FIRST: RESTATED}, kept=[SECOND]),
            ["2 days listed: 1 restated, 1 kept", "raw = staging = final (Impala not asked) on 1 day"],
            id="one kept",
        ),
        pytest.param(
            done(True, True, days={FIRST: RESTATED, SECOND: CLEARED}),
            ["2 days listed: 1 restated, 1 cleared", "raw = staging = final = Impala on all 2 days"],
            id="one cleared",
        ),
        pytest.param(
            done(days={FIRST: CLEARED, SECOND: CLEARED}),
            ["2 days listed: 2 cleared", "no rows in raw and final (Impala not asked) on all 2 days"],
            id="all cleared",
        ),
        pytest.param(
            done(True, True, days={FIRST: CLEARED, SECOND: CLEARED}),
            ["2 days listed: 2 cleared", "no rows in raw, final and Impala on all 2 days"],
            id="all cleared, compared with Impala",
        ),
        pytest.param(
            done(days={}, kept=[FIRST, SECOND], publication=Publication.UNTOUCHED),
            ["nothing to restate (2 days listed: 2 kept)"],
            id="all kept",
        ),
        pytest.param(
            done(partitions=[], days={}, publication=Publication.UNTOUCHED),
            ["nothing to restate (0 days listed)"],
            id="empty_list: ok",
        ),
        pytest.param(
            done(True, True, resumes="R", only_verifies=True),
            ["raw = staging = final = Impala on all 2 days (raw as run R read it)"],
            id="only verified",
        ),
    ],
)
def test_a_finished_run_says_what_is_true_of_its_days(record: RunRecord, lines: list[str]) -> None:
    said = list(result_lines(record, "r", Path("l")))
    assert [line for line in said[:-2] if " -> " not in line] == lines


def test_days_that_did_not_change_are_counted_and_what_else_changed_is_summed() -> None:
    same = grouped(rows=1, cdrs=7, bytes=TERABYTE, whole_sale_cost_2=Decimal("2.500000"))
    totals = {
        FIRST: DayTotals(final_before=same, final_after=same),
        SECOND: DayTotals(final_before=same, final_after=one_more(same, "whole_sale_cost_2", Decimal("0.500000"))),
    }
    assert list(result_lines(done(totals=totals), "r", Path("l")))[:-3] == [
        "2021-04-02  whole_sale_cost_2  2.500000 -> 3.000000  +20.0 %",
        "1 day unchanged",
        "all 2 days: whole_sale_cost_2  5.000000 -> 5.500000  +10.0 %",
    ]


def test_a_rollback_lists_the_days_that_change_back_and_counts_the_others() -> None:
    same, old, new = grouped(bytes=5, rows=1), grouped(bytes=TERABYTE, rows=1), grouped(bytes=2 * TERABYTE, rows=1)
    totals = {
        FIRST: DayTotals(final_before=same, staging=same),
        SECOND: DayTotals(final_before=old, staging=new),
    }
    assert list(rollback_lines(done(totals=totals)))[:2] == [
        "2021-04-02  2.0 TiB -> 1.0 TiB  -50.0 %",
        "1 day unchanged",
    ]


def test_a_run_that_changed_nothing_says_so() -> None:
    same = grouped(rows=1, bytes=TERABYTE)
    totals = {day: DayTotals(final_before=same, final_after=same) for day in (FIRST, SECOND)}
    assert list(result_lines(done(totals=totals), "r", Path("l")))[:-3] == ["2 days unchanged"]


def test_a_cleared_day_is_shown_as_empty_afterwards() -> None:
    record = done()
    record.set_totals(FIRST, replace(record.totals[FIRST], final_after=grouped()))
    assert next(iter(result_lines(record, "r", Path("l")))) == "2021-04-01  1.0 TiB -> 0 bytes  -100.0 %"
