"""
HadoopFiles over Hadoop's local file system, and, for what only HDFS does, over one that is compiled here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.files_behaviour import FilesBehaviour, mode_of
from traffic_aggr.files.hadoop import HadoopFiles
from traffic_aggr.files.local import Files

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# A file system that remembers ACLs as HDFS does (setAcl wants the base entries, getAclStatus leaves them out; a file
# takes no default entries), keeps three replicas, and denies what is named "forbidden".
ACL_FILE_SYSTEM = """
package traffic;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.AclEntry;
import org.apache.hadoop.fs.permission.AclEntryScope;
import org.apache.hadoop.fs.permission.AclEntryType;
import org.apache.hadoop.fs.permission.AclStatus;

public class AclFileSystem extends RawLocalFileSystem {
    static final Map ACLS = new HashMap();

    public boolean exists(Path path) throws IOException {
        try {
            getFileStatus(path);
            return true;
        } catch (java.io.FileNotFoundException exc) {
            return false;
        }
    }

    public FileStatus getFileStatus(Path path) throws IOException {
        if (path.getName().equals("forbidden")) {
            throw new org.apache.hadoop.security.AccessControlException("Permission denied: user=etl\\n\\tat server");
        }
        FileStatus found = super.getFileStatus(path);
        return new FileStatus(found.getLen(), found.isDirectory(), 1, 1, found.getModificationTime(), 0,
            found.getPermission(), found.getOwner(), found.getGroup(), null, found.getPath(),
            FileStatus.attributes(ACLS.containsKey(path.toUri().getPath()), false, false, false));
    }

    public void setAcl(Path path, List spec) throws IOException {
        boolean base = false;
        List kept = new ArrayList();
        for (int i = 0; i < spec.size(); i++) {
            AclEntry entry = (AclEntry) spec.get(i);
            boolean isDefault = entry.getScope() == AclEntryScope.DEFAULT;
            if (isDefault && !super.getFileStatus(path).isDirectory()) {
                throw new IOException("Invalid ACL: only directories may have a default ACL.");
            }
            if (!isDefault && entry.getType() == AclEntryType.OTHER) base = true;
            boolean named = entry.getName() != null || entry.getType() == AclEntryType.GROUP;
            if (isDefault || named) kept.add(entry);
        }
        if (!base) throw new IOException("Invalid ACL: the user, group and other entries are required.");
        ACLS.put(path.toUri().getPath(), kept);
    }

    public void removeAcl(Path path) { ACLS.remove(path.toUri().getPath()); }

    public AclStatus getAclStatus(Path path) {
        List entries = (List) ACLS.get(path.toUri().getPath());
        return new AclStatus.Builder().owner("o").group("g").addEntries(entries).build();
    }

    public org.apache.hadoop.fs.FsStatus getStatus(Path path) {
        return new org.apache.hadoop.fs.FsStatus(9000L, 0L, 9000L);
    }

    public short getDefaultReplication(Path path) { return (short) 3; }
}
"""


@pytest.fixture
def hadoop(spark: SparkSession) -> HadoopFiles:
    return HadoopFiles(spark._jvm, spark._jsc.hadoopConfiguration())


class TestHadoopFiles(FilesBehaviour):
    @pytest.fixture
    def files(self, hadoop: HadoopFiles) -> Files:
        return hadoop

    @pytest.fixture
    def root(self, tmp_path: Path) -> str:
        return f"file:{tmp_path}"


@pytest.fixture
def jvm(spark: SparkSession) -> Any:
    return spark._jvm


@pytest.fixture(scope="module")
def acl_files(spark: SparkSession) -> HadoopFiles:
    """Over the file system above. Compiled once: py4j remembers the methods of a class by its name."""
    jvm: Any = spark._jvm
    compiler = jvm.org.codehaus.janino.SimpleCompiler()
    compiler.cook(ACL_FILE_SYSTEM)
    conf = jvm.org.apache.hadoop.conf.Configuration(False)
    conf.setClassLoader(compiler.getClassLoader())
    conf.set("fs.file.impl", "traffic.AclFileSystem")
    conf.setBoolean("fs.file.impl.disable.cache", True)
    return HadoopFiles(jvm, conf)


def set_acl(files: HadoopFiles, jvm: Any, uri: str, spec: str) -> None:
    path, system = files._locate(uri)
    system.setAcl(path, jvm.org.apache.hadoop.fs.permission.AclEntry.parseAclSpec(spec, True))


def acl_of(files: HadoopFiles, uri: str) -> str:
    path, system = files._locate(uri)
    if not system.getFileStatus(path).hasAcl():
        return ""
    return ",".join(entry.toString() for entry in system.getAclStatus(path).getEntries())


def test_new_directories_take_the_acl_of_their_model(acl_files: HadoopFiles, jvm: Any, tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    (tmp_path / "day").chmod(0o770)
    spec = "user::rwx,user:impala:r-x,group::r-x,mask::rwx,other::---,default:user:impala:r-x"
    set_acl(acl_files, jvm, f"file:{tmp_path}/day", spec)
    acl_files.make_directories(f"file:{tmp_path}/run/new", like=f"file:{tmp_path}/day")
    expected = acl_of(acl_files, f"file:{tmp_path}/day")
    assert "user:impala:r-x" in expected
    assert [acl_of(acl_files, f"file:{tmp_path}/{p}") for p in ("run", "run/new")] == [expected, expected]
    assert mode_of(tmp_path / "run/new") == 0o770


def test_files_take_an_acl_without_its_default_entries(acl_files: HadoopFiles, jvm: Any, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "new/part-0").touch()
    spec = "user::rwx,user:impala:r-x,group::r-x,mask::rwx,other::---,default:user:impala:r-x"
    set_acl(acl_files, jvm, f"file:{tmp_path}/old", spec)
    acl_files.copy_permissions(f"file:{tmp_path}/old", f"file:{tmp_path}/new")
    assert "default:" in acl_of(acl_files, f"file:{tmp_path}/new")
    found = acl_of(acl_files, f"file:{tmp_path}/new/part-0")
    assert "user:impala:r-x" in found
    assert "default:" not in found


def test_an_inherited_acl_is_taken_away_where_the_model_has_none(
    acl_files: HadoopFiles, jvm: Any, tmp_path: Path
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    set_acl(acl_files, jvm, f"file:{tmp_path}/new", "user::rwx,user:eve:rwx,group::r-x,mask::rwx,other::---")
    acl_files.copy_permissions(f"file:{tmp_path}/old", f"file:{tmp_path}/new")
    assert acl_of(acl_files, f"file:{tmp_path}/new") == ""


def test_free_space_counts_every_replica(acl_files: HadoopFiles, tmp_path: Path) -> None:
    assert acl_files.free_bytes(f"file:{tmp_path}") == 3000


def test_a_denied_access_is_a_permission_error_and_never_a_missing_file(acl_files: HadoopFiles, tmp_path: Path) -> None:
    for call in (acl_files.exists, acl_files.is_directory, acl_files.list, acl_files.read_bytes):
        with pytest.raises(PermissionError, match="user=etl") as caught:
            call(f"file:{tmp_path}/forbidden")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("nosuch://host/x", "nosuch"),
        ("hdfs://no-such-host.invalid/x", "no-such-host"),
        ("hdfs://127.0.0.1:1/x", "refused"),
    ],
    ids=["unknown scheme", "unknown host", "refused connection"],
)
def test_an_unreachable_file_system_is_an_os_error_that_says_why(hadoop: HadoopFiles, uri: str, said: str) -> None:
    with pytest.raises(OSError, match=said):
        hadoop.exists(uri)


def test_a_rename_that_hadoop_only_answers_with_false_is_an_error(hadoop: HadoopFiles, tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    with pytest.raises(OSError, match="b/inside"):
        hadoop.rename(f"file:{tmp_path}/a", f"file:{tmp_path}/a/b/inside")
    assert (tmp_path / "a/b").is_dir()
