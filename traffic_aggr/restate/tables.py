"""
The tables of a run, as the metastore has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from traffic_aggr.config.config import TablesConfig
from traffic_aggr.errors import TableError
from traffic_aggr.hive import promises
from traffic_aggr.hive.catalog import HiveCatalog, TableFacts
from traffic_aggr.hive.layout import RowFormat
from traffic_aggr.hive.schema import check_columns, check_layout
from traffic_aggr.hive.sql import TableName
from traffic_aggr.run.definition import JobDefinition


@dataclass(frozen=True)
class Tables:
    """The tables of a run as the metastore has them, lookups by role. Staging and final may not exist yet."""

    raw: TableFacts
    lookups: Mapping[str, TableFacts]
    staging: Optional[TableFacts]
    final: Optional[TableFacts]

    @property
    def read(self) -> list[TableFacts]:
        """The tables that the job only reads."""
        return [self.raw, *self.lookups.values()]

    @property
    def written(self) -> list[TableFacts]:
        """Those of staging and final that exist."""
        return [facts for facts in (self.staging, self.final) if facts is not None]

    @property
    def text_formats(self) -> list[RowFormat]:
        """Row formats of staging and final, where they are delimited text."""
        formats = [facts.effective_format for facts in reversed(self.written)]
        return [row_format for row_format in formats if row_format.is_delimited_text]

    @property
    def rewritten(self) -> bool:
        """Whether rows are written twice: to staging, and again in the final table's own format."""
        staging, final = self.staging, self.final
        by_day = staging is None or (bool(staging.partition_columns) and staging.row_format.is_parquet)
        return not (by_day and (final is None or final.row_format.is_parquet))


def table_names(config: TablesConfig, job: JobDefinition) -> dict[str, TableName]:
    """Returns the configured tables by role: raw, staging, final, and the job's lookups."""
    names = {"raw": config.raw, "staging": config.staging, "final": config.final}
    names |= {lookup.role: config.lookup(lookup.role) for lookup in job.lookups}
    return {role: TableName(config.database, name) for role, name in names.items()}


def describe_tables(catalog: HiveCatalog, config: TablesConfig, job: JobDefinition) -> Tables:
    """
    Finds the tables and checks their columns and partitioning.

    Raises TableError naming everything that is missing or of a wrong type, GuardError for the first table of a kind
    that the job does not support.
    """
    names = table_names(config, job)
    found = {role: catalog.facts(name) for role, name in names.items()}
    for role, facts in found.items():
        written = role in ("staging", "final")
        problem = promises.kind_problem(facts, written=written) if facts is not None else None
        if facts is not None and problem is not None:
            raise promises.refusal(facts, [problem], written=written)
    problems = []
    readable: dict[str, TableFacts] = {}
    for role, required in (("raw", job.raw), *((lookup.role, lookup.columns) for lookup in job.lookups)):
        facts = found[role]
        if facts is None:
            problems.append(f"there is no table {names[role]} ({role})")
        else:
            problems += check_columns(str(names[role]), facts.columns, required)
            if role == "raw" and job.source != job.partition and facts.partition_columns != (job.source.name,):
                problems.append(f"{names[role]} is not partitioned by {job.source.name} alone, which {job.name} needs")
            readable[role] = facts
    for role in ("final", "staging"):
        facts = found[role]
        if facts is None:
            if not config.create_missing:
                problems.append(f"there is no table {names[role]} ({role}), and tables.create_missing is false")
            continue
        problems += check_layout(str(names[role]), facts.columns, job.staging)
        column = job.partition.name
        if facts.partition_columns != (column,) and (role == "final" or facts.partition_columns):
            how = ", ".join(facts.partition_columns) or "nothing"
            problems.append(f"{names[role]} is partitioned by {how}, not by {column} alone")
    if problems:
        raise TableError("; ".join(problems), hint="Fix the tables or the names under tables: in the config")
    return Tables(readable.pop("raw"), readable, found["staging"], found["final"])
