"""
The run record: what a run was asked to do, how far it got, and where each partition's data was.

It is written before and after each change, so that the next command can finish the run or put old data back.
A record describes one process. A run that resumes another names it and takes over what it finished.
"""

from __future__ import annotations

import posixpath
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Optional

from traffic_aggr.clock import parse_timestamp, utc_now
from traffic_aggr.hive.layout import Placement
from traffic_aggr.hive.partitions import Partition, PartitionList
from traffic_aggr.run.breakdown import Breakdown
from traffic_aggr.run.command_line import UNKNOWN, CommandLine
from traffic_aggr.run.definition import JobDefinition
from traffic_aggr.run.totals import Totals
from traffic_aggr.text import some_of
from traffic_aggr.units import counted

_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


def new_run_id(now: Optional[datetime] = None) -> str:
    """
    Returns ``YYYYMMDDTHHMMSSZ-<6 hex>``.

    Ids sort by start time, also within a second: four of the digits count its 16 microseconds. Two are random.
    """
    start = (now or utc_now()).astimezone(timezone.utc)
    return f"{start:%Y%m%dT%H%M%SZ}-{start.microsecond // 16:04x}{secrets.token_hex(1)}"


def is_run_id(text: str) -> bool:
    return _RUN_ID.fullmatch(text) is not None


class Publication(str, Enum):
    """How far a run has changed the final table. If interrupted in one of the four middle states, it needs settling."""

    UNTOUCHED = "untouched"
    WITHDRAWING = "withdrawing"  # old partitions are being dropped, their data kept
    WITHDRAWN = "withdrawn"
    PUBLISHING = "publishing"  # new data is being put in place
    RESTORING = "restoring"  # old data is being put back
    PUBLISHED = "published"
    RESTORED = "restored"

    @property
    def settled(self) -> bool:
        return self in (Publication.UNTOUCHED, Publication.PUBLISHED, Publication.RESTORED)


class Outcome(str, Enum):
    """How a run ended, or ``running``."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    REFUSED = "refused"  # exit 2, 3 or 75: nothing was published
    STOPPED = "stopped"  # by a signal
    INTERRUPTED = "interrupted"  # killed, or its host went down; a later command noticed


@dataclass(frozen=True)
class Day:
    """
    Where one partition's data is.

    ``before`` is what the metastore had before the run. ``home`` is the standard directory, and ``kept`` is where its
    old contents go when they are moved aside. ``new`` is the directory of the rows to publish; the load step sets it. A
    day that gets no rows has none. ``fingerprint`` is that of the files in ``new``, taken when publishing begins.

    In drop_and_load mode, ``home`` holds the new data once ``new`` is gone and the fingerprint fits. ``arrived`` is set
    when all days are published; from then on ``home`` holds the new data even if others add files to it.
    """

    home: str
    kept: str
    before: Optional[Placement] = None
    new: Optional[str] = None
    fingerprint: Optional[str] = None
    arrived: bool = False


@dataclass(frozen=True)
class StepRecord:
    """One step of a run; times are ISO 8601 in UTC."""

    name: str
    started: str
    ended: Optional[str] = None
    outcome: Outcome = Outcome.RUNNING


@dataclass(frozen=True)
class Input:
    """
    The visible files of raw below ``location`` for one partition, as they were when a run read them.

    ``files`` is their number, ``bytes`` their total size, and ``modified`` the modification time of the newest in
    milliseconds since 1970 UTC.
    """

    location: str
    files: int
    bytes: int
    modified: int

    def __str__(self) -> str:
        return f"{counted(self.files, 'file')} of {counted(self.bytes, 'byte')}"

    def plus(self, other: Input) -> Input:
        """These files and those of ``other``, below what is common to both locations."""
        return Input(
            posixpath.commonprefix([f"{self.location}/", f"{other.location}/"]).rpartition("/")[0],
            self.files + other.files,
            self.bytes + other.bytes,
            max(self.modified, other.modified),
        )


@dataclass(frozen=True)
class Next:
    """What to type after a failed command: the exact ``command``, and what it ``does`` if that is known."""

    command: str
    does: str = ""


DESCRIBE = "describe"
"""Prefix of a change that leaves every partition where it is: readers find the same rows before and after it."""


@dataclass(frozen=True)
class Change:
    """One change to a table: ``intent`` is the time just before it, ``done`` the time just after it."""

    what: str
    intent: str
    done: Optional[str] = None


@dataclass(frozen=True)
class Staged:
    """
    The output of the stage step, recorded once its totals agreed with raw.

    ``directory`` holds a Parquet directory for each day if ``partitioned``, else the data of the whole staging table.
    """

    directory: str
    partitioned: bool
    fingerprint: str


@dataclass(frozen=True)
class DayTotals:
    """
    The control totals of one day at each stage; None for a stage that was not reached.

    ``impala`` holds Impala's totals of final, ``impala_raw`` its totals of raw.
    """

    raw: Optional[Totals] = None
    staging: Optional[Totals] = None
    final_before: Optional[Totals] = None
    final_after: Optional[Totals] = None
    impala: Optional[Totals] = None
    impala_raw: Optional[Totals] = None

    @property
    def loaded(self) -> Totals:
        """What the final table should hold after load: what was staged, or nothing for a cleared day."""
        return self.staging or Totals(source_rows=0)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Returns the totals of each stage that was reached, decimals as strings."""
        return {stage: found.to_json() for stage in STAGES if (found := getattr(self, stage)) is not None}

    @classmethod
    def from_json(cls, found: Mapping[str, Mapping[str, Any]]) -> DayTotals:
        return cls(**{stage: Totals.from_json(values) for stage, values in found.items()})


STAGES = ("raw", "staging", "final_before", "final_after", "impala", "impala_raw")
"""The stages of ``DayTotals``."""

_NO_TOTALS = DayTotals()


@dataclass
class RunRecord:
    """
    Everything about one run of ``job``. Its methods are the only code that changes it.

    ``tables`` maps raw, staging, final and the lookups to ``db.table``. ``partitions`` is the whole list; ``days``
    holds the days to change.
    """

    run_id: str
    command: str
    started: str
    host: str
    user: str
    process_id: int
    job: JobDefinition = field(repr=False, compare=False)
    process_started: Optional[int] = None
    typed: CommandLine = UNKNOWN
    config_digest: str = ""
    mode: str = ""
    tables: dict[str, str] = field(default_factory=dict)
    partitions: list[Partition] = field(default_factory=list)
    partitions_digest: str = ""
    partitions_source: str = ""
    skipped_lines: list[str] = field(default_factory=list)
    application_id: Optional[str] = None
    jvm_process_id: Optional[int] = None
    versions: dict[str, str] = field(default_factory=dict)
    ended: Optional[str] = None
    outcome: Outcome = Outcome.RUNNING
    exit_code: Optional[int] = None
    error: Optional[str] = None
    next: Optional[Next] = None
    settled_earlier_runs: bool = False
    resumes: Optional[str] = None
    continued_by: Optional[str] = None
    rolls_back: Optional[str] = None
    rolled_back_by: Optional[str] = None
    caused_by: Optional[str] = None  # the run of other days that this one follows
    cleaned: Optional[str] = None  # when cleanup began to delete its data
    cleaning_ended: Optional[str] = None
    flag: int = 0
    steps: list[StepRecord] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    publication: Publication = Publication.UNTOUCHED
    final_root: Optional[str] = None
    inputs: dict[Partition, Input] = field(default_factory=dict)
    days: dict[Partition, Day] = field(default_factory=dict)
    kept: list[Partition] = field(default_factory=list)  # listed days left unchanged because raw has no rows
    refused: list[Partition] = field(default_factory=list)  # listed days for which a guard refused the run
    only_verifies: bool = False  # the run in ``resumes`` has published; this one only refreshes and verifies
    staged: Optional[Staged] = None
    engine: Optional[str] = None  # which aggregated what is staged
    fallbacks: dict[str, str] = field(default_factory=dict)  # operators that it left to the JVM, and why
    shadow: Optional[str] = None
    lost: list[str] = field(default_factory=list)  # days whose old data was gone when the run tried to put it back
    outside: list[str] = field(default_factory=list)  # restored days that had files but no partition before
    totals: dict[Partition, DayTotals] = field(default_factory=dict)
    breakdown: dict[str, Breakdown] = field(default_factory=dict)
    impala: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    # ---- what the run was given and what it found, each recorded once

    def take_list(self, asked: PartitionList, flag: int) -> None:
        """Records the partition list that the run was given, and the flag from which it starts."""
        self.partitions = list(asked.partitions)
        self.partitions_digest = asked.digest
        self.partitions_source = asked.source
        self.skipped_lines = [f"line {line.number}: {line.text}" for line in asked.skipped]
        if asked.skipped_total > len(asked.skipped):
            self.note(f"skipped {asked.skipped_total - len(asked.skipped):,} more lines of {asked.source}")
        if asked.repeated:
            self.note(f"listed more than once, and restated once: {some_of(asked.repeated, separator=', ')}")
        self.flag = flag

    def name_session(self, application_id: str, jvm_process_id: int, versions: dict[str, str]) -> None:
        self.application_id, self.jvm_process_id, self.versions = application_id, jvm_process_id, versions

    def find_table(self, final_root: str) -> None:
        self.final_root = final_root

    def note_settled(self) -> None:
        """Records that no earlier run is left half-way."""
        self.settled_earlier_runs = True

    def take_findings(
        self,
        days: Mapping[Partition, DayTotals],
        inputs: Mapping[Partition, Input],
        *,
        kept: Sequence[Partition],
        refused: Sequence[Partition],
    ) -> None:
        """Records what planning found of each listed day."""
        self.totals, self.inputs = dict(days), dict(inputs)
        self.kept, self.refused = list(kept), list(refused)

    def take_days(self, days: Mapping[Partition, Day]) -> None:
        """Records the days to change."""
        self.days = dict(days)

    def resume(self, run_id: str) -> None:
        self.resumes = run_id

    def take_staged(self, earlier: RunRecord, partitions: Sequence[Partition]) -> None:
        """Takes over the rows that ``earlier`` staged for ``partitions``."""
        self._take_staged(earlier)
        for partition in partitions:
            self.set_totals(partition, replace(self.totals_of(partition), staging=earlier.totals_of(partition).staging))

    def take_published(self, earlier: RunRecord) -> None:
        """Takes over all that ``earlier`` published: this run only refreshes and verifies it."""
        self.only_verifies = True
        self.take_place_of(earlier)
        self._take_staged(earlier)
        # Impala may see other totals now, and this run may not ask it.
        self.totals = {day: replace(found, impala=None) for day, found in earlier.totals.items()}

    def _take_staged(self, earlier: RunRecord) -> None:
        self.staged, self.breakdown = earlier.staged, dict(earlier.breakdown)
        self.engine, self.fallbacks = earlier.engine, dict(earlier.fallbacks)

    def take_place_of(self, earlier: RunRecord) -> None:
        """Takes over where ``earlier`` left each day."""
        self.days, self.publication = dict(earlier.days), earlier.publication

    def take_rolled_back(self, target: RunRecord) -> None:
        """Takes over the days of ``target``: an interrupted rollback is settled like any run."""
        self.mode, self.days, self.partitions = target.mode, dict(target.days), list(target.days)
        self.totals = {partition: totals for partition, totals in target.totals.items() if partition in target.days}

    # ---- how far the run is

    def begin_step(self, name: str, flag: int, now: str) -> None:
        self.flag = flag
        self.steps.append(StepRecord(name, now))

    def end_step(self, outcome: Outcome, now: str) -> None:
        self.steps[-1] = replace(self.steps[-1], ended=now, outcome=outcome)

    def begin_change(self, what: str, now: str) -> None:
        self.changes.append(Change(what, now))

    def end_change(self, now: str) -> None:
        self.changes[-1] = replace(self.changes[-1], done=now)

    def enter(self, publication: Publication) -> None:
        self.publication = publication

    def set_day(self, partition: Partition, day: Day) -> None:
        self.days[partition] = day

    def set_totals(self, partition: Partition, totals: DayTotals) -> None:
        self.totals[partition] = totals

    def set_engine(self, name: str, fallbacks: Mapping[str, str]) -> None:
        """Records which engine aggregates, and the operators that it leaves to the JVM, each with the reason."""
        self.engine, self.fallbacks = name, dict(fallbacks)

    def set_staged(self, staged: Staged) -> None:
        self.staged = staged

    def set_shadow(self, table: Optional[str]) -> None:
        self.shadow = table

    def break_down(self, usage: Mapping[str, Breakdown]) -> None:
        self.breakdown = dict(usage)

    def note_restored(self, *, lost: Sequence[str], outside: Sequence[str]) -> None:
        """Records that each day is old again: those in ``lost`` without data, those in ``outside`` as files alone."""
        self.lost, self.outside = list(lost), list(outside)
        self.days = {
            partition: replace(day, new=None, fingerprint=None, arrived=False) for partition, day in self.days.items()
        }

    def note(self, *texts: str) -> None:
        self.notes += texts

    def note_statements(self, sent: Iterable[Mapping[str, Any]]) -> None:
        """Records statements that were sent to Impala."""
        self.impala += map(dict, sent)

    # ---- how the run ended, and what became of it

    def end(self, outcome: Outcome, exit_code: int, now: str, error: Optional[str] = None) -> None:
        self.outcome, self.exit_code, self.ended, self.error = outcome, exit_code, now, error
        if outcome is Outcome.SUCCESS:
            self.flag = 0

    def mark_interrupted(self) -> None:
        """Records that the run ended without saying how."""
        self.outcome = Outcome.INTERRUPTED

    def note_error(self, error: str) -> None:
        self.error = error

    def name_next(self, found: Next) -> None:
        self.next = found

    def restart_at(self, flag: int) -> None:
        """Records from which step the next run goes on."""
        self.flag = flag

    def note_continued(self, run_id: str) -> None:
        self.continued_by = run_id

    def note_rolled_back(self, run_id: str) -> None:
        self.rolled_back_by = run_id

    def begin_cleaning(self, now: str) -> None:
        """Records that cleanup deletes what the run left: from then on it cannot be rolled back."""
        self.cleaned = now
        for partition, day in self.days.items():
            if day.before is not None:  # its parameters may hold kilobytes of Impala statistics
                self.days[partition] = replace(day, before=replace(day.before, parameters=None))

    def end_cleaning(self, now: str) -> None:
        self.cleaning_ended = now

    # ---- what the record says

    def totals_of(self, partition: Partition) -> DayTotals:
        return self.totals.get(partition, _NO_TOTALS)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: the run succeeded, another run continued it, or a rollback undid it."""
        return self.outcome is Outcome.SUCCESS or bool(self.continued_by or self.rolled_back_by)

    def step_done(self, name: str) -> bool:
        return any(step.name == name and step.outcome is Outcome.SUCCESS for step in self.steps)

    @property
    def data_state(self) -> str:
        """Says whether the data is safe, in a sentence for messages and mails."""
        days, whose = counted(len(self.days), "partition"), "its" if len(self.days) == 1 else "their"
        if self.publication is Publication.UNTOUCHED:
            what = f"the data of run {self.rolls_back}" if self.rolls_back else "old data"
            return f"nothing was touched, {what} is in place"
        if self.publication is Publication.RESTORED and self.lost:
            again = f"restate these {self.job.partition.unit}s"
            return f"the old data of {', '.join(self.lost)} is gone, neither at its place nor kept: {again}"
        if self.publication is Publication.RESTORED and self.outside:
            outside = ", ".join(self.outside)
            return (
                f"old data is back in place for {days}, as files without a partition for {outside}: `check` says more"
            )
        if self.publication is Publication.RESTORED:
            return f"old data is back in place for {days}"
        if self.rolled_back_by:
            return f"run {self.rolled_back_by} rolled this one back: old data is in place again for {days}"
        if self.publication is Publication.PUBLISHED:
            return f"new data is in place for {days}"
        if self.mode == "swap":
            return f"{days} may have old data or new, each is whole"
        return f"{days} may be missing from the table, {whose} data is kept"

    @property
    def seconds(self) -> Optional[float]:
        """How long the run took; None until it has ended."""
        return None if self.ended is None else seconds_between(self.started, self.ended)

    @property
    def mixed_seconds(self) -> float:
        """
        How many seconds readers of the metastore could see some days old and others new or missing.

        A single request changes all its partitions at once, so a run that needed only one counts as 0. So does a run
        whose last change was not confirmed.
        """
        changes = [change for change in self.changes if not change.what.startswith(DESCRIBE)]
        if len(changes) < 2 or changes[-1].done is None:
            return 0.0
        return seconds_between(changes[0].intent, changes[-1].done)

    def same_work(self, tables: Mapping[str, str], mode: str, partitions_digest: str) -> bool:
        """Whether a run with these tables, this mode and this list may resume this one."""
        return self.tables == dict(tables) and self.mode == mode and self.partitions_digest == partitions_digest


def seconds_between(first: str, last: str) -> float:
    """Returns the seconds between two timestamps of a record."""
    return (parse_timestamp(last) - parse_timestamp(first)).total_seconds()
