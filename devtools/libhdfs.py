"""
Hadoop's ``libhdfs.so``, with which native code reads HDFS: compiled from its C sources and cached for all clones.

Distributions of Hadoop bring it along; PySpark does not. Of what pip can fetch, pydoop has its sources.
``python -m devtools.libhdfs`` prints where it is.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from devtools.hadoop_jars import JarsUnavailableError, cache_directory

_SOURCES = "pydoop-2.0.0"
_SHA256 = "c7eb2ad8c36d2a75dc1c6cee701928334614f2e862a70798b0cb278e3102f77d"
_SETUPTOOLS = "setuptools==80.9.0"  # the newest that still has what pydoop's setup.py imports
_WITHIN = f"{_SOURCES}/src/libhdfs/"
_TIMEOUT_S = 300


def libhdfs() -> Path:
    """Returns the path of ``libhdfs.so``. Raises JarsUnavailableError, in one line, when it cannot be made here."""
    library = cache_directory().with_name("libhdfs") / "libhdfs.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as directory:
            made = _compiled(_fetched(Path(directory)))
            made.replace(library)
    return library


def _fetched(directory: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    _run([*pip, "install", "--target", f"{directory}/setuptools", _SETUPTOOLS], directory)
    as_it_is = ("--no-deps", "--no-build-isolation", "--no-binary", ":all:")
    _run([*pip, "download", *as_it_is, "--dest", str(directory), _SOURCES.replace("-", "==")], directory)
    archive = directory / f"{_SOURCES}.tar.gz"
    if hashlib.sha256(archive.read_bytes()).hexdigest() != _SHA256:
        raise JarsUnavailableError(f"{archive.name} does not have the checksum that is pinned")
    with tarfile.open(archive) as files:
        files.extractall(directory, [each for each in files if each.name.startswith(_WITHIN)])
    return directory / _WITHIN


def _compiled(sources: Path) -> Path:
    java = _jdk()
    include = [".", "include", "include/hdfs", "common", "os/posix", "os", f"{java}/include", f"{java}/include/linux"]
    files = [*sources.glob("*.c"), *sources.glob("common/*.c"), *sources.glob("os/posix/*.c")]
    made = sources / "libhdfs.so"
    _run(
        [
            *("gcc", "-shared", "-fPIC", "-O2", "-w", "-o", str(made), *map(str, files)),
            *(f"-I{each}" for each in include),
            *(f"-L{java}/lib/server", "-ljvm", "-ldl", "-lpthread"),
        ],
        sources,
    )
    return made


def _jdk() -> Path:
    compiler = shutil.which("javac")
    homes = [os.environ.get("JAVA_HOME"), compiler and str(Path(compiler).resolve().parent.parent)]
    for home in filter(None, homes):
        if Path(home, "include", "jni.h").exists():
            return Path(home)
    raise JarsUnavailableError(
        "libhdfs.so cannot be compiled: there is no jni.h, neither in JAVA_HOME nor beside javac"
    )


def _run(command: Sequence[str], directory: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{directory}/setuptools"}
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise JarsUnavailableError(f"libhdfs.so cannot be made: {exc}") from exc
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise JarsUnavailableError(f"libhdfs.so cannot be made: {said[0] if said else command[0]}")


if __name__ == "__main__":
    print(libhdfs())
