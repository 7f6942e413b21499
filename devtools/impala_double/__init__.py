"""
A stand-in for an Impala coordinator that speaks HiveServer2's protocol.

Like Impala, it knows tables, partitions and files only as of the last REFRESH or INVALIDATE METADATA. It reads the data
files itself, and can be told to fail in the ways in which networks and servers fail.

    catalog.py    what the metastore knows; metastore_catalog.py and spark_catalog.py ask it
    storage.py    data files: local ones, and those on HDFS
    cache.py      what the coordinator knows: the effect of REFRESH and INVALIDATE METADATA
    datafiles.py  rows of Parquet files and of delimited text
    queries.py    SELECTs over those rows, answered by DuckDB
    metadata.py   REFRESH, INVALIDATE METADATA and SHOW PARTITIONS
    statements.py the few statements it understands
    service.py    sessions and operations: the HiveServer2 calls
    results.py    result sets as HiveServer2 sends them
    faults.py     what goes wrong, and when
    sasl.py       who the client is: PLAIN and GSSAPI
    gss_messages.py  what GSSAPI needs beyond the package kerberos
    server.py     sockets, TLS, and the faults on the wire
    command_line.py  options of a coordinator that runs as a process of its own
"""

from __future__ import annotations

from devtools.impala_double.catalog import Catalog, InMemoryCatalog, TableInfo
from devtools.impala_double.faults import (
    DRIP,
    DROP,
    HANG,
    HANG_UP,
    LOSE_ANSWER,
    Answer,
    EndIn,
    Fault,
    Refuse,
)
from devtools.impala_double.server import ImpalaDouble
from devtools.impala_double.service import Received

__all__ = [
    "DRIP",
    "DROP",
    "HANG",
    "HANG_UP",
    "LOSE_ANSWER",
    "Answer",
    "Catalog",
    "EndIn",
    "Fault",
    "ImpalaDouble",
    "InMemoryCatalog",
    "Received",
    "Refuse",
    "TableInfo",
]
