"""
The jars that turn pip's pyspark into Hadoop's daemons, fetched with Maven and cached for all clones.

PySpark ships only Hadoop's client. ``hadoop_jars.txt`` lists, with checksums, the servers of the same version and the
cryptography that the ResourceManager needs. ``python -m devtools.hadoop_jars`` fetches them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyspark

PINS = Path(__file__).with_name("hadoop_jars.txt")
FETCH_TIMEOUT_S = 600

_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
_ESCAPE_CODES = re.compile(r"\x1b\[[0-9;]*m")
# pyspark's jars that the servers use, named without versions.
_FROM_PYSPARK = (
    "hadoop-client-api",
    "hadoop-client-runtime",
    "hadoop-shaded-guava",
    "slf4j-api",
    "log4j-api",
    "log4j-core",
    "log4j-1.2-api",
    "log4j-slf4j2-impl",
    "jcl-over-slf4j",
    "commons-logging",  # HDFS names a class that only this jar has
    "activation",
    "jakarta.xml.bind-api",
)


class JarsUnavailableError(Exception):
    """The jars are neither cached nor fetchable, or do not match the installed PySpark."""


@dataclass(frozen=True)
class Jar:
    """A jar by its Maven coordinate, with the checksum that its file must have."""

    group: str
    name: str
    version: str
    sha256: str

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.name}:{self.version}"

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}.jar"

    def is_at(self, path: Path) -> bool:
        """Whether the file at ``path`` exists and is exactly this jar."""
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256
        except FileNotFoundError:
            return False


def pinned_jars(pins: Path = PINS) -> list[Jar]:
    """Returns the jars that a file such as ``hadoop_jars.txt`` lists."""
    lines = [line.split() for line in pins.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    return [Jar(*[*coordinate.split(":"), checksum]) for checksum, coordinate in lines]


def cache_directory() -> Path:
    """Where fetched jars are kept, outside any clone."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "traffic_aggr", "jars")


def spark_jars() -> Path:
    """The directory of the jars that come with Spark."""
    return Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent, "jars")


def daemon_class_path() -> list[Path]:
    """
    Returns the jars of Hadoop's daemons, in order, and fetches missing ones.

    Raises JarsUnavailableError, with a message of one line, when they cannot be obtained.
    """
    wanted = pinned_jars()
    return [*fetched(wanted, cache_directory()), *_daemons_jars_of_pyspark(wanted[0].version)]


def fetched(jars: Sequence[Jar], directory: Path) -> list[Path]:
    """
    Returns the paths of ``jars`` in ``directory``, and fetches those that are missing or do not match their checksum.

    Raises JarsUnavailableError.
    """
    paths = []
    for jar in jars:
        path = directory / jar.file_name
        if not jar.is_at(path):
            directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=directory) as arriving:
                fresh = _fetch(jar, Path(arriving))
                fresh.replace(path)
        paths.append(path)
    return paths


def _fetch(jar: Jar, directory: Path) -> Path:
    maven = shutil.which("mvn")
    if maven is None:
        raise JarsUnavailableError(f"{jar.file_name} is not in the cache, and there is no mvn on PATH to fetch it")
    command = [
        maven,
        "--quiet",
        "--batch-mode",
        _COPY,
        f"-Dartifact={jar.coordinate}",
        f"-DoutputDirectory={directory}",
    ]
    try:
        done = subprocess.run(
            command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as exc:
        raise JarsUnavailableError(f"mvn did not fetch {jar.coordinate} within {FETCH_TIMEOUT_S} s") from exc
    path = directory / jar.file_name
    if done.returncode or not path.exists():
        raise JarsUnavailableError(f"mvn could not fetch {jar.coordinate}: {_first_error(done.stdout + done.stderr)}")
    if not jar.is_at(path):
        raise JarsUnavailableError(
            f"{jar.coordinate} from mvn is not what its checksum says; remove it from Maven's local repository"
        )
    return path


def _first_error(output: str) -> str:
    lines = [_ESCAPE_CODES.sub("", line).strip() for line in output.splitlines()]
    errors = [line[len("[ERROR]") :].strip() for line in lines if line.startswith("[ERROR]")]
    return next(filter(None, [*errors, *lines]), "it says nothing")


def jars_of_pyspark(names: Sequence[str]) -> list[Path]:
    """
    Returns jars that come with Spark, by name without version. Raises JarsUnavailableError for one that is missing.
    """
    directory, found = spark_jars(), []
    for name in names:
        paths = sorted(directory.glob(f"{name}-[0-9]*.jar"))
        if not paths:
            raise JarsUnavailableError(f"there is no {name} in {directory}")
        found.append(paths[0])
    return found


def _daemons_jars_of_pyspark(hadoop: str) -> list[Path]:
    found = jars_of_pyspark(_FROM_PYSPARK)
    shipped = found[0].stem.rpartition("-")[2]
    if shipped != hadoop:
        raise JarsUnavailableError(f"PySpark here ships Hadoop {shipped}, the daemons are pinned at {hadoop}")
    return found


if __name__ == "__main__":
    try:
        print(*daemon_class_path(), sep="\n")
    except JarsUnavailableError as exc:
        sys.exit(f"hadoop_jars: {exc}")
