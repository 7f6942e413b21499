"""
Finds other programs that are writing a listed day, by the uncommitted rows that they keep in or beside it.

Their rows would be lost with the directory that the run moves aside, or would be counted in addition to what it
publishes. And raw is incomplete while a program still writes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone

from traffic_aggr.files.local import FileInfo, Files
from traffic_aggr.hive.layout import UNCOMMITTED
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.run.plan import Refusal
from traffic_aggr.units import local_time

LIVE_FOR = timedelta(hours=6)
"""
How long a writer without any visible change counts as alive.

It may show none while one of its tasks runs, since HDFS shows a file's growth only when the file is closed.
"""


def find_writers(
    files: Files, root: str, directories: Mapping[str, Partition], now: datetime
) -> tuple[list[Refusal], list[str]]:
    """
    Returns refusals for days that a program seems to be writing, and notes on leftovers of interrupted writers.

    ``directories`` maps the directories of the listed days, in raw and in final, to their days. ``root`` is the final
    table's directory, where a writer of several days keeps its uncommitted rows.
    """
    live, days, notes = [], [], []
    for partition, uncommitted in _uncommitted(files, root, directories):
        changed = _last_change(files, uncommitted)
        if now - changed < LIVE_FOR:
            days.append(partition)
            live.append(f"{partition} in {uncommitted.path}, last changed {local_time(changed)}")
        else:
            notes.append(f"{uncommitted.path} was left by a writer that died after {local_time(changed)}")
    if not live:
        return [], notes
    refusal = Refusal(
        "live_writer",
        f"another program seems to be writing {'; '.join(live)}",
        "Wait for it to end; if it is dead, move that directory out of the table: it may be the only copy of its rows",
        tuple(dict.fromkeys(days)),
    )
    return [refusal], notes


def _uncommitted(files: Files, root: str, directories: Mapping[str, Partition]) -> Iterator[tuple[Partition, FileInfo]]:
    for directory, partition in directories.items():
        for found in files.beginning_with(directory, UNCOMMITTED):
            yield partition, found
    for found in files.beginning_with(root, UNCOMMITTED):
        written = {part for info in _walk(files, found) for part in info.path[len(root) :].split("/")}
        for partition in dict.fromkeys(directories.values()):
            if partition.directory in written:
                yield partition, found


def _last_change(files: Files, directory: FileInfo) -> datetime:
    newest = max([directory.modified, *(info.modified for info in _walk(files, directory))])
    return datetime.fromtimestamp(newest / 1000, timezone.utc)


def _walk(files: Files, found: FileInfo) -> list[FileInfo]:
    with suppress(FileNotFoundError):  # its writer has committed or aborted meanwhile
        return list(files.walk_files(found.path)) if found.is_directory else []
    return []
