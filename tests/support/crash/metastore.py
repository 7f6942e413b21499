"""
Snapshots of one database's tables in the metastore, kept as JVM objects and put back. Files are left alone.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Optional

from traffic_aggr.hive.catalog import HiveCatalog, location_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_VOLATILE = ("createTime", "lastAccessTime")
_VOLATILE_PARAMETER = "transient_lastDdlTime"


@dataclasses.dataclass(frozen=True)
class PartitionState:
    """
    A partition: its location, and what else the metastore says of it.

    ``text`` leaves out its times, ``whole`` includes them.
    """

    location: str
    text: str
    whole: str = dataclasses.field(compare=False)
    java: Callable[[], Any] = dataclasses.field(compare=False, repr=False)


@dataclasses.dataclass(frozen=True)
class TableState:
    """A table and its partitions by day or month."""

    text: str
    partitions: Mapping[str, PartitionState]
    java: Any = dataclasses.field(compare=False, repr=False)


Tables = Mapping[str, TableState]


class Metastore:
    """The tables of ``database``, except those named in ``constant``."""

    def __init__(self, spark: SparkSession, database: str, constant: Iterable[str]) -> None:
        self._database = database
        self._constant = frozenset(constant)
        self._hive = HiveCatalog(spark)
        self._spark = spark
        self._catalog: Any = self._hive._catalog

    def tables(self) -> dict[str, TableState]:
        listed = self._catalog.listTables(self._database).mkString(",")
        names = sorted(set(filter(None, listed.split(","))) - self._constant)
        return {name: self._table(name) for name in names}

    def _table(self, name: str) -> TableState:
        java = self._catalog.getTable(self._database, name)
        facts = self._hive.read(java)
        for time in _VOLATILE:
            del facts[time]
        facts["properties"].pop(_VOLATILE_PARAMETER, None)
        partitions = self._partitions(name) if facts["partitionColumnNames"] else {}
        return TableState(json.dumps(facts, sort_keys=True), partitions, java)

    def _partitions(self, name: str) -> dict[str, PartitionState]:
        listed = self._catalog.listPartitions(self._database, name, self._hive.classes.option.empty())
        found = {}
        for index, each in enumerate(self._hive.read(listed)):
            whole = json.dumps(each)
            for time in _VOLATILE:
                del each[time]
            each["parameters"].pop(_VOLATILE_PARAMETER, None)
            location = location_of(each["storage"])
            java, text = partial(listed.apply, index), json.dumps(each, sort_keys=True)
            (partition,) = each["spec"].values()
            found[partition] = PartitionState(location, text, whole, java)
        return found

    def put_back(self, wanted: Tables, *, now: Optional[Tables] = None) -> None:
        """Makes the metastore hold ``wanted``; leaves alone what already matches. ``now``: what it holds now."""
        now = self.tables() if now is None else now
        for name, table in now.items():
            if name not in wanted or wanted[name].text != table.text:
                assert '"tableType": {"name": "EXTERNAL"}' in table.text, f"dropping {name} would delete its files"
                self._catalog.dropTable(self._database, name, True, False)
        for name, table in wanted.items():
            found = now.get(name)
            if found is None or found.text != table.text:
                self._catalog.createTable(table.java, False)
                found = None
            self._put_partitions_back(name, found.partitions if found else {}, table.partitions)
        session: Any = self._spark
        session._jsparkSession.sessionState().catalog().invalidateAllCachedTables()

    def _put_partitions_back(
        self, name: str, now: Mapping[str, PartitionState], wanted: Mapping[str, PartitionState]
    ) -> None:
        unwanted = [each.java().spec() for day, each in now.items() if wanted.get(day) != each]
        missing = [each.java() for day, each in wanted.items() if now.get(day) != each]
        if unwanted:
            self._catalog.dropPartitions(self._database, name, self._hive.classes.seq(unwanted), True, False, True)
        if missing:
            self._catalog.createPartitions(self._database, name, self._hive.classes.seq(missing), False)
