"""What every file system of the job has to do, as tests that each of them inherits."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from traffic_aggr.files.local import DiskUsage, FileInfo, Files, temporaries


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(found: list[FileInfo]) -> list[str]:
    return [info.path.rsplit("/", 1)[-1] for info in found]


def data_files(directory: Path) -> list[str]:
    """Without the checksum files that Hadoop's local file system keeps."""
    return sorted(path.name for path in directory.iterdir() if path.suffix != ".crc")


class FilesBehaviour:
    """Subclasses have the fixtures ``files`` and ``root``: how the adapter calls the directory ``tmp_path``."""

    @pytest.fixture
    def files(self) -> Files:
        raise NotImplementedError

    @pytest.fixture
    def root(self, tmp_path: Path) -> str:
        raise NotImplementedError

    def test_what_was_written_is_read_back(self, files: Files, root: str) -> None:
        files.replace_bytes(f"{root}/record.json", bytes(range(256)) * 1000)
        assert files.read_bytes(f"{root}/record.json") == bytes(range(256)) * 1000

    def test_an_empty_file_can_be_written_and_read(self, files: Files, root: str) -> None:
        files.replace_bytes(f"{root}/empty", b"")
        assert files.read_bytes(f"{root}/empty") == b""

    def test_replacing_leaves_only_the_new_content(self, files: Files, root: str, tmp_path: Path) -> None:
        files.replace_bytes(f"{root}/record.json", b"a longer first content")
        files.replace_bytes(f"{root}/record.json", b"second")
        assert files.read_bytes(f"{root}/record.json") == b"second"
        assert data_files(tmp_path) == ["record.json"]

    def test_a_written_file_is_private_unless_asked_otherwise(self, files: Files, root: str, tmp_path: Path) -> None:
        files.replace_bytes(f"{root}/private", b"x")
        files.replace_bytes(f"{root}/shared", b"x", mode=0o644)
        assert (mode_of(tmp_path / "private"), mode_of(tmp_path / "shared")) == (0o600, 0o644)

    def test_writing_makes_missing_parents_private(self, files: Files, root: str, tmp_path: Path) -> None:
        files.replace_bytes(f"{root}/a/b/record.json", b"x")
        assert (mode_of(tmp_path / "a"), mode_of(tmp_path / "a/b")) == (0o700, 0o700)

    def test_a_directory_is_not_replaced_by_a_file(self, files: Files, root: str, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        with pytest.raises(IsADirectoryError):
            files.replace_bytes(f"{root}/there", b"x")
        assert data_files(tmp_path) == ["there"]

    def test_reading_a_missing_file_says_so_and_names_it(self, files: Files, root: str) -> None:
        with pytest.raises(FileNotFoundError, match="nothing-here"):
            files.read_bytes(f"{root}/nothing-here")

    def test_reading_a_directory_is_refused(self, files: Files, root: str) -> None:
        with pytest.raises(IsADirectoryError):
            files.read_bytes(root)

    def test_exclusive_creation_writes_the_first_and_refuses_the_second(
        self, files: Files, root: str, tmp_path: Path
    ) -> None:
        files.create_exclusive(f"{root}/owner", b"first")
        with pytest.raises(FileExistsError, match="owner"):
            files.create_exclusive(f"{root}/owner", b"second")
        assert files.read_bytes(f"{root}/owner") == b"first"
        assert data_files(tmp_path) == ["owner"]

    def test_existence_and_kind_are_told_apart(self, files: Files, root: str) -> None:
        files.replace_bytes(f"{root}/dir/file", b"x")
        found = {p: (files.exists(p), files.is_directory(p)) for p in (f"{root}/dir", f"{root}/dir/file", f"{root}/no")}
        assert list(found.values()) == [(True, True), (True, False), (False, False)]

    def test_a_listing_is_sorted_and_tells_size_kind_and_time(self, files: Files, root: str, tmp_path: Path) -> None:
        for name in ("b", "C", "a"):
            (tmp_path / name).write_bytes(name.encode() * 3)
            os.utime(tmp_path / name, (1_600_000_000, 1_600_000_000))
        (tmp_path / "d").mkdir()
        found = files.list(root)
        assert names(found) == ["C", "a", "b", "d"]
        assert found[1] == FileInfo(f"{root}/a", 3, False, 1_600_000_000_000)
        assert found[3].is_directory

    def test_a_listing_of_nothing_is_empty_and_of_a_missing_directory_an_error(self, files: Files, root: str) -> None:
        assert files.list(root) == []
        with pytest.raises(FileNotFoundError, match="gone"):
            files.list(f"{root}/gone")

    def test_a_file_has_no_listing(self, files: Files, root: str) -> None:
        files.replace_bytes(f"{root}/file", b"x")
        with pytest.raises(NotADirectoryError):
            files.list(f"{root}/file")

    @pytest.mark.parametrize(
        "name",
        ["p=a%3Ab", "p=a b", "p=ä", "p=100%", "p=a+b", "p=a#b?c", "p=[x]{y}*"],
        ids=["percent-encoded", "blank", "umlaut", "percent", "plus", "fragment", "pattern"],
    )
    def test_names_are_taken_literally(self, files: Files, root: str, tmp_path: Path, name: str) -> None:
        files.replace_bytes(f"{root}/{name}/part-0", b"x")
        assert data_files(tmp_path) == [name]
        assert names(files.list(root)) == [name]
        assert files.read_bytes(f"{files.list(root)[0].path}/part-0") == b"x"

    def test_walking_finds_files_at_any_depth(self, files: Files, root: str) -> None:
        for path in ("z", "a/x", "a/b/c/y", "_temporary/0/w"):
            files.replace_bytes(f"{root}/{path}", b"x")
        files.make_directories(f"{root}/empty")
        walked = [info.path[len(root) + 1 :] for info in files.walk_files(root)]
        assert sorted(walked) == ["_temporary/0/w", "a/b/c/y", "a/x", "z"]

    def test_walking_a_missing_directory_is_an_error(self, files: Files, root: str) -> None:
        with pytest.raises(FileNotFoundError):
            list(files.walk_files(f"{root}/gone"))

    def test_a_listing_by_name_takes_the_name_literally_and_forgives_a_missing_directory(
        self, files: Files, root: str, tmp_path: Path
    ) -> None:
        inside = "part [1] {a,b}*"
        for name in ("_temporary", ".hive-staging_1", "part-0"):
            (tmp_path / inside / name).mkdir(parents=True)
        found = files.beginning_with(f"{root}/{inside}", ("_temporary", ".hive-staging"))
        assert [info.path for info in found] == [f"{root}/{inside}/.hive-staging_1", f"{root}/{inside}/_temporary"]
        assert files.beginning_with(f"{root}/missing", ("_",)) == []

    def test_usage_counts_files_and_bytes_at_any_depth(self, files: Files, root: str, tmp_path: Path) -> None:
        (tmp_path / "day" / "hour").mkdir(parents=True)
        (tmp_path / "day" / "part-0").write_bytes(b"12345")
        (tmp_path / "day" / "hour" / "part-1").write_bytes(b"678")
        os.utime(tmp_path / "day", (1_600_000_000, 1_600_000_000))
        assert files.usage(f"{root}/day") == DiskUsage(files=2, bytes=8, modified=1_600_000_000_000)
        with pytest.raises(FileNotFoundError):
            files.usage(f"{root}/missing")

    def test_temporary_files_of_a_name_are_told_from_others(self, files: Files, root: str, tmp_path: Path) -> None:
        for name in (
            ".run.json.12.0123abcd.tmp",
            ".run.json.x.0123abcd.tmp",
            ".other.json.12.0123abcd.tmp",
            "run.json",
        ):
            (tmp_path / name).write_text("")
        assert names(temporaries(files, root, "run.json")) == [".run.json.12.0123abcd.tmp"]

    def test_renaming_moves_a_directory_with_all_that_is_in_it(self, files: Files, root: str) -> None:
        files.replace_bytes(f"{root}/new/sub/part-0", b"rows")
        files.rename(f"{root}/new", f"{root}/day")
        assert files.read_bytes(f"{root}/day/sub/part-0") == b"rows"
        assert not files.exists(f"{root}/new")

    def test_renaming_moves_a_file(self, files: Files, root: str, tmp_path: Path) -> None:
        files.replace_bytes(f"{root}/a", b"x")
        files.rename(f"{root}/a", f"{root}/b")
        assert data_files(tmp_path) == ["b"]

    def test_renaming_makes_missing_parents_with_the_permissions_of_the_nearest(
        self, files: Files, root: str, tmp_path: Path
    ) -> None:
        (tmp_path / "table").mkdir()
        (tmp_path / "table").chmod(0o750)
        files.make_directories(f"{root}/new")
        files.rename(f"{root}/new", f"{root}/table/run/old/day")
        assert [mode_of(tmp_path / p) for p in ("table/run", "table/run/old")] == [0o750, 0o750]

    @pytest.mark.parametrize("occupied_by", ["file", "full directory", "empty directory"])
    def test_renaming_never_touches_what_is_at_the_new_name(
        self, files: Files, root: str, tmp_path: Path, occupied_by: str
    ) -> None:
        files.replace_bytes(f"{root}/new/part-0", b"rows")
        if occupied_by == "file":
            files.replace_bytes(f"{root}/day", b"other")
        else:
            files.make_directories(f"{root}/day")
        if occupied_by == "full directory":
            files.replace_bytes(f"{root}/day/part-9", b"other")
        before = sorted(str(path) for path in tmp_path.rglob("*"))
        with pytest.raises(FileExistsError, match="day"):
            files.rename(f"{root}/new", f"{root}/day")
        assert sorted(str(path) for path in tmp_path.rglob("*")) == before

    def test_renaming_something_missing_says_so_and_makes_nothing(
        self, files: Files, root: str, tmp_path: Path
    ) -> None:
        with pytest.raises(FileNotFoundError, match="gone"):
            files.rename(f"{root}/gone", f"{root}/parent/day")
        assert data_files(tmp_path) == []

    def test_a_file_in_the_way_of_a_parent_is_an_error(self, files: Files, root: str) -> None:
        files.replace_bytes(f"{root}/file", b"x")
        files.make_directories(f"{root}/new")
        with pytest.raises(OSError, match="file"):
            files.rename(f"{root}/new", f"{root}/file/day")
        assert files.is_directory(f"{root}/new")

    def test_directories_are_made_private_without_a_model(self, files: Files, root: str, tmp_path: Path) -> None:
        files.make_directories(f"{root}/state/runs")
        assert (mode_of(tmp_path / "state"), mode_of(tmp_path / "state/runs")) == (0o700, 0o700)

    def test_every_new_directory_takes_mode_and_group_of_its_model(
        self, files: Files, root: str, tmp_path: Path
    ) -> None:
        model = tmp_path / "day"
        model.mkdir()
        if os.geteuid() == 0:
            os.chown(model, -1, 1)
        model.chmod(0o1771)
        files.make_directories(f"{root}/run/days", like=f"{root}/day")
        for made in (tmp_path / "run", tmp_path / "run/days"):
            assert (mode_of(made), made.stat().st_gid) == (0o1771, model.stat().st_gid)

    def test_a_directory_that_is_there_keeps_its_mode(self, files: Files, root: str, tmp_path: Path) -> None:
        for name, mode in (("model", 0o700), ("there", 0o755)):
            (tmp_path / name).mkdir()
            (tmp_path / name).chmod(mode)
        files.make_directories(f"{root}/there", like=f"{root}/model")
        assert mode_of(tmp_path / "there") == 0o755

    def test_a_directory_is_not_made_over_a_file(self, files: Files, root: str) -> None:
        files.replace_bytes(f"{root}/file", b"x")
        with pytest.raises(FileExistsError):
            files.make_directories(f"{root}/file")

    def test_a_missing_model_is_an_error(self, files: Files, root: str, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="model"):
            files.make_directories(f"{root}/new", like=f"{root}/model")
        assert data_files(tmp_path) == []

    def test_deleting_takes_trees_and_files_and_forgives_missing_ones(
        self, files: Files, root: str, tmp_path: Path
    ) -> None:
        files.replace_bytes(f"{root}/tree/deep/part", b"x")
        files.replace_bytes(f"{root}/file", b"x")
        for path in ("tree", "file", "never-there"):
            files.delete_tree(f"{root}/{path}")
        assert data_files(tmp_path) == []

    def test_deleting_does_not_follow_symbolic_links(self, files: Files, root: str, tmp_path: Path) -> None:
        (tmp_path / "tree").mkdir()
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious/data").write_bytes(b"x")
        (tmp_path / "tree/link").symlink_to(tmp_path / "precious")
        files.delete_tree(f"{root}/tree")
        assert (tmp_path / "precious/data").read_bytes() == b"x"

    def test_free_space_is_that_of_the_file_system_also_for_a_path_yet_to_be_made(
        self, files: Files, root: str, tmp_path: Path
    ) -> None:
        total = os.statvfs(tmp_path).f_frsize * os.statvfs(tmp_path).f_blocks
        assert 0 < files.free_bytes(f"{root}/not/yet") <= total

    def test_permissions_are_copied_to_directories_and_without_execute_bits_to_files(
        self, files: Files, root: str, tmp_path: Path
    ) -> None:
        (tmp_path / "old").mkdir()
        (tmp_path / "old").chmod(0o755)
        files.replace_bytes(f"{root}/new/sub/part-0", b"x")
        files.copy_permissions(f"{root}/old", f"{root}/new")
        assert [mode_of(tmp_path / p) for p in ("new", "new/sub", "new/sub/part-0")] == [0o755, 0o755, 0o644]
