"""
What a job restates: its tables with their columns, the control totals that prove it, and the code that aggregates.

The rest of the package restates whatever job it is given. Nothing here needs Spark, so that commands which need none
stay fast; ``JobDefinition.open`` imports what it needs.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, Protocol

from traffic_aggr.config.config import TablesConfig
from traffic_aggr.errors import ConfigError, TrafficAggrError
from traffic_aggr.files.local import Files
from traffic_aggr.hive.partitions import PARTITION_DATE, Partition, PartitionColumn
from traffic_aggr.hive.schema import Column
from traffic_aggr.run.sample import SampleData, SampleRequest
from traffic_aggr.run.totals import ROWS, SOURCE_ROWS, Fact, Total, Totals
from traffic_aggr.text import first_line

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Dimension:
    """
    A table of the report: totals by the values of a dimension, whose column it calls ``head``.

    It shows them before and after the run, or, where it is ``new_only``, those of the new rows. ``by_value`` orders the
    values themselves instead of the changes.
    """

    name: str
    title: str
    head: str
    new_only: bool = False
    by_value: bool = False


@dataclass(frozen=True)
class Lookup:
    """A table that raw is joined with on ``key``, which must be unique. ``role`` is its name under ``tables:``."""

    role: str
    key: str
    columns: tuple[Column, ...]


class Aggregation(Protocol):
    """
    A job's code at work on the raw rows of some partitions.

    ``JobDefinition.open`` makes it from raw and the lookups, each with at least its columns.
    """

    def raw_totals(self) -> Mapping[str, Mapping[str, Any]]:
        """Returns ``rows``, every total and every fact of raw by partition, taken before any join or grouping."""

    def rows(
        self,
        totals: Mapping[Partition, Totals],
        counted: Callable[[DataFrame], DataFrame],
        *,
        files: int,
        delimiters: Optional[str],
    ) -> DataFrame:
        """
        Returns final's columns and the partition column for the partitions that ``totals`` of raw are given for.

        Passes rows that have the partition column and ``source_rows``, the number of raw rows in each, through
        ``counted``, after the last shuffle. The rows of a partition come in at most ``files`` tasks. In text, a space
        takes the place of each character of ``delimiters``.
        """

    def stored_text(self, delimiters: Optional[str]) -> DataFrame:
        """Returns the ``JobDefinition.texts`` of each raw row as they will be stored."""

    def usage(self, rows: DataFrame, *, new: bool) -> DataFrame:
        """
        Returns ``dimension, value, rows`` and every total of final's rows by each dimension.

        With a column ``partition`` a value has a row for each of its partitions; it is NULL in dimensions that are not
        split so. Dimensions that tell how ``new`` rows came about are left out of old ones.
        """

    def close(self) -> None:
        """Releases what Spark keeps."""


@dataclass(frozen=True)
class JobDefinition:
    """
    A job: what it reads and writes, what proves it, and how it aggregates.

    ``raw`` and ``final`` are columns, final's without ``partition``, the partition column of staging and final.
    ``source`` is raw's: the same, or days where final has months, each of which is made from all its days. ``texts``
    are final's columns of free text, in which delimiters may occur. ``headline`` is the total that stands for the
    whole in sentences.

    ``open`` takes raw, with ``partition`` as a column, and the lookups by role, as DataFrames. ``totals_of`` takes rows
    of final and returns the partition column, ``rows`` and every total by partition. ``make_sample``, where there is
    one, takes a Spark session, the configured tables, the files of a location, the location, and what to make there.
    ``step_names`` are those of drop, stage and load in the status file.

    ConfigError names everything that is wrong with a definition.
    """

    name: str
    raw: tuple[Column, ...]
    lookups: tuple[Lookup, ...]
    final: tuple[Column, ...]
    texts: tuple[str, ...]
    totals: tuple[Total, ...]
    facts: tuple[Fact, ...]
    headline: Total
    dimensions: tuple[Dimension, ...]
    open: Callable[[Any, Mapping[str, Any]], Aggregation]
    totals_of: Callable[[Any], Any]
    make_sample: Optional[Callable[[Any, TablesConfig, Files, str, SampleRequest], SampleData]] = None
    source: PartitionColumn = PARTITION_DATE
    partition: PartitionColumn = PARTITION_DATE
    step_names: tuple[str, str, str] = ("drop", "stage", "load")

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ConfigError(f"the job {self.name} is not well defined: {'; '.join(problems)}")

    @property
    def staging(self) -> tuple[Column, ...]:
        """The columns of staging: final's and the partition column."""
        return (*self.final, Column(self.partition.name, "STRING", length=self.partition.length))

    @property
    def staging_names(self) -> list[str]:
        """The names of staging's columns, in order."""
        return [column.name for column in self.staging]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the totals."""
        return tuple(total.name for total in self.totals)

    @property
    def raw_expressions(self) -> dict[str, str]:
        """Impala's expressions of raw by total, for those that Impala is asked for."""
        return {total.name: total.raw for total in self.totals if total.raw is not None}

    @property
    def final_expressions(self) -> dict[str, str]:
        """Impala's expressions of final by total."""
        return {total.name: total.final for total in self.totals}

    @property
    def scales(self) -> dict[str, int]:
        """The totals with their decimals."""
        return {total.name: total.scale for total in self.totals}

    def _problems(self) -> Sequence[str]:
        problems = []
        names = [total.name for total in self.totals] + [fact.name for fact in self.facts]
        for what, found in (
            ("total or fact", [ROWS, SOURCE_ROWS, *names]),
            ("column of raw", [column.name for column in self.raw]),
            ("column of final", self.staging_names),
            ("lookup", [lookup.role for lookup in self.lookups]),
            ("dimension", [dimension.name for dimension in self.dimensions]),
        ):
            problems += [f"{name} is twice a {what}" for name, times in Counter(found).items() if times > 1]
        problems += [
            f"total {total.name} has no expression of final for Impala" for total in self.totals if not total.final
        ]
        measures = {*names}
        for total in self.totals:
            problems += [
                f"total {total.name} is bounded by {bound}, which is no measure of raw"
                for bound in total.bounds or ()
                if bound not in measures
            ]
        if self.headline not in self.totals:
            problems.append(f"its headline {self.headline.name} is not one of its totals")
        columns = {column.name for column in self.final}
        problems += [f"text {name} is no column of final" for name in self.texts if name not in columns]
        for lookup in self.lookups:
            if lookup.key not in {column.name for column in lookup.columns}:
                problems.append(f"lookup {lookup.role} has no column {lookup.key}, its key")
        if self.source.name not in {column.name for column in self.raw}:
            problems.append(f"raw has no column {self.source.name}")
        if self.source.length < self.partition.length:
            problems.append(f"a {self.partition.unit} cannot be made from a {self.source.unit} of raw")
        if self.source != self.partition and self.partition.name in {column.name for column in self.raw}:
            problems.append(f"raw has a column {self.partition.name}, which is final's partition column")
        return problems


def load_definition(reference: str) -> JobDefinition:
    """
    Imports the definition that ``package.module:NAME`` refers to.

    Raises ConfigError when there is none, or when it is not well defined.
    """
    hint = "Set job.definition to package.module:NAME of a JobDefinition that Python can import"
    module, _, name = reference.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except TrafficAggrError:
        raise
    except Exception as exc:  # the module is the site's, and may raise anything
        raise ConfigError(f"job.definition {reference} cannot be imported: {first_line(exc)}", hint=hint) from exc
    if not isinstance(found, JobDefinition):
        raise ConfigError(f"job.definition {reference} is no JobDefinition", hint=hint)
    return found
