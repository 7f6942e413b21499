"""Jars are fetched once, believed only when their checksum is right, and missed with one line that says why."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from devtools.hadoop_jars import PINS, Jar, JarsUnavailableError, cache_directory, fetched, pinned_jars
from devtools.newer_metastores import Hive3Metastore, Hive4Metastore

CONTENT = b"the right jar\n"
JAR = Jar("org.example", "lib", "1.0", hashlib.sha256(CONTENT).hexdigest())

# Stands in for Maven: puts a file where it is told to, or fails as Maven does without a network.
MAVEN = """\
#!/bin/sh
echo "$@" >> "{calls}"
{failure}
for argument; do
    case $argument in -DoutputDirectory=*) printf '{content}' > "${{argument#*=}}/lib-1.0.jar" ;; esac
done
"""
UNREACHABLE = "printf '[\\033[1;31mERROR\\033[m] no route to the repository\\n[ERROR] see above\\n'; exit 1"


class Maven:
    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._program = home / "mvn"
        self._calls = home / "calls"
        monkeypatch.setenv("PATH", f"{home}:/usr/bin:/bin")

    def install(self, content: bytes = CONTENT, failure: str = "") -> None:
        printed = content.decode().replace("\n", "\\n")
        self._program.write_text(MAVEN.format(calls=self._calls, content=printed, failure=failure))
        self._program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maven:
    (tmp_path / "bin").mkdir()
    return Maven(tmp_path / "bin", monkeypatch)


def test_a_jar_is_fetched_once_by_its_coordinate(maven: Maven, tmp_path: Path) -> None:
    maven.install()
    assert fetched([JAR], tmp_path / "cache") == fetched([JAR], tmp_path / "cache") == [tmp_path / "cache/lib-1.0.jar"]
    assert (tmp_path / "cache/lib-1.0.jar").read_bytes() == CONTENT
    assert len(maven.calls) == 1
    assert "-Dartifact=org.example:lib:1.0" in maven.calls[0]


def test_a_damaged_jar_is_fetched_again(maven: Maven, tmp_path: Path) -> None:
    maven.install()
    (tmp_path / "lib-1.0.jar").write_bytes(CONTENT[:-1])
    (path,) = fetched([JAR], tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_jar_that_is_not_what_it_should_be_is_refused_and_not_kept(maven: Maven, tmp_path: Path) -> None:
    maven.install(content=b"another jar")
    with pytest.raises(JarsUnavailableError, match=r"org\.example:lib:1\.0 .* is not what"):
        fetched([JAR], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_maven_says_first_is_told_in_one_line(maven: Maven, tmp_path: Path) -> None:
    maven.install(failure=UNREACHABLE)
    with pytest.raises(JarsUnavailableError) as caught:
        fetched([JAR], tmp_path)
    assert str(caught.value) == "mvn could not fetch org.example:lib:1.0: no route to the repository"


def test_a_missing_maven_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JarsUnavailableError, match="no mvn on PATH"):
        fetched([JAR], tmp_path)


def test_jars_are_kept_outside_of_the_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "traffic_aggr/jars"


@pytest.mark.parametrize(
    ("pins", "name"),
    [
        (PINS, "hadoop-client-minicluster"),
        (Hive3Metastore.pins, "hive-standalone-metastore"),
        (Hive4Metastore.pins, "hive-standalone-metastore-server"),
    ],
)
def test_every_pin_is_a_whole_checksum_and_coordinate(pins: Path, name: str) -> None:
    jars = pinned_jars(pins)
    assert {len(jar.sha256) for jar in jars} == {64}
    assert name in {jar.name for jar in jars}
