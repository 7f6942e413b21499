"""
Servers on the loopback interface that stand in for the warehouse's neighbours.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable

import pytest

from devtools.impala_double import ImpalaDouble, InMemoryCatalog, TableInfo
from traffic_aggr.config import HostPort

StartImpala = Callable[..., ImpalaDouble]


@pytest.fixture
def catalog(tmp_path: Path) -> InMemoryCatalog:
    """
    A metastore with ``mnaas.final``, delimited text, partitioned by day, of one column, in ``tmp_path/final``.
    """
    catalog = InMemoryCatalog()
    info = TableInfo(
        columns=(("msisdn", "string"), ("data_usage_in_kb", "decimal(28,10)")),
        format="text",
        location=str(tmp_path / "final"),
        partition_columns=("partition_date",),
        serde={"field.delim": ";"},
    )
    catalog.create("mnaas", "final", info)
    return catalog


@pytest.fixture
def start_impala(catalog: InMemoryCatalog) -> Iterator[StartImpala]:
    """
    Starts a coordinator that asks ``catalog``; takes ImpalaDouble's keywords. All are stopped after the test.
    """
    with ExitStack() as running:

        def start(**options: Any) -> ImpalaDouble:
            return running.enter_context(ImpalaDouble(catalog, **options))

        yield start


@pytest.fixture
def nobody() -> Iterator[HostPort]:
    """
    An address where connections are refused: its port is taken, and nobody listens.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield HostPort("127.0.0.1", taken.getsockname()[1])
