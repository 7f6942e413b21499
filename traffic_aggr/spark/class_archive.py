"""
Spark's classes as Java keeps them for its next start (class data sharing, Java 13 and later), which saves seconds each.

The archive lies in the Python environment, as the packages do, and is made by whoever may change those. Java ignores an
archive that does not fit, but crashes on a damaged one. So a note beside the archive has its checksum and that of what
it was made for, and the archive is used only while both are right.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from traffic_aggr.errors import InputError
from traffic_aggr.files.local import temporary_name, write_atomic
from traffic_aggr.spark.home import conf_directory, spark_home

_USE, _MAKE = "-XX:SharedArchiveFile", "-XX:ArchiveClassesAtExit"
_NAMED = re.compile(f"{_USE}|{_MAKE}|-Xshare:")
_CLASS_PATH = "spark.driver.extraClassPath"
_HEADER_BYTES = 4
_READABLE = 0o644


@dataclass(frozen=True)
class ClassArchive:
    """
    The archive of this Python environment, as a driver with these settings and ``spark-submit`` arguments sees it.

    ``environment`` is that of the driver's JVM.
    """

    conf: Mapping[str, str]
    submit: Sequence[str]
    environment: Mapping[str, str]

    @property
    def path(self) -> Path:
        """An archive serves one class path: settings that put jars in front of Spark's have one of their own."""
        jars = self.conf.get(_CLASS_PATH)
        number = f"-{zlib.crc32(jars.encode()):08x}" if jars else ""
        return Path(sys.prefix, "share", "traffic_aggr", f"classes{number}.jsa")

    @property
    def options(self) -> Sequence[str]:
        """Java's option that uses the archive; none without one that fits, or where the user has named another."""
        if any(map(_NAMED.search, [*self.environment.values(), *self.conf.values(), *self.submit])):
            return ()
        with suppress(OSError, ValueError):
            note = json.loads(self._note.read_bytes())
            if note == {"made_for": self._made_for(), "sha256": _checksum(self.path)}:
                return (f"{_USE}={self.path}",)
        return ()

    @contextmanager
    def made(self) -> Iterator[str]:
        """
        Yields the option with which a JVM makes the archive when it ends. It has to have ended at the end of the block.

        Raises InputError where the archive cannot be made.
        """
        if not self._java.parents[1].joinpath("lib", "server", "classes.jsa").exists():
            raise InputError(
                f"Java archives no classes without an archive of its own, which {self._java} lacks",
                hint="Commands work without one, only slower. Java 13 and later mostly have it",
            )
        # Spark's configuration is first on the class path. Hadoop's is last, where Java does not mind a directory.
        directory = conf_directory(self.environment)
        if directory.is_dir() and any(directory.iterdir()):
            raise InputError(
                f"Java archives no classes while its class path begins with a directory of files, {directory}",
                hint="Commands work without one, only slower",
            )
        new = self.path.with_name(temporary_name(self.path.name))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            yield f"{_MAKE}={new}"
            self._keep(new)
        except OSError as exc:
            raise InputError(f"cannot write {exc.filename}: {exc.strerror}", hint="Ask whoever installed it") from exc
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)

    def _keep(self, new: Path) -> None:
        """Takes the archive into use. Between the steps, the note is missing or wrong, so that none is used."""
        if not _complete(new):
            raise InputError(f"Java has archived no classes in {new.parent}", hint="Look for space, and try again")
        self._note.unlink(missing_ok=True)
        new.chmod(_READABLE)
        new.replace(self.path)
        note = {"made_for": self._made_for(), "sha256": _checksum(self.path)}
        write_atomic(str(self._note), json.dumps(note).encode(), _READABLE)

    @property
    def _note(self) -> Path:
        return self.path.with_suffix(".json")

    def _made_for(self) -> str:
        """Returns a checksum of what must not change: Java, Spark's jars, and the rest of the class path."""
        java = str(self._java)
        with suppress(OSError):
            java += self._java.parents[1].joinpath("release").read_text()
        spark = spark_home(self.environment)
        entries = [(each.name, each.stat()) for each in os.scandir(spark / "jars")]
        jars = sorted((name, status.st_size, status.st_mtime_ns) for name, status in entries)
        class_path = [str(conf_directory(self.environment)), self.conf.get(_CLASS_PATH), str(spark), jars]
        return hashlib.sha256(repr((java, class_path)).encode()).hexdigest()

    @property
    def _java(self) -> Path:
        home = self.environment.get("JAVA_HOME")
        places = f"{home}/bin" if home else self.environment.get("PATH", os.defpath)
        return Path(shutil.which("java", path=places) or "/no/java").resolve()


def _complete(archive: Path) -> bool:
    """Whether Java has written all of an archive: it writes the header last."""
    with suppress(FileNotFoundError), archive.open("rb") as stream:
        return any(stream.read(_HEADER_BYTES))
    return False


def _checksum(file: Path) -> str:
    found = hashlib.sha256()
    with file.open("rb") as stream:
        for block in iter(lambda: stream.read(1024 * 1024), b""):
            found.update(block)
    return found.hexdigest()
