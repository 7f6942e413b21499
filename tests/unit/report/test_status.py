"""What `status` and `history` say, from state files of every kind."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any, Optional

import pytest
import yaml

from tests.support.fakes import run_record
from tests.support.totals import grouped
from traffic_aggr.config.config import Config
from traffic_aggr.config.load import load_config
from traffic_aggr.errors import StateError
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.host.holder import Holder
from traffic_aggr.host.lock import FileLock
from traffic_aggr.report.status import history_lines, overview, summary
from traffic_aggr.run.command_line import CommandLine
from traffic_aggr.run.record import Day, DayTotals, Next, Outcome, Publication, RunRecord, StepRecord
from traffic_aggr.run.store import RecordStore
from traffic_aggr.terminal import paint_for
from traffic_aggr.traffic.job import TRAFFIC

FIRST, SECOND = Partition("2021-04-01"), Partition("2021-04-02")
DAYS = {day: Day("home", "kept") for day in (FIRST, SECOND)}
RUN = "20210504T020200Z-0a1b2c"
STARTED, BEGUN = "2021-05-04T02:02:00.000+00:00", "2021-05-04T02:03:00.000+00:00"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configured(tmp_path)


def configured(home: Path, mode: str = "drop_and_load") -> Config:
    path = home / "job.yaml"
    settings = {
        "partitions": {"file": "days"},
        "publish": {"mode": mode},
        "impala": {"enabled": False},
        "state": {"dir": "state", "status_file": "status", "lock_file": "lock"},
        "logs": {"dir": "logs"},
        "notify": {"smtp": {"host": None}, "alert_file": "alerts.jsonl"},
    }
    path.write_text(yaml.safe_dump(settings))
    return load_config(path, {})


@pytest.fixture
def store(config: Config) -> RecordStore:
    return RecordStore(config.state.dir, LocalFiles(), TRAFFIC)


def set_flag(config: Config, flag: object) -> None:
    config.state.status_file.write_text(f"MNAAS_Daily_ProcessStatusFlag={flag}\nMNAAS_job_status=Failure\n")


def died(publication: Publication, flag: int = 2, **values: Any) -> RunRecord:
    return run_record(
        **{"days": DAYS, "steps": [StepRecord("drop", "t")], "publication": publication, "flag": flag, **values}
    )


def next_run(config: Config, store: RecordStore) -> str:
    found = overview(config, store)
    assert f"The next run {found.next_run}." in list(found.lines())
    return found.next_run


def test_a_job_that_never_ran_is_idle_and_free(config: Config, store: RecordStore) -> None:
    assert list(overview(config, store).lines()) == [
        "Nothing is running; the lock is free.",
        "No run has touched the data yet.",
        "The next run starts over at drop.",
        "The status file has flag 0 (idle), job status none yet.",
    ]


def test_asking_changes_nothing(config: Config, store: RecordStore, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    overview(config, store)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("mode", "flag", "sentence"),
    [
        ("drop_and_load", 1, "starts over at drop"),
        ("drop_and_load", 2, "starts over at stage"),
        ("drop_and_load", 3, "starts over at stage"),
        ("swap", 0, "starts over at stage"),
        ("swap", 1, "starts over at stage"),
    ],
)
def test_the_next_run_starts_where_the_flag_says(tmp_path: Path, mode: str, flag: int, sentence: str) -> None:
    config = configured(tmp_path, mode)
    set_flag(config, flag)
    assert next_run(config, RecordStore(config.state.dir, LocalFiles(), TRAFFIC)) == sentence


BACK = f"first puts the old data of 2 days of run {RUN} back, then"
VERIFIES = f"only refreshes Impala and verifies what run {RUN} loaded"
OTHER = "if its list is the same; with another list it starts over at drop"


@pytest.mark.parametrize(
    ("record", "flag", "sentence"),
    [
        pytest.param(
            died(Publication.WITHDRAWN), 2, f"{BACK} resumes run {RUN} at stage, {OTHER}",
            id="died while days were out",
        ),
        pytest.param(
            died(Publication.PUBLISHING, 3), 3,
            f"first finishes publishing 2 days of run {RUN}, then {VERIFIES}, {OTHER}", id="died while publishing",
        ),
        pytest.param(
            died(Publication.WITHDRAWN), 0, f"{BACK} starts over at drop", id="flag to 0"
        ),
        pytest.param(
            died(Publication.RESTORED, outcome=Outcome.FAILED), 2, f"resumes run {RUN} at stage, {OTHER}",
            id="failed, old data back",
        ),
        pytest.param(
            died(Publication.RESTORED, 0, outcome=Outcome.INTERRUPTED), 0, "starts over at drop", id="recovered"
        ),
        pytest.param(
            died(Publication.PUBLISHED, 3, outcome=Outcome.FAILED), 3,
            f"{VERIFIES}, {OTHER}", id="Impala failed",
        ),
        pytest.param(
            died(Publication.WITHDRAWN, 1, steps=[StepRecord("drop", "t", "t", Outcome.SUCCESS)]), 1,
            f"{BACK} resumes run {RUN} at stage, {OTHER}", id="died after drop",
        ),
        pytest.param(
            died(Publication.PUBLISHED, 0, outcome=Outcome.SUCCESS), 0, "starts over at drop", id="succeeded"
        ),
        pytest.param(run_record(outcome=Outcome.REFUSED), 0, "starts over at drop", id="refused"),
    ],
)  # fmt: skip
def test_the_next_run_is_said_in_a_sentence(
    config: Config, store: RecordStore, record: RunRecord, flag: int, sentence: str
) -> None:
    store.save(record)
    set_flag(config, flag)
    assert next_run(config, store) == sentence


def test_a_flag_that_is_none_is_said_and_what_it_must_be(config: Config, store: RecordStore) -> None:
    set_flag(config, 7)
    found = overview(config, store)
    assert next_run(config, store) == "stops until the flag in the status file is 0, 1, 2 or 3"
    assert "MNAAS_Daily_ProcessStatusFlag" in list(found.lines())[-1]


def test_who_holds_the_lock_is_named(config: Config, store: RecordStore) -> None:
    holder = Holder.this_process(RUN, "run", "2021-05-04T02:02:00Z")
    with FileLock(str(config.state.lock_file), holder):
        found = overview(config, store)
    assert found.next_run == f"exits 75 as long as process {holder.pid} runs"
    lines = list(found.lines())
    assert lines[0] == f"`run` {RUN} has been running since 2021-05-04 07:32:00 UTC+05:30."
    assert lines[1].startswith(f"It holds the lock as process {holder.pid} on ")


def test_a_run_at_work_says_in_which_step_it_is_and_that_the_data_is_being_changed(
    config: Config, store: RecordStore
) -> None:
    store.save(died(Publication.WITHDRAWN, steps=[StepRecord("stage", BEGUN)], run_id=RUN))
    with FileLock(str(config.state.lock_file), Holder.this_process(RUN, "run", STARTED)):
        lines = list(overview(config, store).lines())
    step = "in step stage of 2 days (begun 2021-05-04 07:33:00 UTC+05:30)"
    assert lines[0] == f"`run` {RUN} has been running since 2021-05-04 07:32:00 UTC+05:30, {step}."
    assert f"The data is being changed by run {RUN}." in lines


def test_while_a_run_is_at_work_json_and_text_say_the_same_of_the_data(config: Config, store: RecordStore) -> None:
    store.save(died(Publication.WITHDRAWN, run_id=RUN))
    with FileLock(str(config.state.lock_file), Holder.this_process(RUN, "run", "02:02")):
        found = overview(config, store)
    assert found.to_json()["data_state"] == f"being changed by run {RUN}"
    assert f"The data is {found.to_json()['data_state']}." in list(found.lines())


@pytest.mark.parametrize(
    ("record", "command"),
    [
        pytest.param(
            died(Publication.WITHDRAWN, typed=CommandLine(("/old",), "/old.yaml", ("run", "--month", "2021-04"))),
            "./spark-submit.sh run --month 2021-04 --config /my.yaml", id="killed: its list, from here",
        ),
        pytest.param(died(Publication.WITHDRAWN), "./spark-submit.sh run --config /my.yaml", id="of an older version"),
        pytest.param(
            died(Publication.RESTORED, outcome=Outcome.FAILED, next=Next("cd /x && y")), "cd /x && y", id="failed"
        ),
        pytest.param(
            died(Publication.RESTORING, command="rollback", rolls_back="R"),
            "./spark-submit.sh recover --config /my.yaml", id="a rollback was killed",
        ),
        pytest.param(died(Publication.PUBLISHED, 0, outcome=Outcome.SUCCESS), None, id="succeeded"),
    ],
)  # fmt: skip
def test_the_command_that_goes_on_is_said_whole(
    config: Config, store: RecordStore, record: RunRecord, command: Optional[str]
) -> None:
    store.save(record)
    set_flag(config, record.flag)
    found = overview(config, store, CommandLine(("./spark-submit.sh",), "/my.yaml", ("status",)))
    assert found.to_json()["next_command"] == command
    assert [line for line in found.lines() if line.startswith("Next: ")] == ([f"Next: {command}"] if command else [])


def test_a_run_that_was_killed_says_what_is_not_whole(config: Config, store: RecordStore) -> None:
    store.save(died(Publication.WITHDRAWN))
    lines = list(overview(config, store).lines())
    assert lines[1] == f"run {RUN} was killed, or its host went down, in step drop of 2 days (begun t)."
    assert lines[2].startswith("The data is not whole: 2 partitions may be missing from the table, their data is kept")


def test_of_a_refused_run_after_one_that_died_the_latter_says_where_the_data_is(
    config: Config, store: RecordStore
) -> None:
    store.save(died(Publication.WITHDRAWN, outcome=Outcome.FAILED))
    store.save(run_record(run_id="20210505T020200Z-0a1b2c", outcome=Outcome.REFUSED))
    found = overview(config, store)
    assert any(line.startswith("The data is not whole: ") for line in found.lines())
    assert "may be missing" in found.to_json()["data_state"]


@pytest.mark.parametrize(
    ("terminal", "environment", "coloured"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colours_are_for_terminals_whose_user_wants_them(
    config: Config, store: RecordStore, terminal: bool, environment: dict[str, str], coloured: bool
) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    store.save(died(Publication.RESTORED, outcome=Outcome.FAILED))
    paint = paint_for(stream, environment)
    shown = "\n".join([*overview(config, store).lines(paint), *history_lines([summary(store.load(RUN))], paint)])
    assert ("\033[32mThe data is safe\033[0m" in shown) is coloured
    assert ("\033[31mfailed\033[0m" in shown) is coloured
    assert ("\033" in shown) is coloured


def test_an_application_that_a_killed_launcher_left_at_work_holds_the_lock(config: Config, store: RecordStore) -> None:
    application = "application_1620093720000_0007"
    left = Holder.this_process(RUN, "run", "2021-05-04T02:02:00Z", application_id=application)
    config.state.lock_file.write_text(f"{left.to_json()}\n")
    running = overview(config, store, runs={application}.__contains__)
    assert running.next_run == f"exits 75 as long as {application} runs"
    assert any(application in line for line in running.lines())
    assert next(iter(overview(config, store).lines())) == "Nothing is running; the lock is free."


def test_the_last_run_is_shown_with_its_error_and_where_the_data_is(config: Config, store: RecordStore) -> None:
    ended = "2021-05-04T02:12:00+00:00"
    store.save(died(Publication.RESTORED, outcome=Outcome.FAILED, ended=ended, error="it failed. Run again"))
    lines = list(overview(config, store).lines())
    (told,) = (line for line in lines if line.startswith("The last run"))
    assert told.startswith(f"The last run, run {RUN}, ended as failed after ")
    assert told.endswith(" on 2021-05-04 07:42:00 UTC+05:30.")
    assert "  it failed. Run again" in lines
    assert "The data is safe: old data is back in place for 2 partitions." in lines


def test_all_times_are_in_the_status_file_s_zone_which_is_named(config: Config, store: RecordStore) -> None:
    store.save(died(Publication.RESTORED, outcome=Outcome.FAILED, ended="2021-05-04T02:12:00.123+00:00"))
    config.state.status_file.write_text("MNAAS_job_status=Failure\nMNAAS_job_ran_time=2021-05-04 07:42:00\n")
    found = overview(config, store)
    said = "\n".join([*found.lines(), *history_lines([summary(store.load(RUN))])])
    assert set(re.findall(r"2021-05-04[T ]\d\d:\d\d(.{13})", said)) == {":00 UTC+05:30"}
    assert said.count("UTC+05:30") == 3
    assert found.to_json()["status"]["ran_time"] == "2021-05-04 07:42:00"
    assert found.to_json()["last_run"]["ended"] == "2021-05-04T02:12:00.123+00:00"


def test_unreadable_state_is_an_error_and_not_an_empty_answer(config: Config, store: RecordStore) -> None:
    store.save(run_record())
    Path(config.state.dir, "runs", RUN, "run.json").write_text("{")
    with pytest.raises(StateError, match="damaged"):
        overview(config, store)


def test_the_json_of_an_idle_job_has_every_key(config: Config, store: RecordStore) -> None:
    document = json.loads(json.dumps(overview(config, store).to_json()))
    assert document == {
        "status": {
            "flag": 0,
            "process_name": "",
            "job_status": "",
            "ran_time": "",
            "process_id": None,
            "ticket_created": False,
        },
        "status_error": None,
        "lock_holder": None,
        "last_run": None,
        "data_state": None,
        "next_run": "starts over at drop",
        "next_command": None,
        "pending_dependants": {},
    }


def test_the_json_names_holder_last_run_and_a_wrong_flag(config: Config, store: RecordStore) -> None:
    store.save(died(Publication.WITHDRAWN))
    set_flag(config, "x")
    with FileLock(str(config.state.lock_file), Holder.this_process(RUN, "run", "2021-05-04T02:02:00Z")):
        document = json.loads(json.dumps(overview(config, store).to_json()))
    assert (document["status"], document["lock_holder"]["run_id"]) == (None, RUN)
    assert "'x'" in document["status_error"]
    assert document["last_run"] == summary(store.load(RUN))


def finished(seconds: Optional[float] = None, **values: Any) -> dict[str, Any]:
    totals = {FIRST: DayTotals(final_after=grouped(rows=1200)), SECOND: DayTotals()}
    ended = None if seconds is None else f"2021-05-04T02:{2 + seconds // 60:02.0f}:{seconds % 60:06.3f}+00:00"
    return summary(run_record(**{"ended": ended, "totals": totals, "days": DAYS, **values}))


def test_a_run_is_summed_up_with_times_days_and_rows() -> None:
    run = finished(185.25, outcome=Outcome.SUCCESS, exit_code=0)
    assert (run["seconds"], run["partitions"], run["rows"]) == (185.25, 2, 1200)
    assert (run["outcome"], run["exit_code"], run["error"]) == ("success", 0, None)


def test_a_run_that_was_refused_counts_the_days_it_was_asked_for() -> None:
    assert finished(1, days={}, partitions=[FIRST, SECOND])["partitions"] == 2


LISTED = [FIRST, SECOND]
ONE = {FIRST: Day("home", "kept", new="staged")}


@pytest.mark.parametrize(
    ("values", "counts", "words"),
    [
        pytest.param(
            {"days": {**ONE, SECOND: DAYS[SECOND]}, "publication": Publication.PUBLISHED},
            {"restated": 1, "cleared": 1},
            "success (1 restated, 1 cleared)",
            id="cleared",
        ),
        pytest.param(
            {"days": ONE, "kept": [SECOND], "publication": Publication.PUBLISHED},
            {"restated": 1, "kept": 1},
            "success (1 restated, 1 kept)",
            id="kept",
        ),
        pytest.param(
            {"days": ONE, "refused": [SECOND], "outcome": Outcome.REFUSED, "error": "no rows"},
            {"unchanged": 1, "refused": 1},
            "refused (1 refused, 1 unchanged): no rows",
            id="refused",
        ),
        pytest.param(
            {"days": {}, "refused": LISTED, "outcome": Outcome.REFUSED, "error": "no rows"},
            {"refused": 2},
            "refused (2 refused): no rows",
            id="all refused",
        ),
        pytest.param(
            {"days": DAYS, "publication": Publication.WITHDRAWN, "outcome": Outcome.INTERRUPTED},
            {"unsettled": 2},
            "  interrupted",
            id="unsettled",
        ),
        pytest.param(
            {"days": DAYS, "publication": Publication.RESTORED, "lost": [FIRST], "outcome": Outcome.FAILED},
            {"unchanged": 1, "lost": 1},
            "  failed (1 lost, 1 unchanged)",
            id="lost",
        ),
        pytest.param(
            {"rolls_back": "R", "publication": Publication.RESTORED},
            {"restored": 2},
            "  success",
            id="rollback",
        ),
    ],
)
def test_history_counts_all_listed_days_and_says_what_became_of_them(
    values: dict[str, Any], counts: dict[str, int], words: str
) -> None:
    run = finished(1, **{"partitions": LISTED, "outcome": Outcome.SUCCESS, **values})
    assert {way: count for way, count in run["days"].items() if count} == {"listed": 2, **counts}
    _, line = history_lines([run])
    assert re.search(r" s +2 +[\d,]+  ", line)
    assert line.endswith(words)


@pytest.mark.parametrize(
    ("run", "end"),
    [
        pytest.param(
            finished(185.25, outcome=Outcome.SUCCESS), "3 min 05 s     2         1,200  success", id="success"
        ),
        pytest.param(finished(outcome=Outcome.RUNNING), "  2         1,200  running", id="running"),
        pytest.param(finished(5, outcome=Outcome.FAILED, error="no space"), "failed: no space", id="failed"),
        pytest.param(
            finished(5, outcome=Outcome.SUCCESS, rolled_back_by="R"), "success, rolled back by R", id="rolled back"
        ),
    ],
)
def test_history_shows_a_run_a_line(run: dict[str, Any], end: str) -> None:
    head, line = history_lines([run])
    assert line.startswith(f"{RUN} run ")
    assert line.endswith(end)
    assert "\n" not in line
    assert head.split() == ["RUN", "COMMAND", "STARTED", "TOOK", "DAYS", "ROWS", "OUTCOME"]


@pytest.mark.parametrize("width", [80, 119, 120, 200])
def test_lines_are_cut_where_the_terminal_ends(width: int) -> None:
    run = finished(1, outcome=Outcome.FAILED, error="the metastore did not answer " * 10)
    head, line = history_lines([run], width=width)
    assert len(line) == width
    assert line.endswith("…")
    assert ("STARTED" in head) is (width >= 120)
    assert "failed: the" in line
