"""
Asks the metastore over its Thrift protocol, for a coordinator in another process than the job.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

from impala._thrift_gen.hive_metastore import ThriftHiveMetastore
from impala._thrift_gen.hive_metastore.ttypes import NoSuchObjectException
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport

from devtools.impala_double.catalog import STRING, TableInfo, data_format, path_of

TIMEOUT_MS = 60_000


class ThriftMetastoreCatalog:
    """The Hive metastore server at ``host`` and ``port``, without SASL. Each question opens a connection."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    def tables(self) -> set[tuple[str, str]]:
        with self.client() as client:
            return {
                (database, name) for database in client.get_all_databases() for name in client.get_all_tables(database)
            }

    def table(self, database: str, name: str) -> Optional[TableInfo]:
        with self.client() as client:
            try:
                found = client.get_table(database, name)
            except NoSuchObjectException:
                return None
        return TableInfo(
            columns=tuple((column.name, column.type) for column in found.sd.cols),
            format=data_format(found.sd.inputFormat),
            location=path_of(found.sd.location, quoted=False),
            partition_columns=tuple(column.name for column in found.partitionKeys),
            serde=dict(found.sd.serdeInfo.parameters or {}),
            partition_types={column.name: column.type for column in found.partitionKeys if column.type != STRING},
        )

    def partitions(self, database: str, name: str) -> dict[str, str]:
        with self.client() as client:
            found = client.get_partitions(database, name, -1)
        return {"/".join(part.values): path_of(part.sd.location, quoted=False) for part in found}

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Yields a connected client of the metastore's Thrift protocol."""
        socket = TSocket(self._host, self._port)
        socket.setTimeout(TIMEOUT_MS)
        transport = TBufferedTransport(socket)
        transport.open()
        try:
            yield ThriftHiveMetastore.Client(TBinaryProtocol(transport))
        finally:
            transport.close()
