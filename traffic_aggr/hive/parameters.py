"""
The parameters of a partition in the metastore, and which of them outlive its files.

The parameters belong to the table's owner. The job keeps all but those that describe the partition's files, which are
wrong once the partition has other files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

DDL_TIME = "transient_lastDdlTime"
"""The time of a partition's last change, which the metastore sets from its own clock."""

ACCURATE = "COLUMN_STATS_ACCURATE"
"""While a partition has it, Hive answers queries from the partition's statistics instead of its files."""

_ROWS_ARE_ACCURATE = '"BASIC_STATS":"true"'
_OF_FILES = frozenset(
    name.lower()
    for name in (
        ACCURATE,
        "numRows",
        "runTimeNumRows",
        "rawDataSize",
        "totalSize",
        "numFiles",
        "numFilesErasureCoded",
        "STATS_GENERATED",
        "STATS_GENERATED_VIA_STATS_TASK",
        # Where Hive finds the files of a partition that it archived.
        "is_archived",
        "original_location",
        "archiving_level",
    )
)
# Impala marks its own changes with impala.events. parameters, and ignores metastore events that carry its mark.
_PREFIXES_OF_FILES = ("spark.sql.statistics.", "impala_intermediate_stats_", "impala.events.")


def describes_files(name: str) -> bool:
    """Whether a parameter is a statistic of the files, or says where they are or who wrote them."""
    return name.lower() in _OF_FILES or name.lower().startswith(_PREFIXES_OF_FILES)


def of_the_owner(parameters: Mapping[str, str]) -> dict[str, str]:
    """The ``parameters`` that hold for any files of the partition."""
    return {name: value for name, value in parameters.items() if not describes_files(name)}


def for_new_files(parameters: Mapping[str, str], rows: Optional[int]) -> dict[str, str]:
    """
    The ``parameters`` for a partition that gets new files; ``rows``, if known, is the number in them.

    Impala and Hive plan queries by numRows. It is not marked as accurate: another writer could add a file without
    updating it.
    """
    counted = {} if rows is None else {"numRows": str(rows), "STATS_GENERATED_VIA_STATS_TASK": "true"}
    return {**of_the_owner(parameters), **counted}


def for_old_files(parameters: Mapping[str, str]) -> dict[str, str]:
    """
    The ``parameters`` for a partition that gets its old files back.

    All stay, except the claim that column statistics are accurate. The metastore keeps column statistics outside the
    parameters. It deletes them when the partition is dropped, and after a swap they may describe the new files.
    """
    found = dict(parameters)
    if '"COLUMN_STATS"' in found.get(ACCURATE, ""):
        del found[ACCURATE]
        if _ROWS_ARE_ACCURATE in parameters[ACCURATE]:
            found[ACCURATE] = f"{{{_ROWS_ARE_ACCURATE}}}"
    return found
