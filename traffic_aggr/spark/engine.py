"""
The engine that aggregates: Spark's own, in the JVM, or Velox, native code that the plugin Gluten puts under Spark.

Velox aggregates and writes. All else stays in the JVM, so that what proves the aggregation does not share its faults.
"""

from __future__ import annotations

import importlib.util
import logging
import platform
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import urlsplit

import pyspark
from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException

from traffic_aggr.errors import InputError
from traffic_aggr.spark.queries import on_executor
from traffic_aggr.spark.settings import GLUTEN
from traffic_aggr.spark.shipping import append
from traffic_aggr.text import first_line

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from traffic_aggr.spark.session import SparkSettings

log = logging.getLogger(__name__)

JVM, VELOX = "jvm", "velox"
_PLUGIN = "org.apache.gluten.GlutenPlugin"
_PLUGINS = "spark.plugins"
_SPARK = "3.5"
_WHEEL = "velox_spark"
_LIBRARY = "linux/amd64/libvelox.so"
_BUILD_INFO = "gluten-build-info.properties"
_IN_CONTAINER = "gluten.jar"
_LIBHDFS = {"ARROW_LIBHDFS_DIR": "", "HADOOP_HOME": "/lib/native", "PWD": ""}
"""Where Velox finds libhdfs.so: a directory below the value of an environment variable."""
_BACKEND = "spark.gluten.sql.columnar.backend.velox"
_OFF_HEAP = "spark.memory.offHeap.size"
_MEMORY = re.compile(r"(\d+)([mgt]?)b?", re.IGNORECASE)
_MIB = {"": 1, "m": 1, "g": 1024, "t": 1024**2}
_OPERATOR = re.compile(r"^([ :+-]*)(.*?) \((\d+)\)", re.MULTILINE)
_CACHED = "InMemoryRelation"
_OR_JVM = "or set spark.engine: jvm"


def with_engine(config: SparkSettings) -> dict[str, str]:
    """
    Returns ``spark.conf`` with the settings of the configured engine.

    Those that ``spark.conf`` has itself win; to those that are lists, the engine's entries are added.

    Raises InputError when the engine cannot run here: Velox needs Spark 3.5, Linux on x86-64 with glibc, and Gluten's
    jar.
    """
    if config.engine != VELOX:
        return dict(config.conf)
    _refuse_platform()
    jar = _jar(config.engine_jar)
    on_yarn = config.master == "yarn"
    memory = "spark.driver.memory" if config.master.startswith("local") else "spark.executor.memory"
    conf = {
        "spark.shuffle.manager": "org.apache.spark.shuffle.sort.ColumnarShuffleManager",
        "spark.memory.offHeap.enabled": "true",
        # Gluten leaves deeper expressions to the JVM; its own limit is 50.
        "spark.gluten.sql.columnar.fallback.expressions.threshold": "250",
        # A task hands on its groups once they take this share of memory. Gluten's 0.1 shuffles a fifth more of them.
        f"{_BACKEND}.maxPartialAggregationMemoryRatio": "0.5",
        f"{_BACKEND}.maxExtendedPartialAggregationMemoryRatio": "0.6",
        **config.conf,
        **_shared_memory(memory, config.conf),
    }
    here, there = str(jar), _IN_CONTAINER if on_yarn else str(jar)
    append(conf, _PLUGINS, _PLUGIN)
    append(conf, "spark.driver.extraClassPath", there if config.deploy_mode == "cluster" else here, ":")
    append(conf, "spark.executor.extraClassPath", there, ":")
    for role in ("driver", "executor"):  # without it, Arrow finds no direct memory
        append(conf, f"spark.{role}.extraJavaOptions", "-Dio.netty.tryReflectionSetAccessible=true", " ")
    if on_yarn:
        append(conf, "spark.yarn.dist.files", f"{here}#{_IN_CONTAINER}")
    return conf


def refuse_missing_plugin(jvm: Any, config: SparkSettings) -> None:
    """Raises InputError when the engine is Velox and the running JVM was started without Gluten's jar."""
    if config.engine != VELOX:
        return
    try:
        jvm.java.lang.Class.forName(_PLUGIN)
    except Py4JJavaError as exc:
        raise InputError(
            "spark.engine is velox, and this JVM was started without Gluten's jar",
            hint=f"Start with spark-submit.sh, give spark-submit --driver-class-path, {_OR_JVM}",
        ) from exc


def engine_of(spark: SparkSession) -> str:
    """Returns the engine with which the session aggregates."""
    return VELOX if _PLUGIN in str(spark.conf.get(_PLUGINS, "")) else JVM


def refuse_unreachable_files(spark: SparkSession, locations: Iterable[str]) -> None:
    """
    Raises InputError when the engine is Velox and cannot read files at ``locations``.

    It reads local files, and HDFS through Hadoop's ``libhdfs.so``; without that, it crashes its executor.
    """
    if engine_of(spark) == JVM:
        return
    schemes = {urlsplit(location).scheme for location in locations} - {"", "file"}
    others = schemes - {"hdfs", "viewfs"}
    if others:
        raise InputError(
            f"spark.engine: velox reads local files and HDFS, and tables are in {', '.join(sorted(others))}",
            hint="Set spark.engine: jvm",
        )
    if schemes and not any(_loads(spark, path) for path in _libraries(spark)):
        raise InputError(
            "spark.engine: velox needs Hadoop's libhdfs.so on the executors to read HDFS; it is neither in "
            "$ARROW_LIBHDFS_DIR nor in $HADOOP_HOME/lib/native",
            hint=f"Set spark.conf, spark.executorEnv.ARROW_LIBHDFS_DIR to its directory, {_OR_JVM}",
        )


def _libraries(spark: SparkSession) -> Iterator[str]:
    """Yields where Velox looks for libhdfs.so on an executor."""
    for name, below in _LIBHDFS.items():
        value = on_executor(spark, "java.lang.System", "getenv", name)
        if value is not None:
            yield f"{value}{below}/libhdfs.so"


def _loads(spark: SparkSession, library: str) -> bool:
    """Whether an executor can load a native library."""
    try:
        on_executor(spark, "java.lang.System", "load", library)
    except (Py4JError, PySparkException) as exc:
        log.info("%s cannot be loaded: %s", library, first_line(exc))
        return False
    return True


@contextmanager
def aggregating(spark: SparkSession) -> Iterator[None]:
    """Has the session's engine run the queries inside. Outside, all run in the JVM."""
    if engine_of(spark) == JVM:
        yield
        return
    spark.conf.set(GLUTEN, "true")
    try:
        yield
    finally:
        spark.conf.set(GLUTEN, "false")


def fallbacks(rows: DataFrame) -> dict[str, str]:
    """
    Returns the operators in the plan of ``rows`` that the session's engine leaves to the JVM, each with the reason.

    What Spark has cached counts as read, not as computed. Call it inside ``aggregating``.
    """
    spark = rows.sparkSession
    if engine_of(spark) == JVM:
        return {}
    jvm: Any = spark.sparkContext._jvm
    gluten = jvm.org.apache.spark.sql.execution.GlutenImplicits
    summary = gluten.collectQueryExecutionFallbackSummary(spark._jsparkSession, rows._jdf.queryExecution())
    plans, by_operator = summary.physicalPlanDescription(), summary.fallbackNodeToReason()
    found = {}
    for index in range(plans.size()):
        cached = _cached_operators(plans.apply(index))
        entries = by_operator.apply(index).toSeq()
        for entry in map(entries.apply, range(entries.size())):
            number, _, name = entry._1().partition(" ")
            if int(number) not in cached:
                found[name] = " ".join(entry._2().split()).lstrip("- ")
    return found


def gluten_version(spark: SparkSession) -> str:
    """Returns Gluten's version, such as ``1.7.0``."""
    jvm: Any = spark.sparkContext._jvm
    return str(jvm.org.apache.gluten.GlutenBuildInfo.VERSION())


def _cached_operators(plan: str) -> set[int]:
    """Returns the numbers of the operators beneath a cached DataFrame, in a plan as Spark prints it."""
    cached: set[int] = set()
    above = None
    for indent, name, number in _OPERATOR.findall(plan):
        if above is not None and len(indent) > above:
            cached.add(int(number))
        else:
            above = len(indent) if name == _CACHED else None
    return cached


def _shared_memory(key: str, conf: Mapping[str, str]) -> dict[str, str]:
    """
    Takes half of the memory that ``conf`` gives the JVM off its heap, for Velox, unless ``conf`` has a size for that.

    Where it gives none, Velox gets as much as Spark's own default, 1 GiB, gives the heap.
    """
    if _OFF_HEAP in conf:
        return {}
    if key not in conf:
        return {_OFF_HEAP: "1g"}
    match = _MEMORY.fullmatch(conf[key].strip())
    if match is None:  # Spark says what is wrong with it
        return {}
    mib = int(match[1]) * _MIB[match[2].lower()]
    return {key: f"{mib - mib // 2}m", _OFF_HEAP: f"{mib // 2}m"}


def _refuse_platform() -> None:
    if not pyspark.__version__.startswith(f"{_SPARK}."):
        raise InputError(
            f"spark.engine: velox needs Spark {_SPARK}; this is {pyspark.__version__}", hint=f"Use that, {_OR_JVM}"
        )
    here = f"{sys.platform} on {platform.machine()} with {platform.libc_ver()[0] or 'another C library'}"
    if here != "linux on x86_64 with glibc":
        raise InputError(
            f"spark.engine: velox needs linux on x86_64 with glibc; this is {here}", hint=f"Run it there, {_OR_JVM}"
        )


def _jar(configured: Optional[Path]) -> Path:
    jar = configured or _installed_jar()
    if jar is None:
        raise InputError(
            "spark.engine: velox needs Gluten's jar, which is not installed here",
            hint=f"Run `make EXTRAS=velox setup`, name the jar in spark.engine_jar, {_OR_JVM}",
        )
    wrong = _what_is_wrong(jar)
    if wrong:
        raise InputError(
            f"{jar} does not fit spark.engine: velox: {wrong}",
            hint=f"Name Gluten's bundle for Velox, Spark {_SPARK} and linux_amd64 in spark.engine_jar, {_OR_JVM}",
        )
    return jar


def _installed_jar() -> Optional[Path]:
    """Returns Gluten's jar in the wheel ``velox-spark``. The job uses nothing else of that wheel."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.glob("jars/gluten-velox-bundle-*.jar"))), None)


@lru_cache(maxsize=1)  # each start asks twice, and the jar has 14,000 entries
def _what_is_wrong(jar: Path) -> str:
    try:
        with zipfile.ZipFile(jar) as archive:
            names = archive.NameToInfo
            if _BUILD_INFO not in names:
                return "it is not a bundle of Gluten"
            lines = archive.read(_BUILD_INFO).decode(errors="replace").splitlines()
    except (OSError, zipfile.BadZipFile) as exc:
        return first_line(exc)
    built = dict(line.partition("=")[::2] for line in lines)
    spark, backend = built.get("spark_version", ""), built.get("backend_type", "")
    if backend != VELOX:
        return f"it was built for {backend or 'another engine'}"
    if not spark.startswith(f"{_SPARK}."):
        return f"it was built for Spark {spark}"
    return "" if _LIBRARY in names else f"it has no {_LIBRARY}"
