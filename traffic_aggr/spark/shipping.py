"""
Packs the Python code for a cluster: a zip of this package and of a site's own, and an archive of run-time dependencies.

The archive holds the dependencies as installed on this host, compiled extensions included. So it needs the Python
version and platform in its name, but the interpreter may be at any path.
"""

from __future__ import annotations

import importlib.util
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
"""The directory, beside a container's other files, that YARN unpacks the archive into."""

# setup.cfg's install_requires without PySpark, which Spark provides. kerberos is installed only for GSSAPI.
_REQUIRED = ("impyla", "pyyaml", "tenacity")
_OPTIONAL = ("kerberos",)
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_CACHES = ("__pycache__", ".pyc")


def python_version() -> str:
    """Returns the Python version that the archive needs, such as ``3.11``."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def interpreter(conf: Mapping[str, str]) -> str:
    """Returns the Python of the cluster's hosts: the configured one, else ``python3.x`` of this version on PATH."""
    return conf.get("spark.pyspark.python", f"python{python_version()}")


def with_packages(conf: Mapping[str, str], directory: Path, module: str) -> dict[str, str]:
    """
    Builds zips and archive in ``directory``; returns ``conf`` with the settings that ship them to every container.

    ``module`` is one of this package, or of a site's own, which is shipped as well.
    """
    found = {**conf, "spark.pyspark.python": interpreter(conf)}
    for top in dict.fromkeys((PACKAGE, *_top_level(module))):
        append(found, "spark.yarn.dist.pyFiles", str(zip_package(directory, top)))
    append(found, "spark.yarn.dist.archives", f"{pack_dependencies(directory)}#{UNPACKED}")
    for key in ("spark.yarn.appMasterEnv.PYTHONPATH", "spark.executorEnv.PYTHONPATH"):
        append(found, key, UNPACKED, separator=":")
    return found


def append(conf: MutableMapping[str, str], key: str, value: str, separator: str = ",") -> None:
    """Appends ``value`` to a setting that is a list."""
    conf[key] = f"{conf[key]}{separator}{value}" if conf.get(key) else value


def zip_package(directory: Path, package: Path = PACKAGE) -> Path:
    """
    Zips a package, or a module that is one file, for Python to import from the zip; returns the zip's path.

    Directories have entries of their own: without them Python finds no package that has no ``__init__.py``.
    """
    path = directory / f"{package.stem}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in (package, *sorted(package.rglob("*"))):
            if not _is_cache(each.as_posix()):
                archive.write(each, each.relative_to(package.parent))
    return path


def _top_level(module: str) -> list[Path]:
    """Returns where the package or file that holds ``module`` is on this host."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None:
        raise InputError(f"the module {module} is not installed here", hint="Put it on Python's path")
    if spec.submodule_search_locations:
        return [Path(location) for location in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.origin else []


def pack_dependencies(directory: Path) -> Path:
    """
    Archives the run-time dependencies, to be unpacked into a directory on ``sys.path``; returns the archive's path.

    Raises InputError when a required one is not installed here.
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
    """Yields the required and the installed optional packages and their dependencies, each once."""
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
            continue  # optional, or required only for another platform or Python
        yield found
        for requirement in found.requires or ():
            match = _NAME.match(requirement)
            if match and "extra ==" not in requirement:
                pending.append(match[0])


def _is_cache(path: str) -> bool:
    return any(each in path for each in _CACHES)
