"""
Tables in the Hive metastore, through Spark's catalog: facts about them, changes to their partitions.

A drop removes only metadata. Where a plain drop could delete files, it goes through Spark's session catalog with
``retainData``; elsewhere it is plain SQL. Files are at risk in managed tables, and in external ones with
``external.table.purge``, which the metastores of Hive 4, HDP 3 and CDP honour.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import quote, unquote

from py4j.protocol import Py4JError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from traffic_aggr.errors import PartitionListError, StateError
from traffic_aggr.hive import parameters, sql
from traffic_aggr.hive.layout import PARQUET_SERDE, Directories, Placement, RowFormat, normal
from traffic_aggr.hive.metastore import MetastoreClient
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.schema import Column
from traffic_aggr.hive.sql import TableName
from traffic_aggr.units import counted

if TYPE_CHECKING:
    from py4j.java_gateway import JavaObject
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)

_MATERIALIZED_VIEW = "MATERIALIZED VIEW"
_NO_SUCH_TABLE = ("TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND")
_PROPERTIES_NOT_COPIED = ("external", "external.table.purge", parameters.DDL_TIME.lower())
_PREFIXES_NOT_COPIED = ("spark.sql.", "impala.", "discover.")

DISCOVERY = "discover.partitions"
"""The table property that has the metastore add a partition for each directory without one."""


@dataclass(frozen=True)
class TableFacts:
    """
    What the metastore knows about a table.

    ``columns`` are (name, type) pairs and include the partition columns.
    """

    name: TableName
    kind: str
    provider: str
    location: str
    columns: tuple[tuple[str, str], ...]
    partition_columns: tuple[str, ...]
    row_format: RowFormat
    properties: Mapping[str, str] = field(default_factory=dict)
    bucket_columns: tuple[str, ...] = ()
    tracks_partitions: bool = True
    """Whether the metastore has a partitioned table's partitions; if not, Spark finds them in the file system."""
    unsupported: tuple[str, ...] = ()
    """Features that Spark says it cannot handle, such as skewed columns."""
    defaulted_columns: tuple[str, ...] = ()
    """Columns for which Spark reads a default value from files that lack them."""

    @property
    def is_managed(self) -> bool:
        return self.kind == "MANAGED"

    @property
    def may_delete_files(self) -> bool:
        """Whether a plain DROP PARTITION could delete files."""
        return self.is_managed or self.properties.get("external.table.purge", "").lower() == "true"

    @property
    def discovers_partitions(self) -> bool:
        return self.properties.get(DISCOVERY, "").lower() == "true"

    @property
    def effective_format(self) -> RowFormat:
        """The row format that Hive and Spark write by: the table's properties override its serde's."""
        serde_properties = {**self.row_format.serde_properties, **self.properties}
        return replace(self.row_format, serde_properties=serde_properties)

    @property
    def own_properties(self) -> dict[str, str]:
        """The table properties that say how its files are written, without statistics and ownership."""
        return {
            key: value
            for key, value in self.properties.items()
            if not parameters.describes_files(key)
            and key.lower() not in _PROPERTIES_NOT_COPIED
            and not key.lower().startswith(_PREFIXES_NOT_COPIED)
        }


@dataclass(frozen=True)
class Directory:
    """
    A directory that holds rows of a table.

    They are those of the partition with ``spec``, or all rows of an unpartitioned table.
    """

    location: str
    spec: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        return "/".join(f"{column}={value}" for column, value in self.spec.items())

    def __str__(self) -> str:
        """
        Prefix for messages about one of its files: the day or month, or else the partition's name.

        Empty for an unpartitioned table.
        """
        if not self.spec:
            return ""
        (value, *others) = self.spec.values()
        return f"{value if not others and _is_partition(value) else self.name} "


class _Classes:
    """JVM classes for changing partitions, looked up once: each part of a dotted name is one more call."""

    def __init__(self, jvm: Any) -> None:
        self.table_identifier = jvm.org.apache.spark.sql.catalyst.TableIdentifier
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
        return self.map({partition.column: str(partition)})


class HiveCatalog:
    """The metastore as one Spark session sees it."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        self._catalog = spark._jsparkSession.sharedState().externalCatalog()
        self._partitioned_tables: dict[TableName, JavaObject] = {}
        self._without_rows: dict[str, DataFrame] = {}
        jvm: Any = spark.sparkContext._jvm
        jackson = jvm.com.fasterxml.jackson
        self._json = jackson.databind.ObjectMapper()
        self._json.registerModule(jackson.module.scala.DefaultScalaModule())

    def facts(self, name: TableName) -> Optional[TableFacts]:
        """The facts about a table; None if it does not exist."""
        try:
            table = self._catalog.getTable(name.database, name.name)
        except AnalysisException as exc:
            said = str(exc)
            if any(error in said for error in _NO_SUCH_TABLE):
                return None
            if "HIVE_TABLE_TYPE" not in said:
                raise
            return TableFacts(name, _MATERIALIZED_VIEW, "hive", "", (), (), RowFormat("", "", ""))
        told = self.read(table)
        schema = StructType.fromJson(told["schema"])
        provider = told["provider"] or "hive"
        return TableFacts(
            name=name,
            kind=told["tableType"]["name"],
            provider=provider,
            location=location_of(told["storage"]),
            columns=tuple((item.name, item.dataType.simpleString()) for item in schema.fields),
            partition_columns=tuple(told["partitionColumnNames"]),
            row_format=(
                RowFormat(PARQUET_SERDE, "", "", told["storage"]["properties"])
                if provider == "parquet"
                else _row_format(told["storage"])
            ),
            properties=told["properties"],
            bucket_columns=tuple(told["bucketSpec"]["bucketColumnNames"] if told["bucketSpec"] else ()),
            tracks_partitions=told["tracksPartitionsInCatalog"],
            unsupported=tuple(told["unsupportedFeatures"]),
            defaulted_columns=tuple(item.name for item in schema.fields if "EXISTS_DEFAULT" in item.metadata),
        )

    def default_location(self, name: TableName) -> str:
        """Where the job creates a missing table: under its database's directory."""
        database = self._catalog.getDatabase(name.database)
        return f"{_path(database.locationUri().toString())}/{name.name}"

    def read(self, scala_object: JavaObject) -> Any:
        """Reads a Scala collection or case class in one JVM call; a call for each value takes much longer."""
        return json.loads(self._json.writeValueAsString(scala_object))

    def partitions(self, written: Sequence[Mapping[str, Any]]) -> JavaObject:
        """Turns partitions in the form that ``read`` returns back into Spark's own, in one JVM call."""
        return self._json.readValue(json.dumps(written), self._several_partitions)

    @cached_property
    def _several_partitions(self) -> JavaObject:
        jvm: Any = self.spark.sparkContext._jvm
        names = ("scala.collection.immutable.Seq", "org.apache.spark.sql.catalyst.catalog.CatalogTablePartition")
        return self._json.getTypeFactory().constructCollectionLikeType(*map(jvm.java.lang.Class.forName, names))

    @cached_property
    def client(self) -> JavaObject:
        """Spark's metastore client: the catalog hides the parameters that Spark itself sets."""
        return self._catalog.unwrapped().client()

    @cached_property
    def metastore(self) -> MetastoreClient:
        return MetastoreClient(self.spark, self.client)

    def partitioned_table(self, name: TableName) -> JavaObject:
        """What the client needs to ask for partitions by filter: the table's name and partition columns."""
        if name not in self._partitioned_tables:
            self._partitioned_tables[name] = self.client.getRawHiveTable(name.database, name.name)
        return self._partitioned_tables[name]

    def without_rows(self, column: str) -> DataFrame:
        """A DataFrame with one text column, for filters on it. It is kept: a run makes a dozen of them."""
        if column not in self._without_rows:
            self._without_rows[column] = self.spark.range(0).select(F.lit("").alias(column))
        return self._without_rows[column]

    @cached_property
    def classes(self) -> _Classes:
        return _Classes(self.spark.sparkContext._jvm)

    def table(self, facts: TableFacts) -> HiveTable:
        return HiveTable(self, facts)

    def create_partitioned(
        self,
        name: TableName,
        columns: Sequence[Column],
        partition_column: str,
        location: str,
        like: Optional[TableFacts] = None,
    ) -> TableFacts:
        """
        Creates an external table partitioned by the text of ``partition_column``.

        It is Parquet, or has the format and own properties of ``like``.
        """
        self.spark.sql(
            sql.create_external_table(
                name,
                columns,
                partition_column,
                location,
                row_format=like.row_format if like else None,
                properties=like.own_properties if like else None,
            )
        )
        facts = self.facts(name)
        if facts is None:
            raise StateError(f"{name} was created and is gone", hint="See who dropped it, then run again")
        return facts


class HiveTable:
    """The partitions of one table: where they are, and changes to their metadata. Never touches files."""

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
        """The table's rows as they are now; refreshes what Spark has cached of the table."""
        self._spark.catalog.refreshTable(self.name.quoted)
        return self._spark.table(self.name.quoted)

    def partitions(self, wanted: Collection[Partition]) -> dict[Partition, Placement]:
        """The placement of each of ``wanted`` that exists."""
        return {each: self._placement(found) for each, found in self._listed(wanted).items()}

    def promises(self, wanted: Collection[Partition]) -> dict[Partition, RowFormat]:
        """The row format, including the partition's parameters, of each of ``wanted`` that exists."""
        return {
            each: _row_format(found["storage"], found["parameters"]) for each, found in self._listed(wanted).items()
        }

    def others_in(self, partitions: Collection[Partition]) -> dict[Partition, str]:
        """
        Locations of other partitions that overlap a standard directory of ``partitions``.

        They lie at, in or around one.
        """
        homes = Directories(map(self.home, partitions))
        return {
            partition: location
            for partition, location in self.all_locations().items()
            if partition not in partitions and homes.overlap(location)
        }

    def all_locations(self) -> dict[Partition, str]:
        """The directory of every partition that is a day or month."""
        (column,) = self.facts.partition_columns
        # Others, such as __HIVE_DEFAULT_PARTITION__, are never listed and never touched.
        return {
            Partition(value, column): location
            for (value,), location in self._owner.metastore.partitions(self.name)
            if _is_partition(value)
        }

    def all_partitions(self) -> list[Partition]:
        """Every partition that is a day or month, from the names alone."""
        everything = self._owner.classes.option.empty()
        names: list[str] = self._owner.read(
            self._catalog.listPartitionNames(self.name.database, self.name.name, everything)
        )
        (column,) = self.facts.partition_columns
        values = (unquote(name.partition("=")[2]) for name in names)
        return [Partition(value, column) for value in values if _is_partition(value)]

    def directories(self, column: Optional[str] = None, values: Collection[str] = ()) -> list[Directory]:
        """
        Every partition's directory, or the table's own if it is unpartitioned.

        With ``column``, those of the partitions that have one of ``values`` there.
        """
        if not self.facts.partition_columns:
            return [Directory(self.facts.location)]
        if column is not None:
            return [Directory(location_of(each["storage"]), each["spec"]) for each in self._having(column, values)]
        columns = self.facts.partition_columns
        listed = self._owner.metastore.partitions(self.name)
        return [Directory(location, dict(zip(columns, values))) for values, location in listed]

    def _having(self, column: str, values: Collection[str]) -> list[dict[str, Any]]:
        """
        The partitions with one of ``values`` in ``column``; the others are not read.

        Each has the fields of Spark's ``CatalogTablePartition``.
        """
        if not values:
            return []
        wanted = sorted(str(value) for value in values)
        value = F.col(column)
        among = value.isin(wanted) if len(wanted) <= sql.FILTER_PARTITIONS else value.between(wanted[0], wanted[-1])
        filtered = self._owner.without_rows(column).where(among)
        condition = filtered._jdf.queryExecution().analyzed().condition()
        table = self._owner.partitioned_table(self.name)
        found: list[dict[str, Any]] = self._owner.read(
            self._owner.client.getPartitionsByFilter(table, self._owner.classes.seq([condition]))
        )
        kept = set(wanted)
        return [each for each in found if each["spec"][column] in kept]

    def _listed(self, wanted: Collection[Partition]) -> dict[Partition, dict[str, Any]]:
        """Those of ``wanted`` that exist, with the fields of Spark's ``CatalogTablePartition``."""
        (column,) = self.facts.partition_columns
        return {Partition(each["spec"][column], column): each for each in self._having(column, wanted)}

    def _placement(self, found: Mapping[str, Any]) -> Placement:
        row_format = _row_format(found["storage"])
        differs = self.facts.provider == "hive" and row_format != self.facts.row_format
        return Placement(
            location_of(found["storage"]),
            row_format if differs else None,
            {name: value for name, value in found["parameters"].items() if name != parameters.DDL_TIME},
            found["createTime"],
            found["lastAccessTime"],
        )

    def drop(self, partitions: Sequence[Partition]) -> None:
        """Drops the metadata of those ``partitions`` that exist; their files stay."""
        for batch in sql.batches(partitions):
            if self.facts.may_delete_files:
                self._drop_retaining_data(batch)
            else:
                self._spark.sql(sql.drop_partitions(self.name, batch))

    def clear(self) -> None:
        """Drops the metadata of every partition that is a day or month; their files stay."""
        for batch in sql.batches(self.all_partitions()):
            try:
                self._owner.metastore.drop(self.name, [partition.directory for partition in batch])
            except (Py4JError, PySparkException, LookupError) as exc:
                log.debug("%s: Spark drops %s one by one: %s", self.name, counted(len(batch), "partition"), exc)
                self.drop(batch)

    def _drop_retaining_data(self, partitions: Sequence[Partition]) -> None:
        classes = self._owner.classes
        identifier = classes.table_identifier(self.name.name, classes.option.apply(self.name.database))
        ignore_missing, purge, retain_data = True, False, True
        self._spark._jsparkSession.sessionState().catalog().dropPartitions(
            identifier, classes.seq(map(classes.spec, partitions)), ignore_missing, purge, retain_data
        )

    def add(self, placements: Mapping[Partition, Placement]) -> None:
        """
        Adds those partitions that do not exist.

        Hive gives them the table's row format and the current time.
        """
        for batch in sql.batches(list(placements)):
            made = self._made({partition: placements[partition] for partition in batch})
            self._catalog.createPartitions(self.name.database, self.name.name, made, True)

    def point(self, placements: Mapping[Partition, Placement]) -> None:
        """
        Alters existing partitions to match ``placements``, in one metastore request that does all or none.

        Where the location changes, the metastore counts files and bytes itself and removes COLUMN_STATS_ACCURATE.
        """
        self._catalog.alterPartitions(self.name.database, self.name.name, self._made(placements))

    def _made(self, placements: Mapping[Partition, Placement]) -> JavaObject:
        table = self._owner.read(self._catalog.getTable(self.name.database, self.name.name).storage())
        return self._owner.partitions(
            [
                {
                    "spec": {partition.column: str(partition)},
                    "storage": {**table, **_storage(where)},
                    "parameters": dict(where.parameters or {}),
                    "createTime": where.created,
                    "lastAccessTime": where.accessed,
                    "stats": None,  # Spark would overwrite those in the parameters
                }
                for partition, where in placements.items()
            ]
        )


def _is_partition(value: str) -> bool:
    try:
        Partition(value)
    except PartitionListError:
        return False
    return True


def _path(uri: str) -> str:
    """A location as Hadoop writes paths, without percent-encoding."""
    return normal(unquote(uri))


def location_of(storage: Mapping[str, Any]) -> str:
    """The directory in the fields of a ``CatalogStorageFormat``; empty if it has none."""
    return _path(storage["locationUri"] or "")


def _row_format(storage: Mapping[str, Any], parameters: Optional[Mapping[str, str]] = None) -> RowFormat:
    return RowFormat(
        serde=storage["serde"] or "",
        input_format=storage["inputFormat"] or "",
        output_format=storage["outputFormat"] or "",
        serde_properties={**storage["properties"], **(parameters or {})},
    )


def _storage(where: Placement) -> dict[str, Any]:
    """The fields of a ``CatalogStorageFormat`` in which a partition differs from its table."""
    location = {"locationUri": quote(where.location, safe="/:@")}
    if where.row_format is None:
        return location
    return {
        **location,
        "serde": where.row_format.serde,
        "inputFormat": where.row_format.input_format,
        "outputFormat": where.row_format.output_format,
        "properties": dict(where.row_format.serde_properties),
    }
