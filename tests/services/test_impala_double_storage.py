"""The coordinator's files, and the command line of a coordinator that is a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from devtools.impala_double import ImpalaDouble, InMemoryCatalog
from devtools.impala_double.command_line import keywords, parsed
from devtools.impala_double.sasl import Kerberos
from devtools.impala_double.storage import HdfsStorage, LocalStorage
from devtools.webhdfs import WebHdfs
from tests.support.authority import Authority
from tests.support.impala_session import run

ROOT = "hdfs://127.0.0.1:1/final"
METASTORE = ("--metastore", "127.0.0.1:1")


class FakeHdfs:
    """WebHdfs without HDFS: a directory ``/final`` of ``files`` (name -> content), and what was read from it."""

    def __init__(self) -> None:
        self.files = {"part-0": b"0123"}
        self.modified = 1
        self.reads: list[str] = []

    def list(self, path: str) -> dict[str, Any]:
        directory = {"type": "DIRECTORY", "length": 0, "modificationTime": 0}
        if path == "/final/below":
            return {"part-1": self.status("/final/part-0")}
        if path != "/final":
            raise FileNotFoundError(path)
        return {"below": directory, **{name: self.status(f"{path}/{name}") for name in self.files}}

    def status(self, path: str) -> dict[str, Any]:
        content = self.files[path.rpartition("/")[2]]
        return {"type": "FILE", "length": len(content), "modificationTime": self.modified}

    def read(self, path: str) -> bytes:
        self.reads.append(path)
        return self.files[path.rpartition("/")[2]]


@pytest.fixture
def fake() -> FakeHdfs:
    return FakeHdfs()


@pytest.fixture
def on_hdfs(fake: FakeHdfs, tmp_path: Path) -> HdfsStorage:
    return HdfsStorage(cast(WebHdfs, fake), tmp_path)


def read(storage: LocalStorage, path: str) -> bytes:
    return Path(storage.readable(path, storage.stamp(path))).read_bytes()


def test_local_files_are_listed_at_any_depth_and_read_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "part-0").write_text("0123")
    (tmp_path / "below" / "deeper").mkdir(parents=True)
    (tmp_path / "below" / "deeper" / "part-1").write_text("45")
    storage = LocalStorage()
    path, deep = str(tmp_path / "part-0"), str(tmp_path / "below" / "deeper" / "part-1")
    assert storage.list(str(tmp_path)) == {path: storage.stamp(path), deep: storage.stamp(deep)}
    assert storage.stamp(path).size == 4
    assert storage.readable(path, storage.stamp(path)) == path


def test_a_directory_that_is_missing_has_no_files(tmp_path: Path, on_hdfs: HdfsStorage) -> None:
    assert on_hdfs.list(str(tmp_path / "missing")) == {}
    assert on_hdfs.list("hdfs://127.0.0.1:1/missing") == {}


def test_files_on_hdfs_are_listed_by_their_whole_names(on_hdfs: HdfsStorage) -> None:
    assert list(on_hdfs.list(ROOT)) == list(on_hdfs.list(f"{ROOT}/")) == [f"{ROOT}/below/part-1", f"{ROOT}/part-0"]


def test_a_file_on_hdfs_is_fetched_again_only_once_it_has_changed(on_hdfs: HdfsStorage, fake: FakeHdfs) -> None:
    path = f"{ROOT}/part-0"
    assert [read(on_hdfs, path) for _ in range(3)] == [b"0123"] * 3
    assert fake.reads == ["/final/part-0"]
    fake.files["part-0"], fake.modified = b"9876", 2
    assert [read(on_hdfs, path) for _ in range(2)] == [b"9876"] * 2
    assert fake.reads == ["/final/part-0"] * 2


def test_a_file_that_changes_while_it_is_read_is_an_error(on_hdfs: HdfsStorage, fake: FakeHdfs) -> None:
    stamp = on_hdfs.stamp(f"{ROOT}/part-0")
    fake.files["part-0"] = b"longer"
    with pytest.raises(OSError, match="has changed while it was read"):
        on_hdfs.readable(f"{ROOT}/part-0", stamp)


def test_a_storage_on_hdfs_has_local_files_too(on_hdfs: HdfsStorage, tmp_path: Path) -> None:
    (tmp_path / "part-0").write_text("local")
    assert list(on_hdfs.list(str(tmp_path))) == [str(tmp_path / "part-0")]
    assert read(on_hdfs, str(tmp_path / "part-0")) == b"local"


# The command line


def test_a_plain_coordinator_is_open_and_reads_local_files(tmp_path: Path) -> None:
    made = keywords(parsed([*METASTORE, "--port", "0", "--impala-version", "5.0.0"]), tmp_path)
    assert type(made.pop("storage")) is LocalStorage
    del made["catalog"]
    assert made == {"port": 0, "version": "5.0.0"}


def test_webhdfs_has_it_read_files_on_hdfs(tmp_path: Path) -> None:
    assert isinstance(keywords(parsed([*METASTORE, "--webhdfs", "9870"]), tmp_path)["storage"], HdfsStorage)


def test_a_kerberos_service_has_it_want_tickets(tmp_path: Path) -> None:
    made = keywords(parsed([*METASTORE, "--kerberos-service", "impala@localhost"]), tmp_path)
    assert isinstance(made["mechanism"], Kerberos)


@pytest.mark.parametrize(
    "words",
    [
        ["--certificate", "a"],
        ["--key", "a"],
        ["--user", "a"],
        ["--password-file", "a"],
        ["--user", "a", "--password-file", "b", "--kerberos-service", "c"],
    ],
    ids=" ".join,
)
def test_half_an_option_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed([*METASTORE, *words])
    assert words[0] in capsys.readouterr().err.splitlines()[-1]


def test_a_secured_coordinator_wants_tls_and_the_password(
    authority: Authority, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    authority.server("IP:127.0.0.1")
    (tmp_path / "password").write_text("of no worth\n")
    secured = ("--certificate", str(authority.server_certificate), "--key", str(authority.server_key))
    words = [*METASTORE, "--port", "0", *secured, "--user", "etl", "--password-file", str(tmp_path / "password")]
    auth = {"auth_mechanism": "LDAP", "user": "etl", "use_ssl": True, "ca_cert": str(authority.certificate)}
    with ImpalaDouble(**{**keywords(parsed(words), tmp_path), "catalog": catalog}) as double:
        assert run(double, "SELECT 1", password="of no worth", **auth) == [(1,)]
        assert double.journal.authenticated == ["etl"]
