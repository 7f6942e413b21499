"""
Requests to the metastore about many partitions, which Spark's own client answers slowly.

Spark turns each partition of a list into objects of Hive's and of its own (0.6 ms each), and drops partitions one by
one (20 ms each). These send one request through Hive's client, which Spark's holds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from traffic_aggr.hive.layout import normal
from traffic_aggr.hive.sql import TableName

if TYPE_CHECKING:
    from py4j.java_gateway import JavaObject
    from pyspark.sql import SparkSession

_UNREAD = {"parameters", "privileges", "cols", "serdeInfo", "skewedInfo", "bucketCols", "sortCols"}
"""Fields of Thrift's structures that nobody needs here: each partition comes with all columns of its table."""

_WRAPPED = {"RetryingMetaStoreClient": "base", "SynchronizedHandler": "client"}
"""The private field in which each kind of proxy has the client that it calls."""


class MetastoreClient:
    """Hive's client behind Spark's. ``client`` is Spark's ``HiveClientImpl``."""

    def __init__(self, spark: SparkSession, client: JavaObject) -> None:
        self._jvm: Any = spark.sparkContext._jvm
        self._client = client

    def partitions(self, table: TableName) -> list[tuple[list[str], str]]:
        """The values and the directory of every partition of ``table``; the directory is empty if it has none."""
        no_limit = -1
        found = self._hive.listPartitions(table.database, table.name, no_limit)
        if found.isEmpty():
            return []
        first = found.get(0)
        mapper = self._mapper_without(_UNREAD, [first.getClass(), first.getSd().getClass()])
        listed = json.loads(mapper.writeValueAsString(found))
        return [(each["values"], normal(each["sd"]["location"] or "")) for each in listed]

    def drop(self, table: TableName, names: list[str]) -> None:
        """
        Drops the metadata of the partitions with ``names`` that exist, all or none.

        Raises Py4JError or PySparkException if the request fails, LookupError or one of these if this version of Hive's
        client is made of other parts.
        """
        api = self._jvm.org.apache.hadoop.hive.metastore.api
        request = api.DropPartitionsRequest(table.database, table.name, api.RequestPartsSpec.names(names))
        request.setDeleteData(False)
        request.setIfExists(True)
        request.setNeedResult(False)
        self._thrift.drop_partitions_req(request)

    @property
    def _hive(self) -> JavaObject:
        """
        Hive's ``IMetaStoreClient``.

        ``Hive.get()`` would open another metastore in a thread in which Spark has not asked its own yet.
        """
        return self._lang3.reflect.MethodUtils.invokeMethod(self._client, True, "client").getMSC()

    @property
    def _thrift(self) -> JavaObject:
        """The Thrift client, which has requests that ``IMetaStoreClient`` lacks."""
        proxy, read = self._jvm.java.lang.reflect.Proxy, self._lang3.reflect.FieldUtils.readField
        client = self._hive
        while proxy.isProxyClass(client.getClass()):
            handler = proxy.getInvocationHandler(client)
            client = read(handler, _WRAPPED[handler.getClass().getSimpleName()], True)
        return read(client, "client", True)

    @property
    def _lang3(self) -> Any:
        return self._jvm.org.apache.commons.lang3

    def _mapper_without(self, names: set[str], classes: Sequence[JavaObject]) -> JavaObject:
        """A mapper that writes the fields of Thrift's structures ``classes`` as JSON, except those with ``names``."""
        jackson = self._jvm.com.fasterxml.jackson
        mapper, access = jackson.databind.ObjectMapper(), jackson.annotation.PropertyAccessor
        visible = getattr(jackson.annotation, "JsonAutoDetect$Visibility")
        mapper.setVisibility(access.ALL, visible.NONE)
        mapper.setVisibility(access.FIELD, visible.ANY)
        ignored = getattr(jackson.annotation, "JsonIgnoreProperties$Value").forIgnoredProperties(names)
        for each in classes:
            mapper.configOverride(each).setIgnorals(ignored)
        return mapper
