"""The command line where it needs no Spark: arguments, errors, and the commands that read state only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Optional

import pytest

from tests.support.fakes import FIRST, RUN_ID, SECOND, run_record
from traffic_aggr.cli.main import main
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.host.holder import Holder
from traffic_aggr.host.lock import FileLock
from traffic_aggr.run.command_line import CommandLine
from traffic_aggr.run.record import Day, DayTotals, Outcome, Publication, RunRecord
from traffic_aggr.run.store import RecordStore
from traffic_aggr.run.totals import Totals
from traffic_aggr.traffic.job import TRAFFIC

CONFIG = """
partitions: {file: days, max_per_run: 3}
impala: {enabled: false}
state: {dir: state, status_file: status, lock_file: lock}
logs: {dir: logs}
notify: {smtp: {host: null}, alert_file: alerts.jsonl}
"""
Command = Callable[..., "Answer"]


class Answer:
    """What a command wrote, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        assert "Traceback" not in out + err

    @property
    def error(self) -> str:
        """The one line on standard error."""
        assert self.err.count("\n") == 1, self.err
        return self.err.rstrip("\n")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a configuration, which the environment names."""
    (tmp_path / "job.yaml").write_text(CONFIG)
    monkeypatch.setenv("TRAFFIC_AGGR_CONFIG", str(tmp_path / "job.yaml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(home: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    def command(*arguments: str) -> Answer:
        try:
            code: object = main(arguments)
        except SystemExit as exc:
            code = exc.code
        written = capsys.readouterr()
        assert isinstance(code, int)
        return Answer(code, written.out, written.err)

    return command


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["restate"], "there is no command 'restate'; did you mean "),
        (["statsu"], "there is no command 'statsu'; did you mean status?"),
        (["run", "--mnth", "2021-04"], "unknown argument --mnth 2021-04; did you mean --month?"),
        (["run", "--from-step", "lod"], "did you mean load?"),
        (["--frobnicate", "status"], "--frobnicate"),
        (["status", "now"], "now"),
        (["run", "--month"], "--month"),
        (["run", "--month", "2021-04", "--dates", "2021-04-01..2021-04-02"], "--dates"),
        (["run", "--partitions", "days", "--month", "2021-04"], "--month"),
        (["run", "--from-step", "final"], "final"),
        (["run", "--run-id", "tonight"], "tonight"),
        (["run", "--frobnicate"], "--frobnicate"),
        (["rollback"], "RUN_ID"),
        (["rollback", "latest"], "latest"),
        (["rollback", f"{RUN_ID}/../x"], RUN_ID),
        (["history", "-n", "0"], "-n"),
        (["history", "-n", "-1"], "-n"),
        (["history", "-n", "many"], "many"),
        (["sample-data"], "--out"),
        (["sample-data", "--out", "x", "--days", "0"], "--days"),
        (["plan", "--config"], "--config"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_bad_arguments_are_one_line_that_names_them_and_the_help(
    command: Command, arguments: list[str], about: str
) -> None:
    answer = command(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.error.startswith("traffic-aggr: ")
    assert about in answer.error
    assert answer.error.endswith("--help`")


def test_no_command_at_all_prints_the_help(command: Command) -> None:
    answer = command()
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == command("--help").out
    assert "in-cluster" not in answer.err + command("restate").err


def test_bad_arguments_leave_no_trace(command: Command, home: Path) -> None:
    command("run", "--from-step", "final")
    assert [path.name for path in home.iterdir()] == ["job.yaml"]


AS_JSON = ["run", "plan", "rollback", "cleanup", "check", "recover", "alerts", "status", "history"]
COMMANDS = [*AS_JSON, "report", "sample-data"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_takes_a_config(command: Command, name: str) -> None:
    answer = command(name, "--help")
    assert (answer.code, answer.err) == (0, "")
    assert "--config FILE" in answer.out


@pytest.mark.parametrize("name", AS_JSON)
def test_every_command_that_tells_takes_json(command: Command, name: str) -> None:
    assert "--json" in command(name, "--help").out


def test_an_error_is_a_document_too_where_json_is_asked_for(command: Command, home: Path) -> None:
    answer = command("run", "--month", "2021-13", "--json")
    document = json.loads(answer.out)
    assert list(document) == ["version", "error", "hint", "next_command", "exit_code"]
    assert (document["version"], document["exit_code"], answer.code) == (1, 2, 2)
    assert document["error"] in answer.err
    assert document["next_command"] is None, "it is the same command again"


def test_help_lists_commands_and_exit_codes(command: Command) -> None:
    answer = command("--help")
    assert all(f"\n    {name}" in answer.out for name in COMMANDS)
    assert "75 another run holds the lock" in " ".join(answer.out.split())


@pytest.mark.parametrize("where", ["--config", "the environment"])
def test_a_config_that_is_missing_is_one_line_that_names_it(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.delenv("TRAFFIC_AGGR_CONFIG")
    expected, arguments = "missing.yaml", ["status"]
    if where == "--config":
        arguments += ["--config", expected]
    else:
        monkeypatch.setenv("TRAFFIC_AGGR_CONFIG", expected)
    answer = command(*arguments)
    assert answer.code == 2
    assert str(home / expected) in answer.error


def test_every_error_of_a_config_is_a_line_with_its_key(command: Command, home: Path) -> None:
    (home / "job.yaml").write_text(CONFIG + "jobb: {}\npublish: {mode: swop, keep_days: -1}\n")
    answer = command("status")
    first, *lines = answer.err.splitlines()
    assert answer.code == 2
    assert first == f"traffic-aggr: {home / 'job.yaml'} has {len(lines)} problems"
    assert len(lines) >= 3
    for key in ("jobb", "publish.mode", "publish.keep_days"):
        assert sum(line.startswith(f"traffic-aggr:   {key}: ") for line in lines) == 1


def test_config_on_the_command_line_goes_before_the_environment(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAFFIC_AGGR_CONFIG", "missing.yaml")
    assert command("status", "--config", str(home / "job.yaml")).code == 0


def test_status_of_a_job_that_never_ran(command: Command) -> None:
    answer = command("status")
    assert (answer.code, answer.err) == (0, "")
    assert "No run has touched the data yet.\nThe next run starts over at drop.\n" in answer.out


def test_status_as_json(command: Command) -> None:
    document = json.loads(command("status", "--json").out)
    assert list(document) == [
        "version",
        "status",
        "status_error",
        "lock_holder",
        "last_run",
        "data_state",
        "next_run",
        "next_command",
        "pending_dependants",
    ]


def test_status_is_shown_again_and_again_until_ctrl_c(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    answer = command("status", "--watch")
    assert (answer.code, answer.err, waits) == (0, "", [2, 2])
    assert answer.out.count("Nothing is running; the lock is free.\n") == 2
    assert command("status", "--watch", "--json").code == 2


def test_history_without_runs(command: Command) -> None:
    answer = command("history")
    assert (answer.code, answer.out.count("\n"), answer.err) == (0, 1, "")
    assert json.loads(command("history", "--json").out) == []


def test_history_shows_the_newest_runs(command: Command, home: Path) -> None:
    store = RecordStore(str(home / "state"), LocalFiles(), TRAFFIC)
    ids = [f"202105{number:02}T020200Z-0a1b2c" for number in range(1, 31)]
    for run_id in ids:
        store.save(run_record(run_id, outcome=Outcome.SUCCESS))
    newest = [run["run_id"] for run in json.loads(command("history", "--json").out)]
    assert newest == ids[:-21:-1]
    assert [line.split()[0] for line in command("history", "-n", "2").out.splitlines()] == ["RUN", ids[-1], ids[-2]]


def test_commands_that_only_read_change_nothing(command: Command, home: Path) -> None:
    command("status")
    command("history")
    assert [path.name for path in home.iterdir()] == ["job.yaml"]


@pytest.mark.parametrize("name", ["status", "history"])
def test_damaged_state_is_one_line_that_names_the_file(command: Command, home: Path, name: str) -> None:
    RecordStore(str(home / "state"), LocalFiles(), TRAFFIC).save(run_record())
    path = home / "state" / "runs" / RUN_ID / "run.json"
    path.write_text("{")
    answer = command(name)
    assert (answer.code, answer.out) == (1, "")
    assert str(path) in answer.error


@pytest.mark.parametrize(
    ("content", "about"),
    [
        pytest.param(None, "cannot be read", id="missing"),
        pytest.param("", "no day", id="empty"),
        pytest.param("2021-04-31\n'; DROP\n", "line 2", id="bad lines"),
        pytest.param("2021-04-01\n2021-04-02\n2021-04-03\n2021-04-04\n", "more than 3", id="too long"),
    ],
)
@pytest.mark.parametrize("spelling", ["{home}/days", "file:{home}/days", "file://{home}/days"])
def test_a_bad_list_is_one_line_before_anything_starts(
    command: Command, home: Path, content: str | None, about: str, spelling: str
) -> None:
    if content is not None:
        (home / "days").write_text(content)
    answer = command("plan", "--partitions", spelling.format(home=home))
    assert (answer.code, answer.out) == (2, "")
    assert about in answer.error


def test_a_run_with_a_bad_list_sets_failure_and_raises_one_alert(command: Command, home: Path) -> None:
    for _ in range(2):
        assert command("run", "--month", "2021-13").code == 2
    assert "MNAAS_job_status=Failure\n" in (home / "status").read_text()
    runs = json.loads(command("history", "--json").out)
    assert [(run["outcome"], run["exit_code"]) for run in runs] == [("refused", 2)] * 2
    (alert,) = {json.loads(line)["subject"] for line in (home / "alerts.jsonl").read_text().splitlines()}
    assert "nothing was touched" in alert


def test_a_run_that_fails_before_it_settled_a_dead_one_says_that_days_may_be_missing(
    command: Command, home: Path
) -> None:
    days = {Partition("2021-04-01"): Day("/final/d", "/kept/d"), Partition("2021-04-02"): Day("/final/e", "/kept/e")}
    dead = run_record(publication=Publication.WITHDRAWN, days=days)
    RecordStore(str(home / "state"), LocalFiles(), TRAFFIC).save(dead)

    answer = command("run", "--month", "2021-13")

    assert answer.code == 2
    assert f"run {RUN_ID}: 2 partitions may be missing from the table, their data is kept" in answer.err
    alert = (home / "alerts.jsonl").read_text()
    assert "2021-04-01: old data kept in /kept/d" in alert


def test_a_run_beside_another_one_exits_75_and_touches_nothing(command: Command, home: Path) -> None:
    with FileLock(str(home / "lock"), Holder.this_process(RUN_ID, "run", "2021-05-04T02:02:00Z")):
        answer = command("run", "--month", "2021-04")
    assert answer.code == 75
    assert RUN_ID in answer.error
    assert {path.name for path in home.iterdir()} == {"job.yaml", "lock", "logs"}


@pytest.mark.parametrize("arguments", [["status", "--json"], ["history"], ["history", "-n", "x"]], ids=" ".join)
def test_commands_that_need_no_spark_do_not_import_it(home: Path, arguments: list[str]) -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['pyspark', 'py4j', 'impala', 'thrift'])); "
        f"from traffic_aggr.cli.main import main; sys.exit(main({arguments!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if "x" in arguments else 0)


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("run --dates x", 2),
        ("--help", 0),
        ("nosuch", 2),
        ("import-properties /nosuch", 2),
    ],
)
def test_the_exit_code_is_the_commands_own_where_a_stream_is_closed_or_full(
    home: Path, redirect: str, arguments: str, code: int
) -> None:
    assert code_of(f"unset PYTHONUNBUFFERED; {arguments} {redirect}", home) == code


@pytest.mark.parametrize("buffering", ["unset PYTHONUNBUFFERED", "export PYTHONUNBUFFERED=1"])
def test_a_command_that_only_tells_fails_where_it_cannot(home: Path, buffering: str) -> None:
    assert code_of(f"{buffering}; status >/dev/full", home) == 1


def code_of(command: str, home: Path) -> int:
    """The exit code of a command, in a shell of its own, whose streams are as the command says."""
    before, _, words = command.partition("; ")
    done = subprocess.run(
        ["sh", "-c", f'{before}; exec "$0" -m traffic_aggr {words}', sys.executable], capture_output=True, cwd=home
    )
    return done.returncode


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--dry-run", "--run-id", RUN_ID),
    ],
    ids=" ".join,
)
def test_an_option_that_has_no_effect_is_a_mistake(command: Command, home: Path, arguments: tuple[str, ...]) -> None:
    answer = command(*arguments)
    assert answer.code == 2
    assert "--run-id" in answer.error
    assert {path.name for path in home.iterdir()} == {"job.yaml"}


PUBLISHED = {"tables": {"final": "mnaas.traffic_aggr_adhoc"}, "publication": Publication.PUBLISHED}
NEWER = "20210505T020200Z-0a1b2c"


@pytest.mark.parametrize(
    ("records", "code", "words", "then"),
    [
        pytest.param([], 2, "there is no run", None, id="unknown"),
        pytest.param([run_record(publication=Publication.RESTORED)], 3, "published nothing", "history", id="restored"),
        pytest.param([run_record(command="recover")], 3, "published nothing", "history", id="no run"),
        pytest.param([run_record(**PUBLISHED, cleaned="T")], 3, "deleted by `cleanup`", "run", id="cleaned"),
        pytest.param(
            [run_record(**PUBLISHED, cleaned="T", days={FIRST: Day("h", "k"), SECOND: Day("h", "k")})],
            3, "deleted by `cleanup`", "run --dates 2021-04-01..2021-04-02", id="cleaned, its days",
        ),
        pytest.param([run_record(**PUBLISHED, rolled_back_by=NEWER)], 3, "was rolled back", None, id="rolled back"),
        pytest.param(
            [run_record(**PUBLISHED, continued_by=NEWER)], 3, "was continued", f"rollback {NEWER}", id="continued"
        ),
        pytest.param([run_record(tables={"final": "db.other"})], 3, "not mnaas.traffic", None, id="another table"),
        pytest.param(
            [
                run_record(run_id, **PUBLISHED, days={FIRST: Day("h", "k")})
                for run_id in (RUN_ID, NEWER)
            ],
            3, "restated 2021-04-01 after", f"rollback {NEWER}", id="restated since",
        ),
    ],
)  # fmt: skip
def test_a_rollback_that_records_forbid_is_refused_before_anything_is_touched(
    command: Command, home: Path, records: list[RunRecord], code: int, words: str, then: Optional[str]
) -> None:
    store = RecordStore(str(home / "state"), LocalFiles(), TRAFFIC)
    for record in records:
        if record.command == "run" and record.cleaned and not record.days:
            record.typed = CommandLine(command=("run",))
        store.save(record)
    before = sorted(home.rglob("*"))

    answer = command("rollback", RUN_ID)

    assert answer.code == code
    assert words in answer.error
    assert answer.error.partition(". Next: ")[2] == (f"traffic-aggr {then} --config {home}/job.yaml" if then else "")
    assert sorted(home.rglob("*")) == before


def published(home: Path) -> None:
    """A run that restated a day and made another."""
    totals = {
        FIRST: DayTotals(staging=Totals(5, {"bytes": 2048}), final_before=Totals(4, {"bytes": 1024})),
        SECOND: DayTotals(staging=Totals(5, {"bytes": 2048})),
    }
    days = {FIRST: Day("h", "k"), SECOND: Day("h", "k")}
    RecordStore(str(home / "state"), LocalFiles(), TRAFFIC).save(run_record(**PUBLISHED, days=days, totals=totals))


PUT_BACK = f"""\
2021-04-01  2.0 KiB -> 1.0 KiB  -50.0 %
2021-04-02  2.0 KiB -> none
rollback puts back 2 days as before run {RUN_ID}, which started at """


def test_a_rollback_can_be_tried_without_changing_anything(command: Command, home: Path) -> None:
    published(home)
    before = sorted(home.rglob("*"))
    answer = command("rollback", "--dry-run", RUN_ID)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(PUT_BACK)
    assert sorted(home.rglob("*")) == before


def test_a_rollback_asks_on_a_terminal_and_takes_no_for_an_answer(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(home)
    before = sorted(home.rglob("*"))
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "n")
    answer = command("rollback", RUN_ID)
    assert asked == ["Put them back? [y/N] "]
    assert answer.out.startswith(PUT_BACK)
    assert answer.code == 2
    assert answer.error == "traffic-aggr: not confirmed: nothing was changed. Answer y, or give --yes"
    assert sorted(home.rglob("*")) == before


def test_a_report_of_a_run_that_does_not_exist_is_a_mistake(command: Command, home: Path) -> None:
    answer = command("report", RUN_ID)
    assert (answer.code, RUN_ID in answer.error) == (2, True)
    assert {path.name for path in home.iterdir()} == {"job.yaml"}


def test_a_report_is_made_from_the_record_as_it_is_now(command: Command, home: Path) -> None:
    store = RecordStore(str(home / "state"), LocalFiles(), TRAFFIC)
    store.save(run_record(**PUBLISHED, outcome=Outcome.SUCCESS))
    assert command("report").code == 0
    store.save(run_record(**PUBLISHED, outcome=Outcome.SUCCESS, rolled_back_by=NEWER))
    page = Path(command("report", RUN_ID).out.strip()).read_text()
    assert f"Rolled back by run {NEWER}" in page


def test_an_error_a_mail_a_record_and_status_name_the_same_command(command: Command, home: Path) -> None:
    failed = command("run", "--partitions", "days.txt", "--from-step", "load")
    told = f"traffic-aggr run --partitions {home}/days.txt --from-step load --config {home}/job.yaml"

    assert failed.err.endswith(f". Next: {told}\n")
    assert json.loads(command("status", "--json").out)["next_command"] == told
    (run,) = (json.loads(path.read_text()) for path in sorted(home.glob("state/runs/*/run.json"))[-1:])
    assert run["next"]["command"] == told
    alert = json.loads((home / "alerts.jsonl").read_text().splitlines()[-1])
    assert f"\nWhat to run: {told}\n" in alert["body"]


def test_a_range_that_is_a_mistake_is_not_named_as_what_to_type(command: Command) -> None:
    assert "Next:" not in command("run", "--month", "2021-13").err


@pytest.mark.parametrize(
    ("arguments", "code", "where"),
    [
        (["status"], 0, "a closed pipe"),
        (["history"], 0, "a closed pipe"),
        (["report"], 1, "a closed pipe"),
        (["run", "--dates", "x"], 2, "a closed pipe"),
        (["report"], 1, "a full disk"),
        (["run", "--dates", "x"], 2, "a full disk"),
        (["run", "--dates", "x", "--json"], 2, "a full disk"),
    ],
)
def test_the_exit_code_is_the_commands_own_whoever_reads_its_output(
    home: Path, arguments: list[str], code: int, where: str
) -> None:
    if where == "a full disk":
        output = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, output = os.pipe()
        os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "traffic_aggr", *arguments], stdout=output, stderr=output, cwd=home
        )
    finally:
        os.close(output)
    assert done.returncode == code


# ---- check, where Spark is missing as well


@pytest.fixture
def no_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_HOME", "/nowhere")


def failures(answer: Answer) -> list[str]:
    return [line for line in answer.out.splitlines() if line.startswith("FAIL")]


@pytest.mark.usefixtures("no_spark")
def test_check_has_a_line_for_each_missing_secret_and_probes_what_needs_none(home: Path, command: Command) -> None:
    config = CONFIG.replace(
        "impala: {enabled: false}",
        "impala: {enabled: true, hosts: [127.0.0.1:1], tls: {enabled: true},"
        " auth: {mechanism: LDAP, user: etl, password: {env: NO_SUCH_PASSWORD}}}",
    ).replace(
        "smtp: {host: null}",
        "from: a@example.com, ticket_to: [b@example.com],"
        " smtp: {host: 127.0.0.1, port: 1, tls: starttls, user: etl, password: {file: /no/such/file}}",
    )
    (home / "job.yaml").write_text(config)

    answer = command("check")

    assert answer.code == 2
    for line, about in zip(
        failures(answer),
        (
            "secret notify.smtp.password: the secret file /no/such/file cannot be read",
            "secret impala.auth.password: the secret {env: NO_SUCH_PASSWORD} is not set",
            "partition list",
            "SMTP 127.0.0.1:1",
            "Spark did not start",
        ),
    ):
        assert about in line
    assert len(failures(answer)) == 5
    assert "warn  Impala was not probed, for want of impala.auth.password" in answer.out


@pytest.mark.usefixtures("no_spark")
def test_check_as_json(home: Path, command: Command) -> None:
    answer = command("check", "--json")
    document = json.loads(answer.out)
    states = [(probe["state"], probe.get("exit_code")) for probe in document["probes"]]
    assert (document["version"], document["exit_code"], answer.code) == (1, 2, 2)
    assert states[0] == ("ok", None)
    assert ("FAIL", 2) in states
    assert "partition list" in next(probe["what"] for probe in document["probes"] if probe["state"] == "FAIL")


@pytest.mark.usefixtures("no_spark")
def test_check_goes_on_where_the_log_cannot_be_written(home: Path, command: Command) -> None:
    (home / "logs" / "traffic_adhoc_aggr.log").mkdir(parents=True)

    answer = command("check")

    assert answer.code == 2
    assert "traffic_adhoc_aggr.log cannot be written" in failures(answer)[0]
    assert "partition list" in failures(answer)[1]


def test_alerts_that_wait_are_listed_and_stay_where_there_is_no_mail_server(command: Command, home: Path) -> None:
    command("run", "--month", "2021-13")
    waiting = (home / "alerts.jsonl").read_text()
    listed = command("alerts").out
    assert "FAILED at preflight" in listed
    assert listed.endswith(f"1 alert not mailed, in {home}/alerts.jsonl; notify.smtp.host is null, so none is mailed\n")
    document = json.loads(command("alerts", "--json").out)
    assert (document["mails"], [alert["kind"] for alert in document["alerts"]]) == (False, ["failure"])

    refused = command("alerts", "--resend")

    assert refused.code == 2
    assert "notify.smtp.host is null" in refused.error
    assert (home / "alerts.jsonl").read_text() == waiting


def test_alerts_are_discarded_once_that_is_confirmed(
    command: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("run", "--month", "2021-13")
    waiting = (home / "alerts.jsonl").read_text()
    with monkeypatch.context() as patch:
        for stream in (sys.stdin, sys.stdout):
            patch.setattr(stream, "isatty", lambda: True)
        patch.setattr("builtins.input", lambda question: "n")
        assert command("alerts", "--discard").code == 2
    assert (home / "alerts.jsonl").read_text() == waiting

    assert command("alerts", "--discard").out == "discarded 1 alert\n"

    assert not (home / "alerts.jsonl").exists()
    assert json.loads(command("alerts", "--discard", "--json").out) == {"version": 1, "discarded": 0}
