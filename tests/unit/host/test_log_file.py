from __future__ import annotations

import base64
import datetime
import html
import json
import logging
import os
import re
import socket
import stat
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

from traffic_aggr.config.config import LogsConfig
from traffic_aggr.config.secrets import Redactor
from traffic_aggr.errors import InputError
from traffic_aggr.events import Event, tell
from traffic_aggr.host import log
from traffic_aggr.host.log_file import DailyFile

SECRET = "p@ss wörd/+\"<&'1\\"
RUN_ID = "20210501T020203Z-abc123"
TODAY = datetime.datetime(2021, 5, 1, 2, 2, 3)

logger = logging.getLogger("traffic_aggr.somewhere")


@pytest.fixture(autouse=True)
def _loggers_as_before():
    yield
    log.shut_down()


@pytest.fixture
def configured(tmp_path):
    """Configures the log below tmp_path and gives the log's path."""

    def configured(run_id=RUN_ID, secrets=(), console=False, **options):
        keywords = {key: options.pop(key) for key in ("now", "syslog_socket") if key in options}
        logs = LogsConfig(dir=tmp_path / "logs", **options)
        log.configure(logs, run_id, secrets, console=console, **keywords)
        return tmp_path / "logs/traffic_adhoc_aggr.log"

    return configured


def on_console(capsys) -> list[str]:
    """What is on standard error, which is no terminal, without the time and the run that each line begins with."""
    start = rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{{4}} \[{RUN_ID}\] "
    return [re.fullmatch(f"{start}(.*)", line)[1] for line in capsys.readouterr().err.splitlines()]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def written_on(path: Path, day: str, text: str = "old\n") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    moment = datetime.datetime.fromisoformat(f"{day}T23:59:00").timestamp()
    os.utime(path, (moment, moment))
    return path


def test_a_line_has_time_level_run_and_message(configured):
    path = configured()
    logger.info("loaded %s", "2021-04-01")
    assert re.fullmatch(
        rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d,\d{{3}} INFO  \[{RUN_ID}\] loaded 2021-04-01\n", path.read_text()
    )


def test_a_line_before_there_is_a_run_has_a_dash(configured):
    path = configured(run_id=None)
    logger.warning("no run")
    assert " WARNING [-] no run\n" in path.read_text()


def test_a_json_line_is_one_object_with_the_offset_of_its_time(configured):
    path = configured(format="json", secrets=[SECRET])
    try:
        raise ValueError(f"bad {SECRET}\nsecond line")
    except ValueError:
        logger.exception("failed with %s", SECRET)
    (line,) = path.read_text().splitlines()
    entry = json.loads(line)
    assert datetime.datetime.fromisoformat(entry.pop("time")).utcoffset() is not None
    assert entry.pop("exception").endswith("ValueError: bad ***\nsecond line")
    assert entry == {
        "level": "ERROR",
        "run_id": RUN_ID,
        "logger": "traffic_aggr.somewhere",
        "message": "failed with ***",
    }


def test_an_event_has_fields_of_its_own_in_json_and_none_in_text(configured):
    path = configured(format="json", secrets=[SECRET])
    tell(logger, Event.STEP_ENDED, f"[1/3] drop: {SECRET}", step=f"drop {SECRET}", seconds=0.4, rows=None)
    entry = json.loads(path.read_text())
    assert list(entry)[4:] == ["message", "event", "step", "seconds", "rows"]
    assert (entry["message"], entry["event"]) == ("[1/3] drop: ***", "step_ended")
    assert (entry["step"], entry["seconds"], entry["rows"]) == ("drop ***", 0.4, None)


def test_a_quiet_event_is_in_the_file_and_on_what_is_no_terminal(configured, capsys):
    path = configured(console=True)
    tell(logger, Event.RUN_ENDED, "run R: success", quiet=True)
    tell(logger, Event.STEP_STARTED, "[1/3] drop")
    assert "run R: success" in path.read_text()
    assert on_console(capsys) == ["run R: success", "[1/3] drop"]


def test_a_line_cannot_be_forged(configured):
    path = configured()
    forged = f"2021-05-01 02:02:03,123 INFO  [{RUN_ID}] all is well"
    logger.info("day %s", f"x\n{forged}\r{forged}\u2028{forged}\x1b[2J\x85")
    try:
        raise ValueError(f"x\n{forged}\x85{forged}")
    except ValueError:
        logger.exception("failed")
    content = path.read_text()
    assert [line for line in content.splitlines() if line.startswith("2021-05-01 02:02:03,123")] == []
    assert "\x1b" not in content
    assert "day x\\n2021" in content


def test_a_traceback_follows_its_line_indented(configured):
    path = configured()
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("failed")
    first, *rest = path.read_text().splitlines()
    assert first.endswith("failed")
    assert rest[-1] == "    ValueError: broken"
    assert all(line.startswith("    ") for line in rest)


def test_only_the_configured_level_is_in_the_file(configured):
    path = configured(level="WARNING")
    logger.info("fine")
    logger.warning("odd")
    assert "fine" not in path.read_text()
    assert "odd" in path.read_text()


def test_debug_is_logged_where_asked_for(configured):
    path = configured(level="DEBUG")
    logger.debug("detail")
    assert "detail" in path.read_text()


FORMS_OF_A_SECRET = {
    "as it is": SECRET,
    "in a repr": repr({"password": SECRET}),
    "in JSON": json.dumps({"password": SECRET}),
    "in a URL": f"http://x/?p={urllib.parse.quote(SECRET)}",
    "in a URL, every character": f"http://x/?p={urllib.parse.quote(SECRET, safe='')}",
    "in a form": urllib.parse.urlencode({"password": SECRET}),
    "in HTML": html.escape(SECRET),
    "in base64": base64.b64encode(SECRET.encode()).decode(),
    "in URL-safe base64": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "in basic authentication": base64.b64encode(f"u:{SECRET}".encode()).decode(),
    "in SASL PLAIN": base64.b64encode(f"\0me\0{SECRET}".encode()).decode(),
    "in the middle of base64": base64.b64encode(f"abcd{SECRET}efg".encode()).decode(),
}


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("text", FORMS_OF_A_SECRET.values(), ids=FORMS_OF_A_SECRET.keys())
def test_a_secret_is_in_no_log_in_any_form(configured, capsys, text, form):
    path = configured(secrets=["other", SECRET], console=True, format=form)
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("failed %s", text)
    for output in (path.read_text(), capsys.readouterr().err):
        assert "***" in output
        assert text not in output
        assert SECRET not in output
        for shift in range(3):
            # Eight characters out of the middle of its base64 are enough to find it again.
            encoded = base64.b64encode(b"\0" * shift + SECRET.encode()).decode()
            assert encoded[8:16] not in output


def test_a_secret_with_a_control_character_is_redacted_before_it_is_escaped(configured):
    path = configured(secrets=["one\ntwo"])
    logger.info("it is one\ntwo.")
    assert "it is ***." in path.read_text()


def test_of_two_secrets_the_longer_is_redacted_whole():
    assert Redactor(["hunter2", "hunter2-extended"]).redact("x hunter2-extended") == "x ***"


def test_a_short_secret_is_redacted_as_a_word_only():
    assert Redactor(["abc"]).redact("abc, xabc abcx (abc)") == "***, xabc abcx (***)"


@pytest.mark.parametrize("secrets", [(), ("",)])
def test_without_secrets_the_text_stays(secrets):
    assert Redactor(secrets).redact("a b") == "a b"


def test_the_console_shows_messages_without_traceback(configured, capsys):
    configured(console=True)
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("step failed")
    logger.info("step\ndone")
    logger.debug("detail")
    assert on_console(capsys) == ["error: step failed", "step\\ndone"]


def test_the_console_shows_information_also_when_the_file_does_not(configured, capsys):
    path = configured(console=True, level="ERROR")
    logger.info("fine")
    assert on_console(capsys) == ["fine"]
    assert path.read_text() == ""


def test_without_console_nothing_is_on_standard_error(configured, capsys):
    configured(console=False)
    logger.error("failed")
    logging.getLogger("thrift.transport.TSocket").error("could not connect")
    assert capsys.readouterr().err == ""


def test_the_libraries_report_into_the_log_with_the_same_redaction(configured):
    path = configured(secrets=[SECRET])
    logging.getLogger("thrift.transport.TSocket").error("could not connect as %s", SECRET)
    logging.getLogger("impala.hiveserver2").info("chatter")
    assert "could not connect as ***" in path.read_text()
    assert "chatter" not in path.read_text()


def test_configuring_again_replaces_what_was_set_up(configured):
    path = configured(run_id=None)
    configured(run_id=RUN_ID)
    logger.info("once")
    assert path.read_text().count("once") == 1
    assert RUN_ID in path.read_text()


def test_after_shutting_down_the_loggers_are_as_python_makes_them(configured):
    configured(console=True)
    log.shut_down()
    package = logging.getLogger("traffic_aggr")
    assert (package.handlers, package.propagate, package.level) == ([], True, logging.NOTSET)


def test_the_file_is_for_its_owner_only_and_so_are_made_directories(configured, tmp_path):
    logs = LogsConfig(dir=tmp_path / "a/b")
    log.configure(logs, RUN_ID, (), console=False)
    assert mode_of(tmp_path / "a/b/traffic_adhoc_aggr.log") == 0o600
    assert mode_of(tmp_path / "a/b") == 0o700
    assert mode_of(tmp_path / "a") == 0o700


def test_the_mode_of_a_directory_that_is_there_stays(configured, tmp_path):
    (tmp_path / "logs").mkdir(mode=0o755)
    configured()
    assert mode_of(tmp_path / "logs") == 0o755


@pytest.mark.parametrize("below", ["file", "file/logs"])
def test_a_directory_that_cannot_be_used_is_an_input_error(tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError) as caught:
        log.configure(LogsConfig(dir=tmp_path / below), RUN_ID, (), console=False)
    assert caught.value.exit_code == 2
    assert str(tmp_path / below) in str(caught.value)
    assert "logs.dir" in str(caught.value)


def test_a_full_disk_is_told_once_and_harms_nothing(configured, tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/traffic_adhoc_aggr.log").symlink_to("/dev/full")
    configured()
    logger.info("one")
    logger.info("two")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "No space left on device" in err


class HasNoText:
    def __str__(self) -> str:
        raise RuntimeError(f"no text of {SECRET}")


@pytest.mark.parametrize(("text", "arguments"), [("%s %s", (SECRET,)), ("%s", (HasNoText(),)), ("%d", (SECRET,))])
def test_a_message_that_cannot_be_made_harms_nothing_and_shows_nothing(configured, capsys, text, arguments):
    path = configured(secrets=[SECRET])
    logger.info(text, *arguments)
    logger.info("after")
    err = capsys.readouterr().err
    assert Path(__file__).name in err
    assert SECRET not in err
    assert "after" in path.read_text()


def test_a_text_that_is_no_unicode_is_logged(configured):
    path = configured()
    logger.info("file \udcff")
    assert "file \\udcff" in path.read_text()


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full"])
def test_a_standard_error_that_is_gone_harms_nothing(tmp_path, redirect):
    program = (
        "import logging, sys, pathlib; from traffic_aggr.host import log;"
        "from traffic_aggr.config.config import LogsConfig;"
        "log.configure(LogsConfig(dir=pathlib.Path(sys.argv[1])), None, (), console=True);"
        "logging.getLogger('traffic_aggr').info('%s', 'in the file');"
        "logging.getLogger('traffic_aggr').info('%d', 'x')"
    )
    command = f'unset PYTHONUNBUFFERED; exec "$0" -c "$1" "$2" {redirect}'
    done = subprocess.run(["sh", "-c", command, sys.executable, program, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == 0
    assert "in the file" in (tmp_path / "traffic_adhoc_aggr.log").read_text()


def test_a_file_of_an_earlier_day_is_put_aside_at_the_start(configured, tmp_path):
    written_on(tmp_path / "logs/traffic_adhoc_aggr.log", "2021-04-28")
    path = configured(now=lambda: TODAY)
    logger.info("new")
    assert (tmp_path / "logs/traffic_adhoc_aggr.log.2021-04-28").read_text() == "old\n"
    assert "old" not in path.read_text()
    assert mode_of(path) == 0o600


def test_a_file_of_today_is_continued(configured, tmp_path):
    written_on(tmp_path / "logs/traffic_adhoc_aggr.log", "2021-05-01")
    path = configured(now=lambda: TODAY)
    assert path.read_text() == "old\n"


def test_a_run_over_midnight_goes_on_in_a_new_file(tmp_path):
    path = tmp_path / "x.log"
    clock = [datetime.datetime(2021, 4, 30, 23, 59)]
    file = DailyFile(path, 30, lambda: clock[0])
    file.write("before\n")
    written_on(path, "2021-04-30", "before\n")
    clock[0] = datetime.datetime(2021, 5, 1, 0, 1)
    file.write("after\n")
    file.close()
    assert (tmp_path / "x.log.2021-04-30").read_text() == "before\n"
    assert path.read_text() == "after\n"


def test_two_processes_at_midnight_lose_no_line(tmp_path):
    path = tmp_path / "x.log"
    clock = [datetime.datetime(2021, 4, 30, 23, 59)]
    first, second = (DailyFile(path, 30, lambda: clock[0]) for _ in range(2))
    written_on(path, "2021-04-30", "before\n")
    clock[0] = datetime.datetime(2021, 5, 1, 0, 1)
    for file, text in ((first, "1\n"), (second, "2\n"), (first, "3\n")):
        file.write(text)
    first.close()
    second.close()
    assert sorted(found.name for found in tmp_path.iterdir()) == ["x.log", "x.log.2021-04-30"]
    assert (tmp_path / "x.log.2021-04-30").read_text() == "before\n"
    assert path.read_text() == "1\n2\n3\n"


def test_a_file_that_was_moved_away_is_made_anew(tmp_path):
    file = DailyFile(tmp_path / "x.log", 30, datetime.datetime.now)
    file.write("1\n")
    (tmp_path / "x.log").rename(tmp_path / "moved")
    file.write("2\n")
    file.close()
    assert (tmp_path / "x.log").read_text() == "2\n"


def test_a_file_put_aside_earlier_is_not_replaced(tmp_path):
    (tmp_path / "x.log.2021-04-30").write_text("earlier\n")
    written_on(tmp_path / "x.log", "2021-04-30", "later\n")
    DailyFile(tmp_path / "x.log", 30, lambda: TODAY).close()
    assert (tmp_path / "x.log.2021-04-30").read_text() == "earlier\n"
    assert (tmp_path / "x.log.2021-04-30.1").read_text() == "later\n"


def test_the_newest_old_files_are_kept_and_other_files_left_alone(tmp_path):
    for day in range(1, 10):
        (tmp_path / f"x.log.2021-04-0{day}").touch()
    others = {"x.log.old", "x.log.2021-04-01.gz", "y.log.2021-04-01"}
    for name in others:
        (tmp_path / name).touch()
    written_on(tmp_path / "x.log", "2021-04-30")
    DailyFile(tmp_path / "x.log", 3, lambda: TODAY).close()
    assert {found.name for found in tmp_path.iterdir()} - others == {
        "x.log",
        "x.log.2021-04-08",
        "x.log.2021-04-09",
        "x.log.2021-04-30",
    }
    assert others <= {found.name for found in tmp_path.iterdir()}


def test_closing_twice_closes_no_file_of_others(tmp_path):
    file = DailyFile(tmp_path / "x.log", 3, lambda: TODAY)
    file.close()
    with (tmp_path / "other").open("w") as other:
        file.close()
        other.write("x")
    assert (tmp_path / "other").read_text() == "x"


def test_syslog_gets_one_redacted_line_per_message(configured, tmp_path):
    address = str(tmp_path / "syslog")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(address)
        server.settimeout(10)
        configured(syslog=True, syslog_socket=address, secrets=[SECRET])
        try:
            raise ValueError("broken")
        except ValueError:
            logger.exception("failed\nwith %s", SECRET)
        message = server.recv(65536).rstrip(b"\0").decode()
    assert message.endswith(f"traffic_adhoc_aggr: ERROR [{RUN_ID}] failed\\nwith ***")


def test_a_syslog_that_goes_away_harms_nothing(configured, tmp_path, capsys):
    address = str(tmp_path / "syslog")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(address)
        path = configured(syslog=True, syslog_socket=address)
    os.unlink(address)
    logger.info("still here")
    assert "still here" in path.read_text()
    assert capsys.readouterr().err == ""


def test_a_missing_syslog_is_a_warning(configured, tmp_path):
    path = configured(syslog=True, syslog_socket=str(tmp_path / "none"))
    assert "WARNING" in path.read_text()
    assert "logs.syslog" in path.read_text()


@pytest.mark.parametrize(
    ("content", "lines", "expected"),
    [
        ("a\nb\nc\n", 2, ["b", "c"]),
        ("a\nb\nc", 2, ["b", "c"]),
        ("a\nb\n", 5, ["a", "b"]),
        ("a\x85b\u2028c\n", 1, ["a\x85b\u2028c"]),
        ("a\n", 0, []),
        ("", 3, []),
        ("a\n\n", 2, ["a", ""]),
    ],
)
def test_the_tail_is_the_last_lines(tmp_path, content, lines, expected):
    path = tmp_path / "x.log"
    path.write_text(content)
    assert log.tail(path, lines) == expected


def test_the_tail_of_a_large_log_has_whole_lines_only(tmp_path):
    path = tmp_path / "x.log"
    path.write_text("".join(f"line {number:06}\n" for number in range(100_000)))
    found = log.tail(path, 1_000_000)
    assert found[-1] == "line 099999"
    assert {len(line) for line in found} == {11}


def test_the_tail_of_no_file_is_empty(tmp_path):
    assert log.tail(tmp_path / "none", 5) == []
