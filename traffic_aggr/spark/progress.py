"""
Shows Spark's progress: a line a minute in the log, and on a terminal one that is rewritten every second.

A thread reads the counts of tasks and rows that Spark keeps for its web UI, even when the UI is off. An error there
never fails the run; progress just stops.
"""

from __future__ import annotations

import logging
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Optional

from traffic_aggr.terminal import can_rewrite
from traffic_aggr.units import counted, duration

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

LIVE_EVERY_S = 1.0
LOGGED_EVERY_S = 60.0
_PATIENCE_S = 10.0
"""How long the end of a step waits for a stopped terminal (Ctrl-S) or for a JVM that does not answer."""
JUDGED_AFTER_S = 10.0
JUDGED_AFTER_PERCENT = 1
"""The remaining time is shown from here on; the first rows say little about the rest."""


class Kind(Enum):
    """Where a progress record is shown: the attribute ``progress`` of the log record. Other records have none."""

    LIVE = "a terminal, where it replaces the one before"
    LOGGED = "the log, and a standard error that is no terminal"


@dataclass(frozen=True)
class ExpectedRows:
    """
    The number of rows that a step will read.

    ``total`` counts a row each time that it is read. ``row`` is what messages call a row. ``table`` (``db.table``)
    limits the count to one table; empty counts all rows.
    """

    total: int
    row: str = "row"
    table: str = ""


@dataclass(frozen=True)
class Sample:
    """
    One reading of Spark's counters.

    ``rows`` have been read since counting began; ``is_reading`` says whether an active stage reads more. ``tasks_done``
    of ``tasks`` are done in the active stages.
    """

    rows: int
    is_reading: bool
    tasks_done: int
    tasks: int


NOTHING = Sample(rows=0, is_reading=False, tasks_done=0, tasks=0)


class Sampler:
    """
    Counts tasks, and rows read from ``table`` (``db.table``; empty: from anything), in stages that start from now on.

    Errors of Spark and py4j propagate.
    """

    def __init__(self, spark: SparkSession, table: str = "") -> None:
        context: Any = spark.sparkContext
        self._store = context._jsc.sc().statusStore()
        self._graphs = context._jvm.org.apache.spark.ui.scope.RDDOperationGraph
        self._no_quantiles = context._gateway.new_array(context._jvm.double, 0)
        self._table = table
        self._is_counted: dict[int, bool] = {}
        self._rows: dict[tuple[int, int], int] = {}
        self._first = next((stage.stageId() for stage in self._newest_first()), -1) + 1

    def sample(self) -> Sample:
        is_reading, tasks_done, tasks = False, 0, 0
        unfinished = []
        newest = self._first - 1
        for stage in self._newest_first():
            number = stage.stageId()
            if number < self._first:
                break
            newest = max(newest, number)
            status = stage.status().toString()
            counts = self._counts(number)
            if counts:
                self._rows[number, stage.attemptId()] = stage.inputRecords()
            if status in ("ACTIVE", "PENDING"):
                unfinished.append(number)
            if status == "ACTIVE":
                of_stage = stage.numTasks()
                tasks += of_stage
                tasks_done += min(stage.numCompleteTasks(), of_stage)
                is_reading |= counts
        # Finished stages are not queried again.
        self._first = min(unfinished, default=newest + 1)
        return Sample(sum(self._rows.values()), is_reading, tasks_done, tasks)

    def _newest_first(self) -> Iterator[Any]:
        of_any_status, details, summaries, of_any_task = None, False, False, None
        found = self._store.stageList(of_any_status, details, summaries, self._no_quantiles, of_any_task)
        return (found.apply(index) for index in range(found.size()))

    def _counts(self, stage: int) -> bool:
        """Whether a stage scans the table, judged by Spark's graph of the stage, which has a box for each operation."""
        if not self._table:
            return True
        if stage not in self._is_counted:
            drawing = self._graphs.makeDotFile(self._store.operationGraphForStage(stage))
            # The label must begin with Scan: a cached RDD is labelled with its plan, which may name the table too.
            scan = rf'label="Scan [^"]*\b{re.escape(self._table)}\b'
            self._is_counted[stage] = re.search(scan, drawing, re.IGNORECASE) is not None
        return self._is_counted[stage]


class Wording:
    """
    Turns the samples of one step into lines.

    ``doing`` says what the step does while Spark has nothing to count. ``started`` and every ``now`` are seconds of one
    clock.
    """

    def __init__(self, label: str, reading: Optional[ExpectedRows], doing: Callable[[], str], started: float) -> None:
        self._label = label
        self._reading = reading if reading is not None and reading.total else None
        self._doing = doing
        self._started = started
        self._rows = 0

    def line(self, sample: Sample, now: float) -> str:
        """``stage: 43 %, 4,300,000 of 10,000,000 raw rows read, 210,000 rows/s, about 30 s of reading left``."""
        elapsed = now - self._started
        known = []
        if self._reading is not None:
            # A retried task reads its rows again, and Spark may drop stages whose rows were counted.
            self._rows = max(self._rows, min(sample.rows, self._reading.total))
            percent = self._rows * 100 // self._reading.total
            known += [f"{percent} %", f"{self._rows:,} of {counted(self._reading.total, self._reading.row)} read"]
            if sample.is_reading and 0 < self._rows < self._reading.total and elapsed > 0:
                rate = self._rows / elapsed
                known.append(f"{rate:,.0f} rows/s")
                if elapsed >= JUDGED_AFTER_S and percent >= JUDGED_AFTER_PERCENT:
                    known.append(f"{_about((self._reading.total - self._rows) / rate)} of reading left")
                return f"{self._label}: {', '.join(known)}"
        doing = self._doing()
        if doing:
            # 100 % would seem to stand still, so what comes after reading takes its place.
            known = [doing] if self._reading is None or self._rows == self._reading.total else [*known, doing]
        if sample.tasks:
            known.append(f"{sample.tasks_done:,} of {counted(sample.tasks, 'task')} done")
        return f"{self._label}: {', '.join([*known, f'{duration(elapsed)} so far'])}"


def _about(seconds: float) -> str:
    if seconds <= 50:
        return f"about {max(1, math.ceil(seconds / 10)) * 10} s"
    if seconds <= 3540:
        return f"about {math.ceil(seconds / 60)} min"
    return f"about {duration(seconds)}"


@contextmanager
def shown(
    spark: Optional[SparkSession],
    label: str,
    reading: Optional[ExpectedRows] = None,
    doing: Callable[[], str] = lambda: "",
) -> Iterator[None]:
    """
    Shows Spark's progress while the block runs, from a thread that ends with the block.

    That thread also calls ``doing``. ``spark`` is None while Spark starts: then only the time is shown.
    """
    wording = Wording(label, reading, doing, time.monotonic())
    sample = (lambda: NOTHING) if spark is None else _sample(spark, reading)
    if sample is None:
        yield
        return
    ended = threading.Event()
    teller = threading.Thread(target=_tell, args=(sample, wording, ended), name=f"progress of {label}", daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join(_PATIENCE_S)


def _sample(spark: SparkSession, reading: Optional[ExpectedRows]) -> Optional[Callable[[], Sample]]:
    try:
        return Sampler(spark, reading.table if reading else "").sample
    except Exception as exc:  # the step itself will meet and report the error
        log.debug("no progress is shown: %s", exc)
        return None


def _tell(sample: Callable[[], Sample], wording: Wording, ended: threading.Event) -> None:
    on_terminal = can_rewrite(sys.stderr, os.environ)
    logged = time.monotonic()
    try:
        while not ended.wait(LIVE_EVERY_S if on_terminal else LOGGED_EVERY_S):
            now = time.monotonic()
            line = wording.line(sample(), now)
            if on_terminal:
                _say(line, Kind.LIVE)
            if not on_terminal or now - logged >= LOGGED_EVERY_S:
                logged = now
                _say(line, Kind.LOGGED)
    except Exception as exc:  # the JVM may be gone, which the step itself reports
        log.debug("no more progress is shown: %s", exc)
    finally:
        if on_terminal:
            _say("", Kind.LIVE)


def _say(line: str, kind: Kind) -> None:
    log.info("%s", line, extra={"progress": kind})
