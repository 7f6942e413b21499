"""HadoopFiles over HDFS itself, behaving as every file adapter does."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from devtools.cluster import Cluster
from devtools.webhdfs import WebHdfs
from tests.support.files_behaviour import FilesBehaviour, mode_of, names
from traffic_aggr.files.hadoop import HadoopFiles
from traffic_aggr.files.local import DiskUsage, FileInfo, Files

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LONG_AGO_MS = 1_600_000_000_000


class HdfsPath:
    """What the tests want of a ``pathlib.Path``, for a path on HDFS, and apart from the adapter that is tested."""

    def __init__(self, hdfs: WebHdfs, path: str) -> None:
        self.hdfs = hdfs
        self.path = path
        self.name = PurePosixPath(path).name
        self.suffix = PurePosixPath(path).suffix

    def __str__(self) -> str:
        return self.path

    def __truediv__(self, below: str) -> HdfsPath:
        return HdfsPath(self.hdfs, f"{self.path}/{below}")

    def mkdir(self, parents: bool = False) -> None:
        self.hdfs.make_directories(self.path)

    def write_bytes(self, content: bytes) -> None:
        self.hdfs.write(self.path, content)

    def write_text(self, content: str) -> None:
        self.write_bytes(content.encode())

    def chmod(self, mode: int) -> None:
        self.hdfs.set_mode(self.path, mode)

    def stat(self) -> os.stat_result:
        return os.stat_result((int(self.hdfs.status(self.path)["permission"], 8), *[0] * 9))

    def is_dir(self) -> bool:
        return bool(self.hdfs.status(self.path)["type"] == "DIRECTORY")

    def iterdir(self) -> Iterator[HdfsPath]:
        return (self / name for name in self.hdfs.list(self.path))

    def rglob(self, pattern: str) -> Iterator[HdfsPath]:
        assert pattern == "*"
        for below in self.iterdir():
            yield below
            if below.is_dir():
                yield from below.rglob(pattern)


class TestFilesOnHdfs(FilesBehaviour):
    @pytest.fixture
    def files(self, spark: SparkSession, cluster: Cluster) -> Files:
        jvm: Any = spark._jvm
        conf = jvm.org.apache.hadoop.conf.Configuration()
        for name in ("core-site.xml", "hdfs-site.xml"):
            conf.addResource(jvm.org.apache.hadoop.fs.Path((cluster.conf / name).as_uri()))
        return HadoopFiles(jvm, conf)

    @pytest.fixture
    def tmp_path(self, cluster: Cluster) -> HdfsPath:
        made = HdfsPath(cluster.hadoop.hdfs, f"/tmp/files/{uuid.uuid4().hex}")
        made.mkdir()
        return made

    @pytest.fixture
    def root(self, cluster: Cluster, tmp_path: HdfsPath) -> str:
        return f"{cluster.hadoop.hdfs_uri}{tmp_path}"

    def test_a_listing_is_sorted_and_tells_size_kind_and_time(
        self, files: Files, root: str, tmp_path: HdfsPath
    ) -> None:
        for name in ("b", "C", "a"):
            (tmp_path / name).write_bytes(name.encode() * 3)
            tmp_path.hdfs.set_times(f"{tmp_path}/{name}", LONG_AGO_MS)
        (tmp_path / "d").mkdir()
        found = files.list(root)
        assert names(found) == ["C", "a", "b", "d"]
        assert found[1] == FileInfo(f"{root}/a", 3, False, LONG_AGO_MS)
        assert found[3].is_directory

    def test_usage_counts_files_and_bytes_at_any_depth(self, files: Files, root: str, tmp_path: HdfsPath) -> None:
        (tmp_path / "day/part-0").write_bytes(b"12345")
        (tmp_path / "day/hour/part-1").write_bytes(b"678")
        tmp_path.hdfs.set_times(f"{tmp_path}/day", LONG_AGO_MS)
        assert files.usage(f"{root}/day") == DiskUsage(files=2, bytes=8, modified=LONG_AGO_MS)
        with pytest.raises(FileNotFoundError):
            files.usage(f"{root}/missing")

    def test_every_new_directory_takes_mode_and_group_of_its_model(
        self, files: Files, root: str, tmp_path: HdfsPath
    ) -> None:
        hdfs = tmp_path.hdfs
        hdfs.make_directories(f"{tmp_path}/day", 0o1771, group="analysts")
        files.make_directories(f"{root}/run/days", like=f"{root}/day")
        for made in (tmp_path / "run", tmp_path / "run/days"):
            assert (mode_of(made), hdfs.status(str(made))["group"]) == (0o1771, "analysts")

    def test_free_space_is_that_of_the_file_system_also_for_a_path_yet_to_be_made(
        self, files: Files, root: str, tmp_path: HdfsPath
    ) -> None:
        free = files.free_bytes(f"{root}/not/yet")
        assert free > 0
        assert files.free_bytes(root) == pytest.approx(free, rel=0.1), "the disk is shared, its free space changes"

    test_deleting_does_not_follow_symbolic_links = None  # HDFS has none
