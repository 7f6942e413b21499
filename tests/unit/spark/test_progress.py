"""What a run says of its progress: the words, and where they go, a terminal or the log."""

from __future__ import annotations

import contextlib
import logging
import os
import pty
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from devtools.daemons import wait_until
from traffic_aggr.config.config import LogsConfig
from traffic_aggr.events import Event, tell
from traffic_aggr.host import log
from traffic_aggr.spark import progress
from traffic_aggr.spark.progress import ExpectedRows, Kind, Sample, Wording, shown

RAW = ExpectedRows(10_000, "raw row", "mnaas.raw")
ANYTHING = ExpectedRows(300)
LINE = "stage: 43 %, 4,300 of 10,000 raw rows read, 215 rows/s, about 30 s of reading left"


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    yield
    log.shut_down()


def reading(rows: int) -> Sample:
    return Sample(rows, is_reading=True, tasks_done=3, tasks=8)


def busy(tasks_done: int, tasks: int, rows: int = 0) -> Sample:
    return Sample(rows, is_reading=False, tasks_done=tasks_done, tasks=tasks)


@pytest.mark.parametrize(
    ("known", "sample", "seconds", "line"),
    [
        (RAW, reading(4_300), 20, LINE),
        (RAW, reading(0), 20, "stage: 0 %, 0 of 10,000 raw rows read, moving, 3 of 8 tasks done, 20.0 s so far"),
        (RAW, reading(4_300), 9, "stage: 43 %, 4,300 of 10,000 raw rows read, 478 rows/s"),
        (RAW, reading(99), 20, "stage: 0 %, 99 of 10,000 raw rows read, 5 rows/s"),
        (RAW, reading(9_999), 20, "stage: 99 %, 9,999 of 10,000 raw rows read, 500 rows/s, about 10 s of reading left"),
        (RAW, reading(5_000), 50, "stage: 50 %, 5,000 of 10,000 raw rows read, 100 rows/s, about 50 s of reading left"),
        (RAW, reading(5_000), 61, "stage: 50 %, 5,000 of 10,000 raw rows read, 82 rows/s, about 2 min of reading left"),
        (RAW, reading(100), 60, "stage: 1 %, 100 of 10,000 raw rows read, 2 rows/s, about 1 h 39 min of reading left"),
        (RAW, busy(1, 2, 10_000), 65, "stage: moving, 1 of 2 tasks done, 1 min 05 s so far"),
        (RAW, reading(10_007), 20, "stage: moving, 3 of 8 tasks done, 20.0 s so far"),
        (ANYTHING, busy(0, 0, 100), 20, "stage: 33 %, 100 of 300 rows read, moving, 20.0 s so far"),
        (None, busy(1_000, 2_000), 20, "stage: moving, 1,000 of 2,000 tasks done, 20.0 s so far"),
        (None, busy(0, 0), 20, "stage: moving, 20.0 s so far"),
        (ExpectedRows(0), busy(0, 0), 20, "stage: moving, 20.0 s so far"),
    ],
)
def test_a_line_has_what_is_known_and_no_more(known: ExpectedRows, sample: Sample, seconds: float, line: str) -> None:
    assert Wording("stage", known, lambda: "moving", 1000.0).line(sample, 1000.0 + seconds) == line


def test_where_nothing_is_known_the_line_says_for_how_long() -> None:
    assert Wording("drop", None, lambda: "", 0.0).line(busy(0, 0), 60.0) == "drop: 1 min 00 s so far"


def test_the_percent_never_falls() -> None:
    wording = Wording("stage", RAW, lambda: "", 0.0)
    lines = [wording.line(reading(rows), 60.0) for rows in (100, 4_300, 4_200, 20_000, 9_000)]
    assert [int(re.findall(r"(\d+) %", line)[0]) for line in lines] == [1, 43, 43, 100, 100]


PATIENCE_S = 30


class Samples:
    """
    Stands in for Spark's counts, and for the clock: a second passes each time that it is asked.

    Gives ``samples``, the last one again and again, and tells when it was asked.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = list(samples)
        self.asked = threading.Semaphore(0)
        self.taken = 0

    def wait(self) -> None:
        assert self.asked.acquire(timeout=PATIENCE_S), "nobody asked"

    def monotonic(self) -> float:
        return float(self.taken)

    def sample(self) -> Sample:
        self.taken += 1
        self.asked.release()
        if not self._samples:
            raise ConnectionRefusedError("the JVM is gone")
        return self._samples.pop(0) if len(self._samples) > 1 else self._samples[0]


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Samples:
    """Nobody waits for the seconds of a live line here."""
    samples = Samples([reading(4_300)])
    monkeypatch.setattr(progress, "Sampler", lambda spark, table: samples)
    monkeypatch.setattr(progress, "time", samples)
    monkeypatch.setattr(progress, "LIVE_EVERY_S", 0.001)
    return samples


@pytest.fixture
def impatient_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor for the minutes of the log; who waits for a live line waits for ever."""
    monkeypatch.setattr(progress, "LOGGED_EVERY_S", 0.001)
    monkeypatch.setattr(progress, "LIVE_EVERY_S", 3600.0)


def show(label: str = "stage") -> Any:
    return shown(SimpleNamespace(), label, RAW)  # type: ignore[arg-type]  # only a Sampler would use the session


def tellers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("progress of")]


class Terminal:
    """A terminal for a program, which does not say how wide it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._ours, theirs = pty.openpty()
        self.stream = os.fdopen(theirs, "w")
        self._read = b""
        # A terminal that nobody reads blocks whoever writes to it.
        self._reader = threading.Thread(target=self._keep_reading, daemon=True)
        self._reader.start()

    def _keep_reading(self) -> None:
        with contextlib.suppress(OSError):  # how Linux says that nobody has the terminal open any more
            while chunk := os.read(self._ours, 65536):
                self._read += chunk

    def is_standard_error(self) -> None:
        """From now on; pytest has one of its own for fixtures, and another for the test."""
        self._monkeypatch.setattr(sys, "stderr", self.stream)

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text.encode() in self._read, f"the terminal to show {text!r}", PATIENCE_S)

    def written(self) -> str:
        """All of it, once the program has closed the terminal."""
        self.stream.close()
        self._reader.join(10)
        os.close(self._ours)
        return self._read.decode()


def screen(written: str) -> list[str]:
    """The lines of a terminal after what was written: a carriage return goes back to the start of one."""
    lines = [""]
    for part in re.findall(r"\r\n|\r|\x1b\[K|[^\r\x1b]+", written):
        if part == "\r\n":
            lines.append("")
            column = 0
        elif part == "\r":
            column = 0
        elif part == "\x1b[K":
            lines[-1] = lines[-1][:column]
        else:
            column = column if lines[-1] else 0
            lines[-1] = lines[-1][:column] + part + lines[-1][column + len(part) :]
            column += len(part)
    return lines


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    made = Terminal(monkeypatch)
    monkeypatch.setenv("TERM", "xterm")
    yield made
    log.shut_down()
    made.stream.close()


def configure(home: Path, terminal: Optional[Terminal] = None) -> Path:
    if terminal is not None:
        terminal.is_standard_error()
    log.configure(LogsConfig(dir=home), "20210501T020203Z-abc123", (), console=True)
    return home / log.FILE_NAME


def test_a_terminal_has_one_line_that_is_gone_before_anything_else(
    tmp_path: Path, terminal: Terminal, counts: Samples
) -> None:
    path = configure(tmp_path, terminal)
    with show():
        for _ in range(3):
            counts.wait()
        logging.getLogger("traffic_aggr.somewhere").warning("in between")
        for _ in range(150):
            counts.wait()
    print("the result", file=sys.stderr)

    written = terminal.written()
    assert written.count("\rstage: 43 %") == counts.taken
    assert screen(written) == ["warning: in between", "the result", ""]
    assert tellers() == []
    minutes = (counts.taken - 1) // 60
    assert path.read_text().count("stage: 43 %, 4,300 of 10,000 raw rows read") == minutes >= 2


def test_while_spark_starts_only_the_time_is_shown(
    tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LIVE_EVERY_S", 0.01)
    configure(tmp_path, terminal)
    with shown(None, "starting Spark"):
        terminal.wait_for("s so far")
    written = terminal.written()
    assert re.search(r"\rstarting Spark: [\d.]+ s so far", written)
    assert screen(written) == [""]
    assert tellers() == []


def test_what_standard_output_says_too_is_not_on_a_terminal(tmp_path: Path, terminal: Terminal) -> None:
    path = configure(tmp_path, terminal)
    somewhere = logging.getLogger("traffic_aggr.somewhere")
    tell(somewhere, Event.PARTITION_ENDED, "2021-04-01: new data", quiet=True)
    tell(somewhere, Event.STEP_STARTED, "[1/3] drop")
    assert screen(terminal.written()) == ["[1/3] drop", ""]
    assert "2021-04-01: new data" in path.read_text()


def test_a_line_that_is_too_wide_for_the_terminal_is_cut(tmp_path: Path, terminal: Terminal) -> None:
    configure(tmp_path, terminal)
    logging.getLogger("traffic_aggr.spark.progress").info("%s", "x" * 200, extra={"progress": Kind.LIVE})
    assert screen(terminal.written()) == ["x" * 79]


def test_a_log_that_cannot_be_written_is_told_on_a_line_of_its_own(tmp_path: Path, terminal: Terminal) -> None:
    (tmp_path / log.FILE_NAME).symlink_to("/dev/full")
    configure(tmp_path, terminal)
    logging.getLogger("traffic_aggr.spark.progress").info("%s", "stage: 43 %", extra={"progress": Kind.LIVE})
    logging.getLogger("traffic_aggr.spark.progress").debug("%s", "for the log")
    logging.getLogger("traffic_aggr").handlers[0].handle(logging.makeLogRecord({"msg": "lost", "levelno": 20}))
    assert [line.split(":")[0] for line in screen(terminal.written())] == ["warning", ""]


@pytest.mark.parametrize("term", ["dumb", "", None])
def test_a_terminal_that_cannot_rewrite_gets_the_line_a_minute(
    tmp_path: Path,
    terminal: Terminal,
    counts: Samples,
    impatient_log: None,
    monkeypatch: pytest.MonkeyPatch,
    term: str,
) -> None:
    monkeypatch.setenv("TERM", term) if term is not None else monkeypatch.delenv("TERM")
    path = configure(tmp_path, terminal)
    with show():
        counts.wait()
        counts.wait()
    written = terminal.written()
    assert "\x1b" not in written
    assert written.count("stage: 43 %") == path.read_text().count("stage: 43 %") == counts.taken


def test_without_a_terminal_standard_error_and_the_log_get_a_line_a_minute(
    tmp_path: Path, counts: Samples, impatient_log: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configure(tmp_path)
    with show():
        counts.wait()
        counts.wait()
        counts.wait()
    err = capsys.readouterr().err
    assert err.count("stage: 43 %") == counts.taken
    assert "\r" not in err
    assert path.read_text().count("stage: 43 %") == err.count("stage: 43 %")


def test_a_step_of_less_than_a_minute_says_nothing_new_and_spark_is_not_asked(
    tmp_path: Path, counts: Samples, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configure(tmp_path)
    with show():
        time.sleep(0.05)
    assert (capsys.readouterr().err, path.read_text()) == ("", "")
    assert not counts.asked.acquire(blocking=False)


def test_a_jvm_that_is_gone_ends_the_telling_and_nothing_else(
    tmp_path: Path, terminal: Terminal, counts: Samples
) -> None:
    counts._samples.clear()
    configure(tmp_path, terminal)
    with show():
        counts.wait()
        wait_until(lambda: tellers() == [], "the thread to end", PATIENCE_S)
    assert not counts.asked.acquire(blocking=False)
    print("the result", file=sys.stderr)
    assert screen(terminal.written()) == ["the result", ""]


def test_an_error_of_the_step_goes_through_and_leaves_no_thread(counts: Samples) -> None:
    def step() -> None:
        assert tellers() == ["progress of stage"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), show():
        step()
    assert tellers() == []


def test_a_spark_that_does_not_answer_at_the_start_is_left_to_the_step() -> None:
    with pytest.raises(ValueError, match="of the step") as caught, show():
        raise ValueError("of the step")
    # What is wrong with the counts must not be taken for what is wrong with the step.
    assert caught.value.__context__ is None
