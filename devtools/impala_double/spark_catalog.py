"""
The metastore asked through a running Spark session, also an embedded one that no other process can open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from devtools.impala_double.catalog import STRING, TableInfo, data_format, path_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HIDDEN_DATABASES = frozenset({"global_temp"})


class SparkCatalog:
    """
    The external catalog of ``spark``: what its metastore says now, whatever the session has cached.

    The coordinator's threads call it while the main thread uses the session; py4j gives each thread its own connection.
    """

    def __init__(self, spark: SparkSession) -> None:
        session: Any = spark
        self._catalog = session._jsparkSession.sharedState().externalCatalog()
        self._java = session.sparkContext._jvm
        self._convert = self._java.scala.collection.JavaConverters

    def tables(self) -> set[tuple[str, str]]:
        databases = (name for name in self._list(self._catalog.listDatabases()) if name not in HIDDEN_DATABASES)
        return {(database, name) for database in databases for name in self._list(self._catalog.listTables(database))}

    def table(self, database: str, name: str) -> Optional[TableInfo]:
        if not self._catalog.tableExists(database, name):
            return None
        found = self._catalog.getTable(database, name)
        storage = found.storage()
        location, input_format = storage.locationUri(), storage.inputFormat()
        partition_columns = tuple(self._list(found.partitionColumnNames()))
        fields = [(field.name(), field.dataType().simpleString()) for field in found.schema().fields()]
        return TableInfo(
            columns=tuple((column, kind) for column, kind in fields if column not in partition_columns),
            format=data_format(input_format.get() if input_format.isDefined() else ""),
            location=path_of(location.get().toString(), quoted=True) if location.isDefined() else "",
            partition_columns=partition_columns,
            serde=self._dict(storage.properties()),
            partition_types={column: kind for column, kind in fields if column in partition_columns and kind != STRING},
        )

    def partitions(self, database: str, name: str) -> dict[str, str]:
        columns = self._list(self._catalog.getTable(database, name).partitionColumnNames())
        if not columns:
            return {}
        everything = self._java.scala.Option.empty()
        found = self._list(self._catalog.listPartitions(database, name, everything))
        return {
            "/".join(self._dict(partition.spec())[column] for column in columns): path_of(
                partition.location().toString(), quoted=True
            )
            for partition in found
        }

    def _list(self, sequence: Any) -> list[Any]:
        return list(self._convert.seqAsJavaList(sequence))

    def _dict(self, mapping: Any) -> dict[str, str]:
        return dict(self._convert.mapAsJavaMap(mapping))
