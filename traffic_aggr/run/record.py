"""
The run record: what a run was asked to do, how far it got, and where each partition's data was.

It is written before and after each change, so that the next command can finish the run or put old data back.
A record describes one process. A run that resumes another names it and takes over what it finished.
"""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Optional

from traffic_aggr.clock import parse_timestamp, utc_now
from traffic_aggr.errors import PartitionListError, StateError
from traffic_aggr.hive.layout import Placement, RowFormat
from traffic_aggr.hive.partitions import Partition, PartitionList
from traffic_aggr.run.breakdown import Breakdown, breakdown_from_json
from traffic_aggr.run.command_line import UNKNOWN, CommandLine
from traffic_aggr.run.reconcile import (
    AggregatedTotals,
    ImpalaTotals,
    RawTotals,
    totals_from_mapping,
    totals_to_json,
)
from traffic_aggr.units import counted

RECORD_VERSION = 2
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


def new_run_id(now: Optional[datetime] = None) -> str:
    """Returns ``YYYYMMDDTHHMMSSZ-<6 hex>``: ids sort by start time, and two starts in the same second differ."""
    return f"{(now or utc_now()).astimezone(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


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


@dataclass
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


@dataclass
class StepRecord:
    """One step of a run; times are ISO 8601 in UTC."""

    name: str
    started: str
    ended: Optional[str] = None
    outcome: Outcome = Outcome.RUNNING


@dataclass(frozen=True)
class Input:
    """
    The visible files of one day of raw below ``location``, as they were when a run read them.

    ``files`` is their number, ``bytes`` their total size, and ``modified`` the modification time of the newest in
    milliseconds since 1970 UTC.
    """

    location: str
    files: int
    bytes: int
    modified: int

    def __str__(self) -> str:
        return f"{counted(self.files, 'file')} of {counted(self.bytes, 'byte')}"


@dataclass(frozen=True)
class Next:
    """What to type after a failed command: the exact ``command``, and what it ``does`` if that is known."""

    command: str
    does: str = ""


DESCRIBE = "describe"
"""Prefix of a change that leaves every partition where it is: readers find the same rows before and after it."""


@dataclass
class Change:
    """One change to a table: ``intent`` is the time just before it, ``done`` the time just after it."""

    what: str
    intent: str
    done: Optional[str] = None


@dataclass
class Staged:
    """
    The output of the stage step, recorded once its totals agreed with raw.

    ``directory`` holds a Parquet directory for each day if ``partitioned``, else the data of the whole staging table.
    """

    directory: str
    partitioned: bool
    fingerprint: str


@dataclass
class DayTotals:
    """
    The control totals of one day at each stage; None for a stage that was not reached.

    ``impala`` holds Impala's totals of final, ``impala_raw`` its totals of raw.
    """

    raw: Optional[RawTotals] = None
    staging: Optional[AggregatedTotals] = None
    final_before: Optional[AggregatedTotals] = None
    final_after: Optional[AggregatedTotals] = None
    impala: Optional[ImpalaTotals] = None
    impala_raw: Optional[ImpalaTotals] = None

    @property
    def loaded(self) -> AggregatedTotals:
        """What the final table should hold after load: what was staged, or nothing for a cleared day."""
        return self.staging or AggregatedTotals(source_rows=0)


_TOTALS_KINDS: dict[str, Any] = {
    "raw": RawTotals,
    "staging": AggregatedTotals,
    "final_before": AggregatedTotals,
    "final_after": AggregatedTotals,
    "impala": ImpalaTotals,
    "impala_raw": ImpalaTotals,
}


@dataclass
class RunRecord:
    """
    Everything about one run.

    ``tables`` maps raw, staging, final and the lookups to ``db.table``. ``partitions`` is the whole list; ``days``
    holds the days to change.
    """

    run_id: str
    command: str
    started: str
    host: str
    user: str
    process_id: int
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
    shadow: Optional[str] = None
    lost: list[str] = field(default_factory=list)  # days whose old data was gone when the run tried to put it back
    outside: list[str] = field(default_factory=list)  # restored days that had files but no partition before
    totals: dict[Partition, DayTotals] = field(default_factory=dict)
    breakdown: dict[str, Breakdown] = field(default_factory=dict)
    impala: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take_list(self, asked: PartitionList) -> None:
        """Records the partition list that the run was given."""
        self.partitions = list(asked.partitions)
        self.partitions_digest = asked.digest
        self.partitions_source = asked.source
        self.skipped_lines = [f"line {line.number}: {line.text}" for line in asked.skipped]

    def totals_of(self, partition: Partition) -> DayTotals:
        return self.totals.setdefault(partition, DayTotals())

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
            return f"the old data of {', '.join(self.lost)} is gone, neither at its place nor kept: restate these days"
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

    def to_json(self) -> str:
        document = {"version": RECORD_VERSION, **dataclasses.asdict(self)}
        document["totals"] = {
            partition: {
                stage: totals_to_json(getattr(totals, stage))
                for stage in _TOTALS_KINDS
                if getattr(totals, stage) is not None
            }
            for partition, totals in self.totals.items()
        }
        return json.dumps(document, indent=1, default=str) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str) -> RunRecord:
        """
        Reads the record in ``text``.

        Raises StateError naming ``source`` when the record is damaged or has a newer version.
        """
        try:
            document = json.loads(text)
            version = document.pop("version")
            if version > RECORD_VERSION:
                raise StateError(
                    f"{source} has version {version}, this program knows {RECORD_VERSION}",
                    hint="Use the version of the program that wrote it",
                )
            known = {item.name for item in dataclasses.fields(cls)}
            values = {name: value for name, value in document.items() if name in known}
            values["outcome"] = Outcome(values["outcome"])
            values["publication"] = Publication(values["publication"])
            values["typed"] = CommandLine.from_json(values["typed"]) if "typed" in values else UNKNOWN
            values["next"] = Next(**values["next"]) if values.get("next") else None
            values["partitions"] = [Partition(value) for value in values["partitions"]]
            values.update({key: [Partition(day) for day in values.get(key, [])] for key in ("kept", "refused")})
            values["steps"] = [StepRecord(**{**step, "outcome": Outcome(step["outcome"])}) for step in values["steps"]]
            values["changes"] = [Change(**change) for change in values["changes"]]
            values["inputs"] = {Partition(key): Input(**value) for key, value in values.get("inputs", {}).items()}
            values["days"] = {Partition(key): _day(value) for key, value in values["days"].items()}
            values["staged"] = Staged(**values["staged"]) if values["staged"] else None
            values["totals"] = {Partition(key): _day_totals(value) for key, value in values["totals"].items()}
            values["breakdown"] = {
                dimension: breakdown_from_json(value) for dimension, value in values.get("breakdown", {}).items()
            }
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, PartitionListError) as exc:
            raise StateError(
                f"the run record {source} is damaged ({exc})",
                hint="Restore it from the copy in the run's directory beside the final table, or from a backup",
            ) from exc


def seconds_between(first: str, last: str) -> float:
    """Returns the seconds between two timestamps of a record."""
    return (parse_timestamp(last) - parse_timestamp(first)).total_seconds()


def _day(value: dict[str, Any]) -> Day:
    before = value["before"]
    if before is not None:
        own_format = before["row_format"]
        row_format = RowFormat(**own_format) if own_format else None
        before = Placement(**{"parameters": None, **before, "row_format": row_format})
    return Day(**{**value, "before": before})


def _day_totals(value: dict[str, Any]) -> DayTotals:
    return DayTotals(**{stage: totals_from_mapping(_TOTALS_KINDS[stage], found) for stage, found in value.items()})
