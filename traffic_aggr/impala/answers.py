"""
The table of Impala's error answers and what each means.

Answers are matched by their text, since all have the SQLSTATE HY000. The texts come from the sources of Impala 2.7 to
5.0; ``tests/samples/impala_messages.yaml`` names the file of each.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from traffic_aggr.hive import sql
from traffic_aggr.hive.partitions import Partition

LONGEST_ANSWER = 20_000
"""How many characters of an answer are searched; Impala's longest ones end in a stack trace that says no more."""

GAP = "…"
"""In ``Trouble.words``, matches any text."""


class Kind(enum.Enum):
    """What the job does about an error answer."""

    FINAL = "not tried again"
    SYNTAX = "not tried again; a REFRESH of several partitions is sent as one for each"
    UNKNOWN = "not tried again; for a REFRESH, INVALIDATE METADATA is sent instead"
    PASSING = "tried again"
    STALE = "tried again, a query after a REFRESH of what it names"
    BROKEN = "as before; for a REFRESH, INVALIDATE METADATA is sent instead"


@dataclass(frozen=True)
class Trouble:
    """Answers that contain ``words`` in any case, their kind, and what an operator can do about them."""

    words: str
    kind: Kind
    advice: str

    @property
    def passes(self) -> bool:
        """Whether the same statement may succeed later."""
        return self.kind in (Kind.PASSING, Kind.STALE, Kind.BROKEN)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(".*?".join(map(re.escape, self.words.split(GAP))), re.IGNORECASE)


GRANT = "Have the job's user granted what it names"
CORRECT = "Correct what it names"
CATALOG = "See in the logs of catalogd, the statestore and the metastore that each is up"
CLUSTER = "See that every impalad is up and reaches the others"
DISK = "See in the log of that impalad what is wrong with its disks or with HDFS"
QUEUE = "Wait until the resource pool has fewer queries, or raise its limits"
MEMORY = "Wait until other queries have freed their memory, or limit it in their resource pools"
SESSION = "See in the coordinator's log why it ends sessions and queries early"
REFRESH = "REFRESH the table in Impala by hand, and see what that says"
INVALIDATE = "INVALIDATE METADATA the table in Impala by hand, and see what that says"

UNLISTED = Trouble("", Kind.FINAL, CORRECT)
"""An answer that matches none of ``TROUBLES``."""

TROUBLES: Sequence[Trouble] = (
    # These come first: such an answer may quote one of the others as its cause.
    Trouble("AuthorizationException", Kind.FINAL, GRANT),
    Trouble("is not authorized", Kind.FINAL, GRANT),
    Trouble("does not match the session username", Kind.FINAL, GRANT),
    Trouble("Permission denied", Kind.FINAL, GRANT),
    Trouble("Syntax error", Kind.SYNTAX, CORRECT),
    Trouble("Table does not exist:", Kind.UNKNOWN, CORRECT),
    Trouble("Database does not exist:", Kind.UNKNOWN, CORRECT),
    Trouble("Could not resolve table reference", Kind.UNKNOWN, CORRECT),
    Trouble("Could not resolve path", Kind.UNKNOWN, CORRECT),
    # Only INVALIDATE METADATA repairs a table whose metadata failed to load; a REFRESH gets the same answer again.
    Trouble("no longer exists in the Hive MetaStore. Run 'invalidate metadata", Kind.BROKEN, INVALIDATE),
    Trouble("Running 'invalidate metadata", Kind.BROKEN, INVALIDATE),
    Trouble("appears stale. Try running", Kind.STALE, REFRESH),
    Trouble("has an invalid file length", Kind.STALE, REFRESH),
    Trouble("stale metadata…try running", Kind.STALE, REFRESH),
    Trouble("bytes but could only read", Kind.STALE, REFRESH),
    Trouble("No such file or directory", Kind.STALE, REFRESH),
    Trouble("File does not exist", Kind.STALE, REFRESH),
    Trouble("FileNotFoundException", Kind.STALE, REFRESH),
    # The catalog: the coordinator's cache, catalogd behind it, the metastore behind that.
    Trouble("not ready to accept user requests", Kind.PASSING, CATALOG),
    Trouble("Couldn't open transport", Kind.PASSING, CATALOG),
    Trouble("RPC Error:", Kind.PASSING, CATALOG),
    Trouble("RPC recv timed out", Kind.PASSING, CATALOG),
    Trouble("RPC client failed to connect", Kind.PASSING, CATALOG),
    Trouble("is in standby mode", Kind.PASSING, CATALOG),
    Trouble("InconsistentMetadataFetchException", Kind.PASSING, CATALOG),
    Trouble("was modified while operation was in progress", Kind.PASSING, CATALOG),
    Trouble("due to lock contention", Kind.PASSING, CATALOG),
    Trouble("was removed by a concurrent operation", Kind.PASSING, CATALOG),
    Trouble("Couldn't retrieve the catalog topic", Kind.PASSING, CATALOG),
    Trouble("Timed out while fetching partial object metadata", Kind.PASSING, CATALOG),
    Trouble("TableLoadingException", Kind.STALE, CATALOG),
    Trouble("Error loading metadata for", Kind.PASSING, CATALOG),
    Trouble("fetching current event id", Kind.PASSING, CATALOG),
    Trouble("MetaException", Kind.PASSING, CATALOG),
    Trouble("TTransportException", Kind.PASSING, CATALOG),
    Trouble("MetastoreClientInstantiationException", Kind.PASSING, CATALOG),
    # INVALIDATE METADATA fails one of Impala's internal checks while the metastore does not answer.
    Trouble("IllegalStateException: null", Kind.PASSING, CATALOG),
    Trouble("Server is being shut down", Kind.PASSING, SESSION),
    Trouble("Invalid session id", Kind.PASSING, SESSION),
    Trouble("Session is closed", Kind.PASSING, SESSION),
    Trouble("Session closed", Kind.PASSING, SESSION),
    Trouble("Session has been closed", Kind.PASSING, SESSION),
    Trouble("session expired due to", Kind.PASSING, SESSION),
    Trouble("expired due to client inactivity", Kind.PASSING, SESSION),
    Trouble("Invalid query handle", Kind.PASSING, SESSION),
    Trouble("Invalid or unknown query handle", Kind.PASSING, SESSION),
    Trouble("Query id…not found", Kind.PASSING, SESSION),
    Trouble("Rejected query from pool…queue full", Kind.PASSING, QUEUE),
    Trouble("Rejected query from pool…current per-", Kind.PASSING, QUEUE),
    Trouble("Rejected query from pool…The coordinator no longer exists", Kind.PASSING, QUEUE),
    Trouble("Rejected query from pool…memory pressure in admissiond", Kind.PASSING, MEMORY),
    Trouble("Admission for query exceeded timeout", Kind.PASSING, QUEUE),
    Trouble("Failed to admit query after waiting", Kind.PASSING, CLUSTER),
    Trouble("unreachable impalad(s)", Kind.PASSING, CLUSTER),
    Trouble("unresponsive backend", Kind.PASSING, CLUSTER),
    Trouble("no registered backends available", Kind.PASSING, CLUSTER),
    Trouble("rpc failed", Kind.PASSING, CLUSTER),
    Trouble("ExecQueryFInstances rpc…failed", Kind.PASSING, CLUSTER),
    Trouble("TransmitData() to…failed", Kind.PASSING, CLUSTER),
    Trouble("EndDataStream() to…failed", Kind.PASSING, CLUSTER),
    Trouble("RPC from…failed", Kind.PASSING, CLUSTER),
    Trouble("timed out waiting for receiver fragment instance", Kind.PASSING, CLUSTER),
    Trouble("DataStreamRecvr…is closed already", Kind.PASSING, CLUSTER),
    # Other queries fill the daemon's memory and disks, so a retry may help. It never helps against a query's own limit.
    Trouble("Memory limit exceeded…Memory left in process limit: -", Kind.PASSING, MEMORY),
    Trouble("Failed to get minimum memory reservation", Kind.PASSING, MEMORY),
    Trouble("Failed to create thread", Kind.PASSING, MEMORY),
    Trouble("Could not create files in any configured scratch directories", Kind.PASSING, DISK),
    Trouble("local disk IO fatal error on backend", Kind.PASSING, DISK),
    Trouble("to thread pool after waiting", Kind.PASSING, DISK),
    Trouble("failed to finish before the…second timeout", Kind.PASSING, DISK),
    Trouble("Disk I/O error", Kind.PASSING, DISK),
    Trouble("Cancelled", Kind.PASSING, SESSION),
)


def trouble_of(answer: str) -> Trouble:
    """Returns the first of ``TROUBLES`` that matches an error ``answer`` of Impala, else ``UNLISTED``."""
    line = " ".join(answer[:LONGEST_ANSWER].split())
    return next((trouble for trouble in TROUBLES if trouble.pattern.search(line)), UNLISTED)


_TABLE_READ = re.compile(r"\bFROM\s+(\w+\.\w+)", re.IGNORECASE)
_PARTITIONS_READ = re.compile(r"\bWHERE (\w+) IN \(([^)]*)\)")
_QUOTED = re.compile(r"'([^']*)'")


def refreshes_before(query: str, answer: str, times: int) -> list[str]:
    """
    Returns the statements to send before retrying a ``query`` whose ``answer`` blames stale metadata.

    The first time (``times`` is 0) that is a REFRESH of the partition whose file the answer names, else of the table.
    After that it is a REFRESH of the table and ``sql.refresh_moved`` of all the query's partitions. Empty when the
    query reads no table.
    """
    table = _TABLE_READ.search(query)
    if table is None:
        return []
    name, read = sql.TableName.parse(table[1]), _PARTITIONS_READ.search(query)
    partitions = [Partition(value, read[1]) for value in _QUOTED.findall(read[2])] if read else []
    if times:
        return [sql.refresh(name), *sql.refresh_moved(name, partitions)]
    named = [partition for partition in partitions if f"/{partition.directory}/" in answer]
    return sql.refresh_moved(name, named) or [sql.refresh(name)]
