"""
What the job refuses before it changes anything: table promises that it does not keep, and data that it would get wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

from pyspark.sql import DataFrame

from traffic_aggr.config.config import Config
from traffic_aggr.files.local import Files
from traffic_aggr.hive import promises
from traffic_aggr.hive.catalog import DISCOVERY, HiveCatalog, HiveTable
from traffic_aggr.hive.layout import text_hazards
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.schema import declared_length
from traffic_aggr.restate.row_checks import duplicate_keys, values_with
from traffic_aggr.restate.tables import Tables
from traffic_aggr.run.definition import Aggregation, JobDefinition
from traffic_aggr.run.plan import Refusal
from traffic_aggr.spark.queries import collected
from traffic_aggr.text import shown, some_of
from traffic_aggr.units import counted

EXAMPLES = 5


def refuse_tables(job: JobDefinition, tables: Tables) -> None:
    """Raises GuardError for the first table that promises what the job does not keep."""
    read = [column for columns in (job.raw, *(lookup.columns for lookup in job.lookups)) for column in columns]
    for facts in (*tables.read, *tables.written):
        written = facts in tables.written
        problems = promises.table_problems(facts, job.staging if written else read, written=written)
        if problems:
            raise promises.refusal(facts, problems, written=written)


def refuse_partitions(
    job: JobDefinition, catalog: HiveCatalog, tables: Tables, partitions: Sequence[Partition], read: Sequence[Partition]
) -> None:
    """
    Raises GuardError naming listed partitions whose own metadata promises what the job does not keep.

    ``read`` are those of raw that lie in the listed ones.
    """
    for facts, column, listed in ((tables.raw, job.source, read), (tables.final, job.partition, partitions)):
        if facts is None or facts.partition_columns != (column.name,):
            continue
        problems = promises.partition_problems(facts, catalog.table(facts).promises(listed))
        if problems:
            raise promises.refusal(facts, problems[:EXAMPLES], written=facts is tables.final)


def refuse_duplicate_keys(job: JobDefinition, lookups: Mapping[str, DataFrame]) -> list[Refusal]:
    """Refuses a lookup with two rows for one key, which would double usage."""
    if not job.lookups:
        return []
    found = collected(*(duplicate_keys(lookups[lookup.role], lookup.key).limit(EXAMPLES + 1) for lookup in job.lookups))
    refusals = []
    for lookup, rows in zip(job.lookups, found):
        keys = [str(row[0]) for row in rows]
        if keys:
            shown = ", ".join(sorted(keys)[:EXAMPLES]) + (" and more" if len(keys) > EXAMPLES else "")
            refusals.append(
                Refusal(
                    "lookup_keys",
                    f"{lookup.role} has more than one row for {lookup.key} {shown}",
                    f"Leave one row a {lookup.key}",
                )
            )
    return refusals


def refuse_shared_directories(table: Optional[HiveTable], partitions: Sequence[Partition]) -> list[Refusal]:
    """Refuses when an unlisted partition lies in a listed one's directory, which a run moves aside as a whole."""
    others = table.others_in(partitions) if table else {}
    if not others:
        return []
    shown = some_of([f"{partition} in {location}" for partition, location in others.items()], EXAMPLES, ", ")
    return [
        Refusal(
            "shared_directory",
            f"partitions that are not listed lie in a listed one's standard directory: {shown}",
            "Point them elsewhere with ALTER TABLE ... SET LOCATION, or list them as well",
        )
    ]


def clears_in_place(config: Config) -> bool:
    """Whether a day without raw rows loses its partition while its old files stay where they are."""
    return config.publish.mode == "swap" and config.partitions.empty_source == "clear"


def refuse_partition_discovery(
    config: Config, table: Optional[HiveTable], files: Files, empty: Sequence[Partition]
) -> list[Refusal]:
    """Refuses to clear days of ``empty``, which have no raw rows, whose old data the metastore would find again."""
    if table is None or not table.facts.discovers_partitions or not clears_in_place(config):
        return []
    cleared = [partition for partition in empty if files.is_directory(table.home(partition))]
    if not cleared:
        return []
    return [
        Refusal(
            "partition_discovery",
            f"{table.name} has {DISCOVERY}=true, so the metastore would bring back the old data of"
            f" {some_of(cleared, EXAMPLES, ', ')}, which stays in its standard directory until cleanup",
            f"ALTER TABLE {table.name} SET TBLPROPERTIES ('{DISCOVERY}' = 'false'), or publish.mode: drop_and_load",
            tuple(cleared),
        )
    ]


def refuse_unsafe_text(
    job: JobDefinition, aggregation: Aggregation, tables: Tables, *, replace_with_space: bool, in_bytes: bool
) -> list[Refusal]:
    """
    Refuses values that readers of the written tables would misread or cut.

    In delimited text (domain.md), a delimiter in a value shifts columns and a NULL marker reads as NULL. A value longer
    than its VARCHAR is cut; Hive counts characters, Impala bytes (``in_bytes``). With ``replace_with_space`` the
    aggregation replaces delimiters, so only NULL markers and lengths are checked.
    """
    hazards, lengths = text_hazards(tables.text_formats), _lengths(job, tables)
    if not hazards.characters and not hazards.null_markers and not lengths:
        return []
    texts = aggregation.stored_text(hazards.characters if replace_with_space else None)
    characters = "" if replace_with_space else hazards.characters
    [row] = values_with(texts, characters, hazards.null_markers, lengths, in_bytes=in_bytes).collect()
    found = {
        name: f"in {counted(values['rows'], 'row')}, such as {shown(values['example'])!r}"
        for name, values in row.asDict().items()
        if values["rows"]
    }
    misread = [f"{name} {found[name]}" for name in texts.columns if name in found]
    unit = "bytes" if in_bytes else "characters"
    too_long = [
        f"{name} of more than {length} {unit} {found[key]}"
        for name, length in lengths.items()
        for key in [f"{name}_too_long"]
        if key in found
    ]
    refusals = []
    if misread:
        refusals.append(
            Refusal(
                "delimiter_in_text",
                f"values hold a delimiter or the NULL marker of a text table: {'; '.join(misread)}",
                "Correct them at their source, or set tables.delimiter_in_text: space for delimiters",
            )
        )
    if too_long:
        refusals.append(
            Refusal(
                "text_too_long",
                f"values do not fit into the VARCHAR of final or staging, and readers would cut them:"
                f" {'; '.join(too_long)}",
                "Make these columns longer, or STRING",
            )
        )
    return refusals


def _lengths(job: JobDefinition, tables: Tables) -> dict[str, int]:
    """Returns the shortest limit that final or staging sets for each text column, by column name."""
    limits: dict[str, int] = {}
    for facts in tables.written:
        for name, type_ in facts.columns:
            length = declared_length(type_)
            if length is not None and name.lower() in job.texts:
                limits[name.lower()] = min(length, limits.get(name.lower(), length))
    return limits
