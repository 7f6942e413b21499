"""
Asks the metastore through a running Spark session, even an embedded one that no other process can open.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Optional

from pyspark.sql.types import StructType

from devtools.impala_double.catalog import STRING, TableInfo, data_format, path_of
from traffic_aggr.hive.catalog import HiveCatalog

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
        self._nothing = session.sparkContext._jvm.scala.Option.empty()
        self._read = HiveCatalog(spark).read

    def tables(self) -> set[tuple[str, str]]:
        databases = (name for name in self._read(self._catalog.listDatabases()) if name not in HIDDEN_DATABASES)
        return {(database, name) for database in databases for name in self._read(self._catalog.listTables(database))}

    def table(self, database: str, name: str) -> Optional[TableInfo]:
        if not self._catalog.tableExists(database, name):
            return None
        found = self._catalog.getTable(database, name)
        storage = self._read(found.storage())
        partition_columns = tuple(self._read(found.partitionColumnNames()))
        schema = StructType.fromJson(json.loads(found.schema().json()))
        fields = [(field.name, field.dataType.simpleString()) for field in schema.fields]
        return TableInfo(
            columns=tuple((column, kind) for column, kind in fields if column not in partition_columns),
            format=data_format(storage["inputFormat"] or ""),
            location=path_of(storage["locationUri"] or "", quoted=True),
            partition_columns=partition_columns,
            serde=storage["properties"],
            partition_types={column: kind for column, kind in fields if column in partition_columns and kind != STRING},
        )

    def partitions(self, database: str, name: str) -> dict[str, str]:
        columns = self._read(self._catalog.getTable(database, name).partitionColumnNames())
        if not columns:
            return {}
        return {
            "/".join(found["spec"][column] for column in columns): path_of(found["storage"]["locationUri"], quoted=True)
            for found in self._read(self._catalog.listPartitions(database, name, self._nothing))
        }
