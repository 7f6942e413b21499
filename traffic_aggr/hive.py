"""
Tables in the Hive metastore, through Spark's catalog: what they are, and changes to their partitions.

Every drop here is of metadata alone. A drop that could delete files (managed tables; external ones with
``external.table.purge``, which the metastores of Hive 4, HDP 3 and CDP honour) goes through Spark's session catalog
with ``retainData``; others are plain SQL.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import unquote

from pyspark.sql.types import StructType

from traffic_aggr import sql
from traffic_aggr.errors import PartitionListError
from traffic_aggr.layout import PARQUET_SERDE, Placement, RowFormat, normal
from traffic_aggr.partitions import Partition
from traffic_aggr.sql import TableName
from traffic_aggr.tables import PARTITION_COLUMN, Column

if TYPE_CHECKING:
    from py4j.java_gateway import JavaObject
    from pyspark.sql import DataFrame, SparkSession

_PROPERTIES_NOT_COPIED = ("external", "external.table.purge", "transient_lastddltime", "numfiles", "numrows")
_PREFIXES_NOT_COPIED = ("spark.sql.", "totalsize", "rawdatasize", "column_stats", "impala.", "stats_", "discover.")


@dataclass(frozen=True)
class TableFacts:
    """What the metastore says of a table. ``columns`` are (name, type), those it is partitioned by included."""

    name: TableName
    kind: str
    provider: str
    location: str
    columns: tuple[tuple[str, str], ...]
    partition_columns: tuple[str, ...]
    row_format: RowFormat
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_managed(self) -> bool:
        return self.kind == "MANAGED"

    @property
    def may_delete_files(self) -> bool:
        """Whether a plain DROP PARTITION could delete files."""
        return self.is_managed or self.properties.get("external.table.purge", "").lower() == "true"

    @property
    def foreign(self) -> Optional[str]:
        """Why the job must not write to the table, or None."""
        if self.kind == "VIEW":
            return "it is a view"
        if self.properties.get("transactional", "").lower() == "true":
            return "it is an ACID table"
        if self.provider not in ("hive", "parquet") or "storage_handler" in self.properties:
            return f"it is no plain Hive table but {self.properties.get('storage_handler', self.provider)}"
        return None

    @property
    def own_properties(self) -> dict[str, str]:
        """The table properties that say how its files are written; statistics and ownership left out."""
        return {
            key: value
            for key, value in self.properties.items()
            if key.lower() not in _PROPERTIES_NOT_COPIED and not key.lower().startswith(_PREFIXES_NOT_COPIED)
        }


@dataclass(frozen=True)
class Directory:
    """A directory that holds rows of a table: those of the partition with ``spec``, or all of them."""

    location: str
    spec: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        return "/".join(f"{column}={value}" for column, value in self.spec.items())

    def __str__(self) -> str:
        """How messages begin that name a file of it: the day, where it is one."""
        day = self.spec.get(PARTITION_COLUMN)
        return f"{day if day and len(self.spec) == 1 else self.name} " if self.spec else ""


class _Classes:
    """What changes of partitions are made with, looked up once: each name on the way to a class is one more call."""

    def __init__(self, jvm: Any) -> None:
        catalyst = jvm.org.apache.spark.sql.catalyst
        self.table_identifier = catalyst.TableIdentifier
        self.partition = catalyst.catalog.CatalogTablePartition
        self.paths = catalyst.catalog.CatalogUtils
        self.option = jvm.scala.Option
        self._map, self._list = jvm.java.util.HashMap, jvm.java.util.ArrayList
        self._scala = jvm.org.apache.spark.api.python.PythonUtils

    def map(self, values: Mapping[str, str]) -> JavaObject:
        java_map = self._map()
        for key, value in values.items():
            java_map.put(key, value)
        return self._scala.toScalaMap(java_map)

    def seq(self, values: Iterable[JavaObject]) -> JavaObject:
        java_list = self._list()
        for value in values:
            java_list.add(value)
        return self._scala.toSeq(java_list)

    def spec(self, partition: Partition) -> JavaObject:
        return self.map({PARTITION_COLUMN: str(partition)})


class HiveCatalog:
    """The metastore as one Spark session sees it."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        self._catalog = spark._jsparkSession.sharedState().externalCatalog()
        jvm: Any = spark.sparkContext._jvm
        jackson = jvm.com.fasterxml.jackson
        self._json = jackson.databind.ObjectMapper()
        self._json.registerModule(jackson.module.scala.DefaultScalaModule())

    def facts(self, name: TableName) -> Optional[TableFacts]:
        """What the table is, or None where there is none."""
        if not self._catalog.databaseExists(name.database) or not self._catalog.tableExists(name.database, name.name):
            return None
        table = self._catalog.getTable(name.database, name.name)
        schema = StructType.fromJson(json.loads(table.schema().json()))
        found_provider = table.provider()
        provider = found_provider.get() if found_provider.isDefined() else "hive"
        storage = self.read(table.storage())
        return TableFacts(
            name=name,
            kind=table.tableType().name(),
            provider=provider,
            location=location_of(storage),
            columns=tuple((item.name, item.dataType.simpleString()) for item in schema.fields),
            partition_columns=tuple(filter(None, table.partitionColumnNames().mkString(",").split(","))),
            row_format=RowFormat(PARQUET_SERDE, "", "") if provider == "parquet" else _row_format(storage),
            properties=self.read(table.properties()),
        )

    def default_location(self, name: TableName) -> str:
        """Where the job makes a table that is missing: under its database's directory."""
        database = self._catalog.getDatabase(name.database)
        return f"{_path(database.locationUri().toString())}/{name.name}"

    def read(self, scala_object: JavaObject) -> Any:
        """All that a collection or case class holds, in one call to the JVM: one for each value takes much longer."""
        return json.loads(self._json.writeValueAsString(scala_object))

    @cached_property
    def classes(self) -> _Classes:
        return _Classes(self.spark.sparkContext._jvm)

    def table(self, facts: TableFacts) -> HiveTable:
        return HiveTable(self, facts)

    def create_partitioned(
        self,
        name: TableName,
        columns: Sequence[Column],
        location: str,
        like: Optional[TableFacts] = None,
    ) -> TableFacts:
        """An external table partitioned by day: Parquet, or in the format of ``like``, statistics left out."""
        self.spark.sql(
            sql.create_external_table(
                name,
                columns,
                location,
                row_format=like.row_format if like else None,
                properties=like.own_properties if like else None,
            )
        )
        facts = self.facts(name)
        assert facts is not None
        return facts


class HiveTable:
    """The partitions of one table: where they are, and metadata changes to them. Files are never touched."""

    def __init__(self, catalog: HiveCatalog, facts: TableFacts) -> None:
        self.facts = facts
        self.name = facts.name
        self._owner = catalog
        self._spark = catalog.spark
        self._catalog = catalog._catalog

    def home(self, partition: Partition) -> str:
        """The standard directory of a partition."""
        return f"{self.facts.location}/{partition.directory}"

    def rows(self) -> DataFrame:
        """The table as it is now, read anew."""
        self._spark.catalog.refreshTable(self.name.quoted)
        return self._spark.table(self.name.quoted)

    def partitions(self, wanted: Collection[Partition]) -> dict[Partition, Placement]:
        """Those of ``wanted`` that are there, and where their data are."""
        return {partition: self._placement(found) for partition, found in self._listed().items() if partition in wanted}

    def others_in(self, partitions: Collection[Partition]) -> dict[Partition, str]:
        """Partitions beside ``partitions`` that lie in, or around, a standard directory of those: their locations."""
        homes = {normal(self.home(partition)) for partition in partitions}
        around = {parent for home in homes for parent in _parents(home)}
        return {
            partition: location
            for partition, location in self.all_locations().items()
            if partition not in partitions
            and (location in around or not homes.isdisjoint((location, *_parents(location))))
        }

    def all_locations(self) -> dict[Partition, str]:
        """Every partition of the table that is a day, and its directory."""
        return {partition: location_of(storage) for partition, storage in self._listed().items()}

    def all_partitions(self) -> list[Partition]:
        """Every partition of the table that is a day."""
        return list(self._listed())

    def directories(self) -> list[Directory]:
        """Every directory of the table: its partitions', or its own where it has none."""
        if not self.facts.partition_columns:
            return [Directory(self.facts.location)]
        return [Directory(location_of(each["storage"]), each["spec"]) for each in self._all()]

    def _all(self) -> list[dict[str, Any]]:
        """Every partition of the table, as the fields of Spark's ``CatalogTablePartition``."""
        listed: list[dict[str, Any]] = self._owner.read(
            self._catalog.listPartitions(self.name.database, self.name.name, self._owner.classes.option.empty())
        )
        return listed

    def _listed(self) -> dict[Partition, dict[str, Any]]:
        """Every partition of the table that is a day, and the fields of Spark's ``CatalogStorageFormat``."""
        found = {}
        for each in self._all():
            try:
                found[Partition(each["spec"][PARTITION_COLUMN])] = each["storage"]
            except PartitionListError:  # such as __HIVE_DEFAULT_PARTITION__: never listed, never touched
                continue
        return found

    def _placement(self, storage: Mapping[str, Any]) -> Placement:
        row_format = _row_format(storage)
        differs = self.facts.provider == "hive" and row_format != self.facts.row_format
        return Placement(location_of(storage), row_format if differs else None)

    def drop(self, partitions: Sequence[Partition]) -> None:
        """Removes the metadata of those that are there; their files stay."""
        for batch in sql.batches(partitions):
            if self.facts.may_delete_files:
                self._drop_retaining_data(batch)
            else:
                self._spark.sql(sql.drop_partitions(self.name, batch))

    def _drop_retaining_data(self, partitions: Sequence[Partition]) -> None:
        classes = self._owner.classes
        identifier = classes.table_identifier(self.name.name, classes.option.apply(self.name.database))
        ignore_missing, purge, retain_data = True, False, True
        self._spark._jsparkSession.sessionState().catalog().dropPartitions(
            identifier, classes.seq(map(classes.spec, partitions)), ignore_missing, purge, retain_data
        )

    def add(self, placements: Mapping[Partition, Placement]) -> None:
        """Adds those that are not there, each in its own row format where it had one."""
        plain = [partition for partition, where in placements.items() if where.row_format is None]
        for batch in sql.batches(plain):
            locations = {partition: placements[partition].location for partition in batch}
            self._spark.sql(sql.add_partitions(self.name, locations))
        special = [partition for partition in placements if partition not in plain]
        if special:
            table = self._catalog.getTable(self.name.database, self.name.name)
            made = [self._catalog_partition(each, placements[each], table.storage()) for each in special]
            self._catalog.createPartitions(self.name.database, self.name.name, self._owner.classes.seq(made), True)

    def point(self, placements: Mapping[Partition, Placement]) -> None:
        """
        Points partitions that are there to other places in one metastore request, which does all or none.

        They lose their statistics, since Hive would answer count(*) from them.
        """
        table = self._catalog.getTable(self.name.database, self.name.name)
        moved = [self._catalog_partition(each, where, table.storage()) for each, where in placements.items()]
        self._catalog.alterPartitions(self.name.database, self.name.name, self._owner.classes.seq(moved))

    def _catalog_partition(self, partition: Partition, placement: Placement, table_storage: JavaObject) -> JavaObject:
        classes, option = self._owner.classes, self._owner.classes.option
        row_format = placement.row_format
        own = (
            (
                table_storage.inputFormat(),
                table_storage.outputFormat(),
                table_storage.serde(),
                False,
                table_storage.properties(),
            )
            if row_format is None
            else (
                option.apply(row_format.input_format),
                option.apply(row_format.output_format),
                option.apply(row_format.serde),
                False,
                classes.map(row_format.serde_properties),
            )
        )
        # Spark 4 has added to what a storage format consists of; that is as the table has it.
        rest = (
            getattr(table_storage, f"copy$default${number}")() for number in range(7, table_storage.productArity() + 1)
        )
        storage = table_storage.copy(option.apply(classes.paths.stringToURI(placement.location)), *own, *rest)
        never = -1
        return classes.partition(classes.spec(partition), storage, classes.map({}), never, never, option.empty())


def _parents(location: str) -> list[str]:
    parts = location.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def _path(uri: str) -> str:
    """A location as Hadoop writes paths, nothing percent-encoded."""
    return normal(unquote(uri))


def location_of(storage: Mapping[str, Any]) -> str:
    """The directory in the fields of a ``CatalogStorageFormat``; empty where it has none."""
    return _path(storage["locationUri"] or "")


def _row_format(storage: Mapping[str, Any]) -> RowFormat:
    return RowFormat(
        serde=storage["serde"] or "",
        input_format=storage["inputFormat"] or "",
        output_format=storage["outputFormat"] or "",
        serde_properties=storage["properties"],
    )
