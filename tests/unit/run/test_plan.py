"""
What a run will do, from what was found: the flag, ``--from-step``, and what the last unfinished run had done.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from tests.support.fakes import RUN_ID, run_record
from tests.support.totals import grouped, raw
from traffic_aggr.hive.partitions import Partition, PartitionList
from traffic_aggr.run.plan import FoundDay, Plan, PlanRequest, Refusal, Step, TableState, build_plan, bytes_needed
from traffic_aggr.run.record import Input, Outcome, Publication, RunRecord, StepRecord
from traffic_aggr.traffic.job import TRAFFIC

FIRST, SECOND, THIRD = (Partition(f"2021-04-0{number}") for number in (1, 2, 3))
TABLES = {"final": "mnaas.final"}
DROP, STAGE, LOAD = Step.DROP, Step.STAGE, Step.LOAD
FULL_DAY = FoundDay(raw(rows=10, bytes=1000), grouped(rows=2, bytes=1000))
EMPTY_DAY = FoundDay(raw(), grouped(rows=2, bytes=1000))

REUSES_STAGED = f"publishes what run {RUN_ID} has staged"
VERIFIES = f"run {RUN_ID} has loaded the data: only refreshes and verifies"
STAGES_AGAIN = "earlier staged data is missing or stale: stages again"


def request(*days: Partition, **values: Any) -> PlanRequest:
    chosen = days or (FIRST, SECOND)
    least: dict[str, Any] = {"mode": "drop_and_load", "tables": TABLES}
    return PlanRequest(TRAFFIC, PartitionList(chosen), **{**least, **values})


def found(days: Optional[dict[Partition, FoundDay]] = None, **values: Any) -> TableState:
    return TableState(days=days or {FIRST: FULL_DAY, SECOND: FULL_DAY}, **values)


def last_run(
    done: str, flag: int, publication: Publication = Publication.RESTORED, *days: Partition, **values: Any
) -> RunRecord:
    """An unfinished run, settled: the steps in ``done`` succeeded, and the one of ``flag`` failed unless among them."""
    steps = [StepRecord(name, "t", "t", Outcome.SUCCESS) for name in done.split()]
    if flag and Step(flag).label not in done.split():
        steps.append(StepRecord(Step(flag).label, "t", "t", Outcome.FAILED))
    digest = PartitionList(days or (FIRST, SECOND)).digest
    least = {"mode": "drop_and_load", "tables": TABLES, "outcome": Outcome.FAILED}
    return run_record(
        **{**least, "flag": flag, "steps": steps, "publication": publication, "partitions_digest": digest, **values}
    )


def summary(plan: Plan) -> tuple[Any, ...]:
    how = "verifies" if plan.verify_only else "reuses staged" if plan.reuses_staged else ""
    return " ".join(step.label for step in plan.steps), plan.resumes is not None, how, plan.notes


ALL = "drop stage load"
UNTOUCHED, RESTORED, PUBLISHED = Publication.UNTOUCHED, Publication.RESTORED, Publication.PUBLISHED


@pytest.mark.parametrize(
    ("flag", "steps", "notes"),
    [
        pytest.param(0, ALL, (), id="idle"),
        pytest.param(1, ALL, (), id="drop"),
        pytest.param(2, "stage load", (), id="stage"),
        pytest.param(3, "stage load", (STAGES_AGAIN,), id="load, where nothing is staged"),
    ],
)
def test_the_flag_says_where_to_start_when_no_run_is_unfinished(flag: int, steps: str, notes: tuple[str, ...]) -> None:
    assert summary(build_plan(request(), found(flag=flag), None)) == (steps, False, "", notes)


@pytest.mark.parametrize(
    ("done", "flag", "publication", "staged_matches", "expected"),
    [
        pytest.param("", 1, RESTORED, False, (ALL, False, "", ()), id="died in drop"),
        pytest.param("drop", 1, RESTORED, False, ("stage load", True, "", ()), id="died after drop"),
        pytest.param("drop", 2, RESTORED, False, ("stage load", True, "", ()), id="died in stage"),
        pytest.param(
            "drop stage", 2, RESTORED, True, ("load", True, "reuses staged", (REUSES_STAGED,)), id="died after stage"
        ),
        pytest.param(
            "drop stage", 3, RESTORED, True, ("load", True, "reuses staged", (REUSES_STAGED,)), id="died in load"
        ),
        pytest.param(
            "drop stage", 3, RESTORED, False, ("stage load", True, "", (STAGES_AGAIN,)), id="died in load, raw changed"
        ),
        pytest.param("drop stage", 3, PUBLISHED, False, ("load", True, "verifies", (VERIFIES,)), id="Impala failed"),
        pytest.param(
            "stage", 3, UNTOUCHED, True, ("load", True, "reuses staged", (REUSES_STAGED,)), id="refused before load"
        ),
        pytest.param("drop stage", 0, RESTORED, True, (ALL, False, "", ()), id="taken back by recover: starts afresh"),
    ],
)
def test_an_unfinished_run_is_resumed_after_its_last_finished_step(
    done: str, flag: int, publication: Publication, staged_matches: bool, expected: tuple[Any, ...]
) -> None:
    state = found(flag=flag, staged_matches=staged_matches)
    plan = build_plan(request(), state, last_run(done, flag, publication))
    assert summary(plan) == expected


def changed_by_hand(was: int, now: int, start: str) -> str:
    return f"the flag in the status file was changed from {was} to {now}: starts at {start}"


@pytest.mark.parametrize(
    ("flag", "from_step", "publication", "staged_matches", "expected"),
    [
        pytest.param(
            1, None, RESTORED, True, (ALL, False, "", (changed_by_hand(3, 1, "drop"),)), id="flag back to drop"
        ),
        pytest.param(
            2, None, RESTORED, True, ("stage load", True, "", (changed_by_hand(3, 2, "stage"),)), id="flag to stage"
        ),
        pytest.param(
            2, None, PUBLISHED, True, ("stage load", True, "", (changed_by_hand(3, 2, "stage"),)), id="stage, published"
        ),
        pytest.param(0, None, RESTORED, True, (ALL, False, "", (changed_by_hand(3, 0, "drop"),)), id="flag to idle"),
        pytest.param(
            3, DROP, PUBLISHED, True, (ALL, False, "", ("starts at drop, as --from-step says",)), id="--from-step drop"
        ),
        pytest.param(
            0, STAGE, RESTORED, True, ("stage load", True, "", ("starts at stage, as --from-step says",)), id="stage"
        ),
        pytest.param(
            1,
            LOAD,
            RESTORED,
            True,
            ("load", True, "reuses staged", ("starts at load, as --from-step says", REUSES_STAGED)),
            id="--from-step load",
        ),
        pytest.param(
            3,
            LOAD,
            RESTORED,
            False,
            ("stage load", True, "", ("starts at load, as --from-step says", STAGES_AGAIN)),
            id="--from-step load, nothing staged",
        ),
        pytest.param(
            3,
            LOAD,
            PUBLISHED,
            True,
            ("load", True, "verifies", ("starts at load, as --from-step says", VERIFIES)),
            id="--from-step load, published",
        ),
    ],
)
def test_an_operator_chooses_where_to_start_and_is_told(
    flag: int, from_step: Optional[Step], publication: Publication, staged_matches: bool, expected: tuple[Any, ...]
) -> None:
    last = last_run("drop stage", 3, publication)
    plan = build_plan(request(from_step=from_step), found(flag=flag, staged_matches=staged_matches), last)
    assert summary(plan) == expected


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"partitions_digest": PartitionList((FIRST,)).digest}, id="another list"),
        pytest.param({"partitions_digest": PartitionList((SECOND, FIRST)).digest}, id="another order"),
        pytest.param({"tables": {"final": "mnaas.other"}}, id="other tables"),
        pytest.param({"mode": "swap"}, id="another mode"),
    ],
)
@pytest.mark.parametrize(("done", "flag"), [("drop", 1), ("drop", 2), ("drop stage", 3)])
def test_other_work_than_the_unfinished_run_s_starts_afresh(changes: dict[str, Any], done: str, flag: int) -> None:
    last = last_run(done, flag, **changes)
    plan = build_plan(request(), found(flag=flag, staged_matches=True), last)
    assert summary(plan)[:3] == (ALL, False, "")


@pytest.mark.parametrize(
    ("flag", "from_step", "steps"),
    [(0, None, "stage load"), (1, None, "stage load"), (2, None, "stage load"), (0, DROP, "stage load")],
)
def test_swap_never_drops(flag: int, from_step: Optional[Step], steps: str) -> None:
    plan = build_plan(request(mode="swap", from_step=from_step), found(flag=flag), None)
    assert summary(plan)[0] == steps


@pytest.mark.parametrize(
    ("empty_source", "restated", "cleared", "kept", "refused"),
    [
        ("fail", (FIRST, THIRD), (), (), ["empty_source"]),
        ("keep", (FIRST, THIRD), (), (SECOND,), []),
        ("clear", (FIRST, THIRD), (SECOND,), (), []),
    ],
)
def test_a_listed_day_without_raw_rows(
    empty_source: str,
    restated: tuple[Partition, ...],
    cleared: tuple[Partition, ...],
    kept: tuple[Partition, ...],
    refused: list[str],
) -> None:
    days = {FIRST: FULL_DAY, SECOND: EMPTY_DAY, THIRD: FULL_DAY}
    plan = build_plan(request(FIRST, SECOND, THIRD, empty_source=empty_source), found(days), None)
    assert (plan.restated, plan.cleared, plan.kept) == (restated, cleared, kept)
    assert [refusal.guard for refusal in plan.refusals] == refused
    assert plan.changed == tuple(day for day in (FIRST, SECOND, THIRD) if day in restated + cleared)


def test_the_refusal_names_the_first_empty_days_and_counts_the_rest() -> None:
    days = tuple(Partition(f"2021-04-{number:02}") for number in range(1, 9))
    plan = build_plan(request(*days), found(dict.fromkeys(days, EMPTY_DAY)), None)
    assert "2021-04-05 and 3 more" in plan.refusals[0].message
    assert "2021-04-06" not in plan.refusals[0].message


@pytest.mark.parametrize(
    ("limit", "old", "new", "refused"),
    [
        (None, 1000, 1, False),
        (10.0, 1000, 1100, False),
        (10.0, 1000, 1101, True),
        (10.0, 1000, 899, True),
        (0.0, 1000, 1001, True),
        (0.0, 1000, 1000, False),
        (10.0, 0, 5000, False),
    ],
)
@pytest.mark.parametrize("usage", ["bytes", "voice_secs", "sms"])
def test_a_change_of_usage_above_the_limit_is_refused(
    limit: Optional[float], old: int, new: int, refused: bool, usage: str
) -> None:
    day = FoundDay(
        raw(1, **{usage: new}),
        grouped(1, **{usage: old}),
    )
    plan = build_plan(request(FIRST, max_change_pct=limit), found({FIRST: day}), None)
    assert [refusal.guard for refusal in plan.refusals] == (["max_change_pct"] if refused else [])
    assert all(f"{FIRST} {usage}" in refusal.message for refusal in plan.refusals)


def test_a_day_without_a_partition_yet_cannot_change_too_much() -> None:
    plan = build_plan(request(FIRST, max_change_pct=0.0), found({FIRST: FoundDay(raw(rows=1, bytes=9))}), None)
    assert plan.refusals == ()


@pytest.mark.parametrize(("empty_source", "refused"), [("keep", False), ("clear", True)])
def test_an_empty_day_changes_too_much_only_where_it_is_cleared(empty_source: str, refused: bool) -> None:
    plan = build_plan(request(FIRST, empty_source=empty_source, max_change_pct=50.0), found({FIRST: EMPTY_DAY}), None)
    assert [refusal.guard for refusal in plan.refusals] == (["max_change_pct"] if refused else [])


@pytest.mark.parametrize(
    ("values", "needed"),
    [
        ({}, 1300),
        ({"rewritten": True}, 2600),
        ({"staged_matches": True}, 0),
        ({"staged_matches": True, "rewritten": True}, 1300),
    ],
)
def test_space_is_needed_for_as_much_as_the_old_data_takes_or_a_quarter_of_raw(
    values: dict[str, Any], needed: int
) -> None:
    raw = Input("file:/raw", files=3, bytes=1200, modified=0)
    days = {
        FIRST: replace(FULL_DAY, old_bytes=1000, input=raw),
        SECOND: replace(FULL_DAY, old=None, input=raw),
        THIRD: replace(EMPTY_DAY, old_bytes=5000),
    }
    state = found(days, free_bytes=needed, final_root="file:/final", **values)
    asked = request(FIRST, SECOND, THIRD, empty_source="keep")
    assert bytes_needed(state, days) == needed
    assert build_plan(asked, state, None).refusals == ()
    if needed:
        (refusal,) = build_plan(asked, replace(state, free_bytes=needed - 1), None).refusals
        assert refusal.guard == "space"
        assert "file:/final has 1.3 KiB left" in refusal.message or "file:/final has 2.5 KiB left" in refusal.message


def test_guards_of_preflight_come_with_those_of_the_plan() -> None:
    first = Refusal("lookup_keys", "two rows for 7", "Mend it")
    plan = build_plan(request(FIRST), found({FIRST: EMPTY_DAY}, refusals=(first,)), None)
    assert [refusal.guard for refusal in plan.refusals] == ["lookup_keys", "empty_source"]


def test_no_guard_refuses_a_run_that_only_verifies() -> None:
    state = found(flag=3, refusals=(Refusal("lookup_keys", "two rows for 7", "Mend it"),))
    plan = build_plan(request(max_change_pct=0.0), state, last_run("drop stage", 3, PUBLISHED))
    assert plan.refusals == ()


def test_guards_still_refuse_a_run_that_publishes_what_was_staged() -> None:
    state = found({FIRST: FULL_DAY, SECOND: EMPTY_DAY}, flag=3, staged_matches=True)
    plan = build_plan(request(), state, last_run("drop stage", 3))
    assert [refusal.guard for refusal in plan.refusals] == ["empty_source"]


def test_days_stand_in_the_list_s_order_and_no_other_is_planned() -> None:
    plan = build_plan(request(THIRD, FIRST), found({FIRST: FULL_DAY, SECOND: FULL_DAY, THIRD: FULL_DAY}), None)
    assert (tuple(plan.days), plan.restated) == ((THIRD, FIRST), (THIRD, FIRST))


def test_what_preflight_found_goes_into_the_plan() -> None:
    plan = build_plan(request(), found(creates=("mnaas.final",), notes=("a note",)), None)
    assert (plan.creates, plan.notes, plan.days[FIRST]) == (("mnaas.final",), ("a note",), FULL_DAY)
