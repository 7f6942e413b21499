"""
What of the Python side travels to a cluster: a zip of this package, and an archive of the few packages that it needs
at run time, as they are installed here.

The archive holds compiled extensions, so it fits the Python version and platform that are in its name, wherever the
interpreter lies.
"""

from __future__ import annotations

import re
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, MutableMapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from traffic_aggr.errors import InputError

PACKAGE = Path(__file__).parents[1]
UNPACKED = "dependencies"
"""The directory that the archive becomes beside a container's other files."""

# setup.cfg's install_requires without PySpark, which Spark brings along; kerberos is there where GSSAPI is used.
_REQUIRED = ("impyla", "pyyaml", "tenacity")
_OPTIONAL = ("kerberos",)
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_CACHES = ("__pycache__", ".pyc")


def python_version() -> str:
    """``3.11``: what an interpreter must be to load the archive."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def interpreter(conf: Mapping[str, str]) -> str:
    """The Python of the cluster's hosts: as configured, or the one of this version on their PATH."""
    return conf.get("spark.pyspark.python", f"python{python_version()}")


def with_packages(conf: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Spark's settings ``conf``, and those that take zip and archive, made in ``directory``, to every container."""
    found = {**conf, "spark.pyspark.python": interpreter(conf)}
    append(found, "spark.yarn.dist.pyFiles", str(zip_package(directory)))
    append(found, "spark.yarn.dist.archives", f"{pack_dependencies(directory)}#{UNPACKED}")
    for key in ("spark.yarn.appMasterEnv.PYTHONPATH", "spark.executorEnv.PYTHONPATH"):
        append(found, key, UNPACKED, separator=":")
    return found


def append(conf: MutableMapping[str, str], key: str, value: str, separator: str = ",") -> None:
    """Adds to a setting that is a list."""
    conf[key] = f"{conf[key]}{separator}{value}" if conf.get(key) else value


def zip_package(directory: Path) -> Path:
    """The package as a zip, which Python imports from as it is."""
    path = directory / "traffic_aggr.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in sorted(PACKAGE.rglob("*")):
            if each.is_file() and not _is_cache(each.as_posix()):
                archive.write(each, each.relative_to(PACKAGE.parent))
    return path


def pack_dependencies(directory: Path) -> Path:
    """
    The packages needed at run time, to be unpacked into a directory on ``sys.path``.

    Raises InputError when one is not installed here.
    """
    path = directory / f"dependencies-{python_version()}-{sysconfig.get_platform()}.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for found in _closure():
            for each in found.files or ():
                where = Path(str(found.locate_file(each)))
                if ".." not in each.parts and not _is_cache(str(each)) and where.is_file():
                    archive.add(where, arcname=str(each))
    return path


def _closure() -> Iterator[Distribution]:
    """The required packages and what those require, each once."""
    pending, seen = [*_REQUIRED, *_OPTIONAL], set()
    while pending:
        name = pending.pop()
        if name.lower().replace("_", "-") in seen:
            continue
        seen.add(name.lower().replace("_", "-"))
        try:
            found = distribution(name)
        except PackageNotFoundError as exc:
            if name in _REQUIRED:
                raise InputError(f"the package {name} is not installed here", hint="Run `make setup`") from exc
            continue  # for another platform or Python, as its requirement says
        yield found
        for requirement in found.requires or ():
            match = _NAME.match(requirement)
            if match and "extra ==" not in requirement:
                pending.append(match[0])


def _is_cache(path: str) -> bool:
    return any(each in path for each in _CACHES)
