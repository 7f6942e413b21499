"""
Fixtures: servers on the loopback interface that stand in for the warehouse's neighbours.
"""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import pytest

from devtools.impala_double import ImpalaDouble, InMemoryCatalog, TableInfo
from tests.support.authority import Authority
from tests.support.kdc import Kdc, require_realm
from tests.support.refreshers import eventually
from traffic_aggr.config.config import HostPort

StartImpala = Callable[..., ImpalaDouble]


@dataclass(frozen=True)
class Keys:
    """Keytabs of the principals ``etl`` and ``impala/localhost``."""

    client: Path
    server: Path


@pytest.fixture
def catalog(tmp_path: Path) -> InMemoryCatalog:
    """
    A metastore with ``mnaas.final``, delimited text partitioned by day, in ``tmp_path/final``.
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
    Starts a coordinator that asks ``catalog``; takes ImpalaDouble's keywords. All stop after the test.
    """
    with ExitStack() as running:

        def start(**options: Any) -> ImpalaDouble:
            return running.enter_context(ImpalaDouble(catalog, **options))

        yield start


@pytest.fixture
def nobody() -> Iterator[HostPort]:
    """
    An address that refuses connections: its port is taken, and nobody listens.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield HostPort("127.0.0.1", taken.getsockname()[1])


@pytest.fixture
def no_thread_left_behind(start_impala: StartImpala) -> Iterator[None]:
    """
    Asserts that no abandoned attempt keeps running.

    It looks while the servers still run, since an attempt would end when they stop.
    """
    yield
    assert eventually(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("impala ")])


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    """A Kerberos realm. Tests skip, or fail if Kerberos is required, where none can be made."""
    require_realm()
    kdc = Kdc(tmp_path_factory.mktemp("realm"))
    yield kdc
    kdc.stop()


@pytest.fixture(scope="session")
def keys(realm: Kdc) -> Keys:
    return Keys(client=realm.principal("etl"), server=realm.principal("impala/localhost"))


@pytest.fixture
def in_realm(realm: Kdc, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> Kdc:
    """Puts this process into the realm, with Impala's key but without a ticket."""
    for name, value in {**realm.environment, "KRB5_KTNAME": f"FILE:{keys.server}"}.items():
        monkeypatch.setenv(name, value)
    return realm
