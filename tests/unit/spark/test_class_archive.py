"""When the archive of Spark's classes is used, and what is left of one that was not made."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Optional

import pytest

from traffic_aggr.errors import InputError
from traffic_aggr.spark.class_archive import ClassArchive

WHOLE = b"\xde\xad\xca\xfe and Spark's classes"


JAVA_AND_SPARK = {
    "java/bin/java": "",
    "java/release": "17.0.15",
    "java/lib/server/classes.jsa": "Java's own classes",
    "spark/jars/core.jar": "classes",
}


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python environment without an archive."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    return tmp_path / "venv"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One Java and one Spark of one jar."""
    for path, text in JAVA_AND_SPARK.items():
        made = tmp_path / path
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text)
        made.chmod(0o755)
    return {"JAVA_HOME": str(tmp_path / "java"), "SPARK_HOME": str(tmp_path / "spark"), "PATH": "/usr/bin"}


@pytest.fixture
def archive(prefix: Path, environment: dict[str, str]) -> ClassArchive:
    return ClassArchive({}, [], environment)


def make(archive: ClassArchive, content: Optional[bytes] = WHOLE) -> None:
    with archive.made() as option:
        if content is not None:
            Path(option.partition("=")[2]).write_bytes(content)


def test_an_archive_is_used_once_it_was_made(archive: ClassArchive) -> None:
    assert archive.options == ()
    make(archive)
    assert archive.options == (f"-XX:SharedArchiveFile={archive.path}",)
    assert archive.path.read_bytes() == WHOLE


def changed_jar(archive: ClassArchive) -> None:
    Path(archive.environment["SPARK_HOME"], "jars", "core.jar").write_text("CLASSES")


def touched_jar(archive: ClassArchive) -> None:
    os.utime(Path(archive.environment["SPARK_HOME"], "jars", "core.jar"), ns=(1, 1))


def another_jar(archive: ClassArchive) -> None:
    Path(archive.environment["SPARK_HOME"], "jars", "more.jar").write_text("classes")


def another_java(archive: ClassArchive) -> None:
    Path(archive.environment["JAVA_HOME"], "release").write_text("17.0.16")


def damaged(archive: ClassArchive) -> None:
    archive.path.write_bytes(WHOLE[:-1] + b"?")


def truncated(archive: ClassArchive) -> None:
    archive.path.write_bytes(WHOLE[:-1])


def gone(archive: ClassArchive) -> None:
    archive.path.unlink()


def damaged_note(archive: ClassArchive) -> None:
    archive.path.with_suffix(".json").write_text("{")


@pytest.mark.parametrize(
    "change",
    [changed_jar, touched_jar, another_jar, another_java, damaged, truncated, gone, damaged_note],
    ids=lambda change: change.__name__,
)
def test_an_archive_that_does_not_fit_is_unused(archive: ClassArchive, change: Callable[[ClassArchive], None]) -> None:
    make(archive)
    change(archive)
    assert archive.options == ()
    make(archive)
    assert archive.options != ()


@pytest.mark.parametrize("option", ["-XX:SharedArchiveFile=mine", "-XX:ArchiveClassesAtExit=mine", "-Xshare:off"])
def test_an_archive_that_the_user_has_chosen_wins(archive: ClassArchive, option: str) -> None:
    make(archive)
    for own in (
        ClassArchive({"spark.driver.extraJavaOptions": option}, [], archive.environment),
        ClassArchive({}, ["--driver-java-options", option], archive.environment),
        ClassArchive({}, [], {**archive.environment, "SPARK_SUBMIT_OPTS": option}),
    ):
        assert own.options == ()


def test_a_jar_in_front_of_spark_s_makes_another_class_path(archive: ClassArchive) -> None:
    make(archive)
    assert ClassArchive({"spark.driver.extraClassPath": "/engine.jar"}, [], archive.environment).options == ()
    assert ClassArchive({}, [], {**archive.environment, "HADOOP_CONF_DIR": "/etc/hadoop/conf"}).options != ()


def test_a_java_without_an_archive_of_its_own_makes_none(archive: ClassArchive) -> None:
    Path(archive.environment["JAVA_HOME"], "lib", "server", "classes.jsa").unlink()
    with pytest.raises(InputError, match="without an archive of its own"), archive.made():
        pytest.fail("began")


def test_java_archives_nothing_behind_a_directory_of_files(archive: ClassArchive, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    own = ClassArchive({}, [], {**archive.environment, "SPARK_CONF_DIR": str(site)})
    make(own)
    (site / "spark-defaults.conf").touch()
    with pytest.raises(InputError, match=r"Java archives no classes .*/site"), own.made():
        pytest.fail("began")


@pytest.mark.parametrize("content", [None, b"", b"\0\0\0\0 a header that was never written"])
def test_an_archive_that_java_has_not_completed_is_not_kept(archive: ClassArchive, content: Optional[bytes]) -> None:
    make(archive)
    with pytest.raises(InputError, match="Java has archived no classes"):
        make(archive, content)
    assert archive.options != ()
    assert sorted(each.name for each in archive.path.parent.iterdir()) == ["classes.jsa", "classes.json"]


def test_an_environment_that_cannot_be_written_is_named(archive: ClassArchive, prefix: Path) -> None:
    prefix.write_text("not a directory")
    with pytest.raises(InputError, match=r"cannot write .*venv"), archive.made():
        pytest.fail("began")
