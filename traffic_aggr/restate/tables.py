"""
The tables of a run, as the metastore has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from traffic_aggr.config.config import TablesConfig
from traffic_aggr.errors import TableError
from traffic_aggr.hive import promises
from traffic_aggr.hive.catalog import HiveCatalog, TableFacts
from traffic_aggr.hive.layout import RowFormat
from traffic_aggr.hive.sql import TableName
from traffic_aggr.traffic import columns as contract


@dataclass(frozen=True)
class Tables:
    """The tables of a run as the metastore has them. Staging and final may not exist yet."""

    raw: TableFacts
    organisations: TableFacts
    countries: TableFacts
    staging: Optional[TableFacts]
    final: Optional[TableFacts]

    @property
    def text_formats(self) -> list[RowFormat]:
        """Row formats of staging and final, where they are delimited text."""
        written = [facts.effective_format for facts in (self.final, self.staging) if facts is not None]
        return [row_format for row_format in written if row_format.is_delimited_text]

    @property
    def rewritten(self) -> bool:
        """Whether rows are written twice: to staging, and again in the final table's own format."""
        staging, final = self.staging, self.final
        by_day = staging is None or (bool(staging.partition_columns) and staging.row_format.is_parquet)
        return not (by_day and (final is None or final.row_format.is_parquet))


def table_names(config: TablesConfig) -> dict[str, TableName]:
    """Returns the configured tables by role: raw, staging, final, org_details, country_lookup."""
    roles = ("raw", "staging", "final", "org_details", "country_lookup")
    return {role: TableName(config.database, getattr(config, role)) for role in roles}


def describe_tables(catalog: HiveCatalog, config: TablesConfig) -> Tables:
    """
    Finds the tables and checks their columns and partitioning.

    Raises TableError naming everything that is missing or of a wrong type, GuardError for the first table of a kind
    that the job does not support.
    """
    names = table_names(config)
    found = {role: catalog.facts(name) for role, name in names.items()}
    for role, facts in found.items():
        written = role in ("staging", "final")
        problem = promises.kind_problem(facts, written=written) if facts is not None else None
        if facts is not None and problem is not None:
            raise promises.refusal(facts, [problem], written=written)
    problems = []
    readable: dict[str, TableFacts] = {}
    for role, required in (
        ("raw", contract.RAW_COLUMNS),
        ("org_details", contract.ORG_DETAILS_COLUMNS),
        ("country_lookup", contract.COUNTRY_LOOKUP_COLUMNS),
    ):
        facts = found[role]
        if facts is None:
            problems.append(f"there is no table {names[role]} ({role})")
        else:
            problems += contract.check_columns(str(names[role]), facts.columns, required)
            readable[role] = facts
    for role in ("final", "staging"):
        facts = found[role]
        if facts is None:
            if not config.create_missing:
                problems.append(f"there is no table {names[role]} ({role}), and tables.create_missing is false")
            continue
        problems += contract.check_layout(str(names[role]), facts.columns)
        by_day = facts.partition_columns == (contract.PARTITION_COLUMN,)
        if not by_day and (role == "final" or facts.partition_columns):
            how = ", ".join(facts.partition_columns) or "nothing"
            problems.append(f"{names[role]} is partitioned by {how}, not by {contract.PARTITION_COLUMN} alone")
    if problems:
        raise TableError("; ".join(problems), hint="Fix the tables or the names under tables: in the config")
    return Tables(
        readable["raw"], readable["org_details"], readable["country_lookup"], found["staging"], found["final"]
    )
