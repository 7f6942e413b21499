"""
The parameters of a partition in the metastore. They are its owner's: the job keeps them all but those that describe the
partition's files, which no longer hold once it has other files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

DDL_TIME = "transient_lastDdlTime"
"""The time of a partition's last change, which the metastore sets by its own clock."""

ACCURATE = "COLUMN_STATS_ACCURATE"
"""As long as a partition has it, Hive answers queries from the partition's statistics instead of its files."""

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
        # Where Hive looks for the files of a partition that it has archived.
        "is_archived",
        "original_location",
        "archiving_level",
    )
)
# The last one names the change of Impala's own after which the partition is as it is: Impala passes over an event of
# the metastore that bears it.
_PREFIXES_OF_FILES = ("spark.sql.statistics.", "impala_intermediate_stats_", "impala.events.")


def describes_files(name: str) -> bool:
    """Whether a parameter is a statistic of the files, or says where they are or who wrote them."""
    return name.lower() in _OF_FILES or name.lower().startswith(_PREFIXES_OF_FILES)


def of_the_owner(parameters: Mapping[str, str]) -> dict[str, str]:
    """Those that hold whatever the partition's files are."""
    return {name: value for name, value in parameters.items() if not describes_files(name)}


def for_new_files(parameters: Mapping[str, str], rows: Optional[int]) -> dict[str, str]:
    """
    The ``parameters`` of a partition that has got other files, with as many ``rows`` as were counted in them.

    Impala and Hive plan by the number of rows. It is no promise: another writer's file would break it unnoticed.
    """
    counted = {} if rows is None else {"numRows": str(rows), "STATS_GENERATED_VIA_STATS_TASK": "true"}
    return {**of_the_owner(parameters), **counted}


def for_old_files(parameters: Mapping[str, str]) -> dict[str, str]:
    """
    The ``parameters`` of a partition that gets its old files back: all, but for the promise about column statistics.

    The metastore keeps those outside the parameters. It deletes them when the partition is dropped, and what it has
    after a swap may be of the new files.
    """
    found = dict(parameters)
    if '"COLUMN_STATS"' in found.get(ACCURATE, ""):
        del found[ACCURATE]
        if _ROWS_ARE_ACCURATE in parameters[ACCURATE]:
            found[ACCURATE] = f"{{{_ROWS_ARE_ACCURATE}}}"
    return found
