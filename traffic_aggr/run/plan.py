"""
What a run will do, as plain data.

Building a plan reads nothing and changes nothing, so a dry run prints the plan instead of executing it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Optional

from traffic_aggr.hive.layout import normal
from traffic_aggr.hive.partitions import Partition, PartitionList
from traffic_aggr.run.definition import JobDefinition
from traffic_aggr.run.record import Input, Publication, RunRecord
from traffic_aggr.run.totals import Totals, change_percent
from traffic_aggr.text import some_of
from traffic_aggr.units import data_volume, listed


class Step(IntEnum):
    """The steps of a run; each value is the step's flag in the status file."""

    DROP = 1
    STAGE = 2
    LOAD = 3

    @property
    def label(self) -> str:
        return self.name.lower()


class Basis(Enum):
    """What a run reuses of the unfinished run before it."""

    NOTHING = "nothing"
    DROPPED = "its drop"
    STAGED = "its staged data"
    PUBLISHED = "its published data"


@dataclass(frozen=True)
class Start:
    """The first step of a run, and what it reuses of run ``last``; ``notes`` explain choices that are not obvious."""

    step: Step
    basis: Basis = Basis.NOTHING
    last: Optional[str] = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Completes the sentence "the next run …"."""
        if self.basis is Basis.PUBLISHED:
            return f"only refreshes Impala and verifies what run {self.last} loaded"
        if self.basis is Basis.STAGED:
            return f"publishes what run {self.last} staged, or stages again if raw or the staged files have changed"
        if self.basis is Basis.DROPPED:
            return f"resumes run {self.last} at {self.step.label}"
        return f"starts over at {self.step.label}"


@dataclass(frozen=True)
class RunArguments:
    """What the command line asks of a run: the partition list, and the step to start from if it names one."""

    partitions: PartitionList
    from_step: Optional[Step] = None


@dataclass(frozen=True)
class PlanRequest:
    """
    What to plan: the job, the partition list, the publish mode, the tables by role, and the settings of the guards.

    ``from_step`` overrides the flag in the status file.
    """

    job: JobDefinition
    partitions: PartitionList
    mode: str
    tables: Mapping[str, str]
    empty_source: str = "fail"
    max_change_pct: Optional[float] = None
    from_step: Optional[Step] = None


@dataclass(frozen=True)
class Refusal:
    """Why a guard refuses the run: its name for scripts, what it found, what to do, and the days concerned, if any."""

    guard: str
    message: str
    hint: str
    days: tuple[Partition, ...] = ()


@dataclass(frozen=True)
class FoundDay:
    """
    One listed day before the run.

    ``raw`` and ``input`` are raw's totals and files. ``old``, ``location`` and ``old_bytes`` are the totals, directory
    and size on disk of the old partition, if there is one.
    """

    raw: Totals
    old: Optional[Totals] = None
    location: Optional[str] = None
    input: Optional[Input] = None
    old_bytes: int = 0


@dataclass(frozen=True)
class TableState:
    """
    What preflight found.

    ``flag`` comes from the status file. ``staged_matches`` says whether the data staged by the run to resume is still
    there, in files of the same names and sizes, and whether raw still has the totals it was made from. ``free_bytes``
    is the free space where the final table is. ``rewritten`` says that rows are written there twice: as staging, then
    in the final table's own format. ``read`` are raw's partitions that lie in the listed ones.
    """

    days: Mapping[Partition, FoundDay]
    read: Sequence[Partition] = ()
    flag: int = 0
    refusals: tuple[Refusal, ...] = ()
    staged_matches: bool = False
    creates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    final_root: str = ""
    free_bytes: Optional[int] = None
    rewritten: bool = False


@dataclass(frozen=True)
class Plan:
    """
    The steps still to run, in order, and what happens to each listed day.

    ``restated`` days get new rows, ``cleared`` days lose theirs because raw has none, ``kept`` days stay as they are.
    ``read`` are raw's partitions that lie in the listed ones.
    """

    job: JobDefinition
    mode: str
    start: Start
    restated: tuple[Partition, ...]
    cleared: tuple[Partition, ...] = ()
    kept: tuple[Partition, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    creates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    days: Mapping[Partition, FoundDay] = field(default_factory=dict)
    read: Sequence[Partition] = ()
    final_root: str = ""

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for step in steps_of(self.mode) if step >= self.start.step)

    @property
    def resumes(self) -> Optional[str]:
        """The unfinished run that this one resumes, if any."""
        return None if self.start.basis is Basis.NOTHING else self.start.last

    @property
    def reuses_staged(self) -> bool:
        """Whether load publishes what the run named in ``resumes`` staged."""
        return self.start.basis is Basis.STAGED

    @property
    def verify_only(self) -> bool:
        """Whether the run named in ``resumes`` has already published, so that this one only refreshes and verifies."""
        return self.start.basis is Basis.PUBLISHED

    def home(self, partition: Partition) -> str:
        """Returns the standard directory of a day in the final table."""
        return f"{self.final_root}/{partition.directory}"

    @property
    def moved(self) -> tuple[Partition, ...]:
        """
        The restated days whose existing partition leaves its directory, which a table-level REFRESH may not notice.

        In swap mode these are all that have a partition; in drop_and_load mode, those outside their standard directory.
        """
        return tuple(
            partition
            for partition in self.restated
            for location in [self.days[partition].location]
            if location is not None and (self.mode == "swap" or normal(location) != normal(self.home(partition)))
        )

    @property
    def raw_bytes(self) -> int:
        """Bytes of the raw files of all listed days; days whose files are not known count as 0."""
        return sum(day.input.bytes for day in self.days.values() if day.input is not None)

    @property
    def refused(self) -> tuple[Partition, ...]:
        """The days for which a guard refuses the run, in list order."""
        named = {partition for refusal in self.refusals for partition in refusal.days}
        return tuple(partition for partition in self.days if partition in named)

    @property
    def actions(self) -> dict[Partition, str]:
        """What the run would do with each listed day: ``restate``, ``clear``, ``keep``, ``refuse`` or ``verify``."""
        if self.verify_only:
            return dict.fromkeys(self.days, "verify")
        groups = {"restate": self.restated, "clear": self.cleared, "keep": self.kept, "refuse": self.refused}
        named = {partition: action for action, partitions in groups.items() for partition in partitions}
        return {partition: named.get(partition, "refuse") for partition in self.days}

    @property
    def summary(self) -> str:
        """``3 days listed: 2 to restate, 1 refused; the run is refused by empty_source``."""
        ways = {"restate": "to restate", "clear": "to clear", "keep": "to keep", "refuse": "refused"}
        counts = Counter(self.actions.values())
        parts = {way: counts[action] for action, way in {**ways, "verify": "to verify"}.items()}
        days = listed(self.job.partition.counted(len(self.days)), parts)
        guards = ", ".join(dict.fromkeys(refusal.guard for refusal in self.refusals))
        return f"{days}; the run is refused by {guards}" if guards else days

    @property
    def changed(self) -> tuple[Partition, ...]:
        """The days whose partitions the run will change, in list order."""
        changing = {*self.restated, *self.cleared}
        return tuple(partition for partition in self.days if partition in changing)


def build_plan(request: PlanRequest, found: TableState, last: Optional[RunRecord]) -> Plan:
    """
    Builds the plan of a run. Reads nothing, changes nothing.

    ``last`` is the newest unfinished run, as it is once settled. The new run resumes it only if list, tables and mode
    are the same.
    """
    days = {partition: found.days[partition] for partition in request.partitions.partitions}
    empty = tuple(partition for partition, day in days.items() if day.raw.rows == 0)
    refusals = [
        *found.refusals,
        *_refuse_empty(request, empty),
        *_refuse_large_changes(request, days),
        *_refuse_too_little_space(found, days),
    ]
    start = where_to_start(
        request.mode,
        flag=found.flag,
        from_step=request.from_step,
        last=last,
        same_work=last is not None and last.same_work(request.tables, request.mode, request.partitions.digest),
        staged_matches=found.staged_matches,
    )
    return Plan(
        job=request.job,
        mode=request.mode,
        start=start,
        restated=tuple(partition for partition in days if partition not in empty),
        cleared=empty if request.empty_source == "clear" else (),
        kept=empty if request.empty_source == "keep" else (),
        refusals=() if start.basis is Basis.PUBLISHED else tuple(refusals),
        creates=found.creates,
        notes=(*found.notes, *start.notes),
        days=days,
        read=found.read,
        final_root=found.final_root,
    )


def steps_of(mode: str) -> tuple[Step, ...]:
    """Returns all steps of a publish mode, in order. Swap mode has no drop step."""
    return (Step.STAGE, Step.LOAD) if mode == "swap" else tuple(Step)


def where_to_start(
    mode: str,
    *,
    flag: int,
    from_step: Optional[Step],
    last: Optional[RunRecord],
    same_work: bool,
    staged_matches: bool,
) -> Start:
    """
    Decides where a run starts. Nothing else decides this.

    ``flag`` comes from the status file. ``last`` is the newest unfinished run, as it is once settled. ``same_work``
    says whether it had the same list, tables and mode, ``staged_matches`` whether its staged data can be published
    unchanged.
    """
    notes = []
    first = steps_of(mode)[0]
    asked = from_step or Step(flag or Step.DROP)
    by_hand = last is not None and not _left_by(last, flag)
    if from_step is not None:
        notes.append(f"starts at {max(asked, first).label}, as --from-step says")
    elif by_hand and last is not None:
        start = max(asked, first).label
        notes.append(f"the flag in the status file was changed from {last.flag} to {flag}: starts at {start}")
    elif last is not None and not same_work:
        asked = Step.DROP
    if not same_work or (flag == 0 and from_step is None):
        last = None
    if last is not None and last.publication is Publication.PUBLISHED and asked is Step.LOAD:
        notes.append(f"run {last.run_id} has loaded the data: only refreshes and verifies")
        return Start(Step.LOAD, Basis.PUBLISHED, last.run_id, tuple(notes))
    if last is not None and not by_hand and from_step is None:
        asked = _after_finished_steps(asked, last)
    if asked is Step.LOAD and last is not None and staged_matches:
        notes.append(f"publishes what run {last.run_id} has staged")
        return Start(Step.LOAD, Basis.STAGED, last.run_id, tuple(notes))
    if asked is Step.LOAD:
        asked = Step.STAGE
        notes.append("earlier staged data is missing or stale: stages again")
    if last is not None and asked is Step.STAGE:
        return Start(Step.STAGE, Basis.DROPPED, last.run_id, tuple(notes))
    return Start(max(asked, first), notes=tuple(notes))


def _left_by(last: RunRecord, flag: int) -> bool:
    """
    Whether the flag is the one that the run left, rather than edited by hand.

    The status file is written before the record, so an interrupted run may leave the flag one step ahead of the record.
    """
    return flag == last.flag or (flag == last.flag + 1 and last.step_done(Step(last.flag or Step.DROP).label))


def _after_finished_steps(asked: Step, last: RunRecord) -> Step:
    """Returns the step at which to resume ``last``: the first from ``asked`` on that is not finished, at most load."""
    while asked is not Step.LOAD and last.step_done(asked.label):
        asked = Step(asked + 1)
    return asked


def _refuse_empty(request: PlanRequest, empty: tuple[Partition, ...]) -> list[Refusal]:
    if not empty or request.empty_source != "fail":
        return []
    units = f"{request.job.partition.unit}s"
    return [
        Refusal(
            "empty_source",
            f"raw has no rows for {some_of(empty, separator=', ')}",
            f"Load the raw data first, take the {units} off the list, or set partitions.empty_source to keep or clear",
            empty,
        )
    ]


def _refuse_large_changes(request: PlanRequest, days: Mapping[Partition, FoundDay]) -> list[Refusal]:
    limit = request.max_change_pct
    if limit is None:
        return []
    too_large = {}
    for partition, day in days.items():
        if day.old is None or (day.raw.rows == 0 and request.empty_source == "keep"):
            continue
        for name in (total.name for total in request.job.totals if total.guarded):
            change = change_percent(day.old[name], day.raw[name])
            if change is not None and change > limit:
                too_large[partition] = f"{partition} {name} by {change:.1f} %"
                break
    if not too_large:
        return []
    found, units = some_of(tuple(too_large.values()), separator=", "), f"{request.job.partition.unit}s"
    return [
        Refusal(
            "max_change_pct",
            f"usage would change by more than {limit:g} % against the old data: {found}",
            f"Look at the raw data of these {units}; raise audit.max_change_pct if the change is right",
            tuple(too_large),
        )
    ]


def bytes_needed(found: TableState, days: Mapping[Partition, FoundDay]) -> int:
    """
    Estimates the disk space that the new data will need.

    A day with raw rows needs as much as its old data. Without old data it needs a quarter of its raw data, because
    groups are fewer and narrower than raw rows. The rows are written as staging, unless they are already staged, and
    again in the final table's own format if ``rewritten``.
    """
    once = sum(day.old_bytes or (day.input.bytes // 4 if day.input else 0) for day in days.values() if day.raw.rows)
    return once * (int(not found.staged_matches) + int(found.rewritten))


def _refuse_too_little_space(found: TableState, days: Mapping[Partition, FoundDay]) -> list[Refusal]:
    needed = bytes_needed(found, days)
    if found.free_bytes is None or found.free_bytes >= needed:
        return []
    return [
        Refusal(
            "space",
            f"{found.final_root} has {data_volume(found.free_bytes)} left, and the new data needs about"
            f" {data_volume(needed)} beside the old",
            "Free space there (`cleanup --dry-run` says what runs have kept), or restate fewer days at a time",
        )
    ]
