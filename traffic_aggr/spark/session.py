"""
Starts and stops the Spark session, and explains why it failed. The job starts one only in ``JobContext``.
"""

from __future__ import annotations

import logging
import re
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional, Protocol

from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from traffic_aggr.errors import InputError, StepError, TrafficAggrError
from traffic_aggr.spark.engine import refuse_missing_plugin, with_engine
from traffic_aggr.spark.errors import java_says, spark_says
from traffic_aggr.spark.jvm import SPARK_LOG, given_gateway, start_jvm, stop_jvm
from traffic_aggr.spark.settings import CORRECTNESS, DEFAULTS, JAVA_OPTIONS, LOCAL_DEFAULTS, REFUSED

log = logging.getLogger(__name__)

_MASTER = "spark.master"
_STOPPED = "Cannot call methods on a stopped SparkContext"
_EXECUTOR_OPTIONS = "spark.executor.extraJavaOptions"


class SparkSettings(Protocol):
    """
    The ``spark`` section of the configuration.
    """

    @property
    def master(self) -> str: ...
    @property
    def deploy_mode(self) -> str: ...
    @property
    def conf(self) -> Mapping[str, str]: ...
    @property
    def engine(self) -> str: ...
    @property
    def engine_jar(self) -> Optional[Path]: ...
    @property
    def submit(self) -> Sequence[str]: ...


def start_gateway(config: SparkSettings, log_dir: Path) -> Any:
    """
    Returns PySpark's gateway to this process's JVM. Raises InputError when it cannot start.

    Under a plain ``spark-submit`` that JVM already runs. Otherwise this starts one as a child process, which logs to
    ``log_dir/spark.log``.
    """
    logging.getLogger().addFilter(_py4j_at_root)
    if given_gateway():
        return launch_gateway()  # type: ignore[no-untyped-call]
    return start_jvm({_MASTER: config.master, **with_engine(config)}, config.submit, log_dir)


def start_session(
    config: SparkSettings, app_name: str, *, log_dir: Path, gateway: Optional[Any] = None
) -> SparkSession:
    """
    Starts Spark and returns its session, with Hive's catalog and the settings in ``CORRECTNESS``.

    Uses the JVM of ``gateway``, which then outlives the session, or one from ``start_gateway``. The SIGINT handler
    stays as it was. Raises InputError, one line, when Spark cannot start.
    """
    jvm = gateway or start_gateway(config, log_dir)
    SparkContext._ensure_initialized(gateway=jvm)
    try:
        refuse_missing_plugin(jvm.jvm, config)
        return _session(_spark_conf(config, app_name, jvm))
    except BaseException as exc:  # a signal's exception, too: the JVM must not outlive the attempt
        explained = explain_start_failure(exc) or _start_failure(exc, log_dir)
        if gateway is None:
            end_gateway(jvm)
        if explained is None:
            raise
        raise explained from exc


def stop_session(spark: SparkSession, *, keep_jvm: bool = False) -> None:
    """
    Stops Spark, and ends its JVM unless ``keep_jvm`` or another process started it.

    Returns once the JVM is gone. Raises nothing when Spark had already died.
    """
    gateway = spark.sparkContext._gateway
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            spark.stop()
    except (Py4JError, OSError) as exc:
        log.warning("Spark did not answer when it was stopped: %s", exc)
    if not keep_jvm:
        end_gateway(gateway)


def jvm_process_id(spark: SparkSession) -> int:
    """
    Returns the process id of the driver's JVM, on this host.
    """
    return gateway_process_id(spark.sparkContext._gateway)


def gateway_process_id(gateway: Any) -> int:
    """
    Returns the process id of the JVM behind a gateway, whoever started it.
    """
    jvm = gateway.jvm
    name: str = jvm.java.lang.management.ManagementFactory.getRuntimeMXBean().getName()
    return int(name.partition("@")[0])


def explain_start_failure(exc: BaseException) -> Optional[TrafficAggrError]:
    """
    Explains why the session or the first statement on the catalog failed, in one line; None for an unknown reason.

    Spark opens the embedded metastore at the first statement, so ask about that statement's error too.
    """
    told = "\n".join(_accounts(exc))
    if "XSDB6" in told:
        where = re.search(r"may have already booted the database (.+?)\.?$", told, re.MULTILINE)
        return InputError(
            f"the embedded metastore {where.group(1) + ' ' if where else ''}is in use by another process",
            hint="Wait until that has ended, or use a metastore server: spark.conf, spark.hadoop.hive.metastore.uris",
        )
    if "Could not connect to meta store" in told:
        return InputError(
            "the Hive metastore does not answer",
            hint="Check that it runs, and spark.hadoop.hive.metastore.uris in spark.conf or hive-site.xml",
        )
    if "Could not parse Master URL" in told:
        return InputError("spark.master is not one that Spark knows", hint="Use local[*], yarn or spark://HOST:PORT")
    return None


def explain_java_error(exc: BaseException) -> Optional[TrafficAggrError]:
    """
    Explains an error of Spark or Java in one line; None for any other error, and when the JVM is gone.
    """
    said = spark_says(exc)
    if said is None:
        return None
    if said.startswith(_STOPPED):  # and goes on with where it was created, and where it was stopped
        return StepError(
            "Spark has stopped in the middle: its cluster manager has ended the application",
            hint=f"{SPARK_LOG} in logs.dir may say why",
        )
    return StepError(said, hint="The log has the details")


def explain_lost_jvm(exc: BaseException) -> Optional[TrafficAggrError]:
    """
    Explains an error caused by the end of the JVM in one line; None for any other error.
    """
    # Only py4j lets such errors through: those of Impala and the mail server are translated where they occur.
    signs = (Py4JNetworkError, ConnectionRefusedError, ConnectionResetError)
    if any(isinstance(each, signs) or _unanswered(each) for each in _chain(exc)):
        return StepError(
            "Spark's JVM has ended (killed, or out of memory)", hint=f"{SPARK_LOG} in logs.dir may say why"
        )
    return None


def _unanswered(exc: BaseException) -> bool:
    """
    Whether the JVM ended while py4j waited for its answer: py4j then says only which call that was, or that its class
    does not exist.
    """
    said = str(exc) if type(exc) is Py4JError else ""
    if said.startswith("An error occurred while calling"):
        return "Trace:" not in said  # with one, Java has answered
    gateway = SparkContext._gateway
    if gateway is None or not said.endswith("does not exist in the JVM"):
        return False
    try:
        gateway.jvm.java.lang.System.nanoTime()
    except (Py4JError, OSError):
        return True
    return False


def _py4j_at_root(record: logging.LogRecord) -> bool:
    """
    Filters the root logger: hands py4j's records to py4j's own logger.

    py4j reports a lost JVM to the root logger, which writes to standard error, with a traceback.
    """
    if "py4j" not in Path(record.pathname).parts:
        return True
    logging.getLogger("py4j").handle(record)
    return False


def _start_failure(exc: BaseException, log_dir: Path) -> Optional[TrafficAggrError]:
    if not isinstance(exc, Py4JJavaError):
        return None
    reason = java_says(exc.java_exception)
    if _STOPPED in reason:
        # Spark reports only this when a standalone master has not answered for a minute.
        return InputError("Spark's master does not answer", hint="Check that it runs, and spark.master")
    return InputError(f"Spark did not start: {reason.rstrip('.')}", hint=f"See {log_dir / SPARK_LOG}")


def _chain(exc: Optional[BaseException]) -> Iterator[BaseException]:
    """
    Yields an error and the errors that led to it, outermost first.
    """
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _accounts(exc: BaseException) -> Iterator[str]:
    """
    Yields the text of an error and of those that led to it, with Java's stack traces and their causes.
    """
    for each in _chain(exc):
        # PySpark 3.5 and 4 name the stack trace differently; neither shows it in str().
        yield str(getattr(each, "stackTrace", "") or getattr(each, "_stackTrace", ""))
        with suppress(Py4JError, OSError):  # a Java error asks its JVM for the text, which may be gone
            yield str(each)


def hadoop_configuration(config: SparkSettings, gateway: Any) -> Any:
    """
    Returns the Hadoop Configuration that a session of this JVM would have, without starting one.
    """
    spark_conf = _spark_conf(config, "traffic_aggr", gateway)._jconf
    return gateway.jvm.org.apache.spark.deploy.SparkHadoopUtil.get().newConfiguration(spark_conf)


def _spark_conf(config: SparkSettings, app_name: str, gateway: Any) -> SparkConf:
    """
    Returns the session's settings: the JVM's (spark-defaults.conf, spark-submit's arguments) with the job's added.

    The job's defaults and ``spark.master`` fill gaps, ``spark.conf`` wins over the JVM's, ``CORRECTNESS`` over all.
    """
    conf = SparkConf(_jvm=gateway.jvm).setAppName(app_name)
    conf.setIfMissing(_MASTER, config.master)
    local = re.match(r"local(\[.*)?$", conf.get(_MASTER, ""))
    for key, value in {**DEFAULTS, **(LOCAL_DEFAULTS if local else {})}.items():
        conf.setIfMissing(key, value)
    # In cluster mode the JVM already has spark.conf, with this host's paths in place of the launcher's.
    if conf.get("spark.submit.deployMode") != "cluster":
        for key, value in with_engine(config).items():
            if key != _MASTER:
                conf.set(key, value)
    for key, value in CORRECTNESS.items():
        if config.conf.get(key, value) != value:
            log.warning("spark.conf: %s is %s here, since results depend on it", key, value)
        conf.set(key, value)
    options = conf.get(_EXECUTOR_OPTIONS, "")
    conf.set(_EXECUTOR_OPTIONS, f"{options} {JAVA_OPTIONS}".strip())  # Java takes the last of several
    return conf


def _session(conf: SparkConf) -> SparkSession:
    # SparkContext installs its own SIGINT handler; the job's must win.
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        spark = SparkSession.builder.config(conf=conf).getOrCreate()
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, handler)
    remember_classes(spark)
    _settle_java(spark)
    if conf.get(_MASTER, "").startswith("local"):
        threading.Thread(target=_warm_up, args=(spark,), daemon=True).start()
    return spark


def _warm_up(spark: SparkSession) -> None:
    """Has Java load the classes that every query needs, while the main thread waits for the metastore."""
    with suppress(Exception):  # the session may have ended
        spark.range(2).groupBy("id").count().collect()


def remember_classes(spark: SparkSession) -> None:
    """
    Has PySpark look up once what it otherwise looks up for every column that it makes.

    For each short name, Java searches every jar once for each package in which the class might be, and each method is
    looked up before it is called: a tenth of a small run.
    """
    jvm: Any = spark.sparkContext._jvm
    for name in ("functions", "PythonUtils"):
        setattr(jvm, name, _StaticMethods(getattr(jvm, name)))


class _StaticMethods:
    """The static methods of a Java class, each looked up once."""

    def __init__(self, java_class: Any) -> None:
        self._java_class = java_class

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._java_class, name)
        setattr(self, name, method)
        return method


def _settle_java(spark: SparkSession) -> None:
    """
    Sets what results depend on and Spark's configuration cannot set in the driver's JVM: its locale and time zone.

    Raises InputError when Hadoop's configuration has one of ``REFUSED``.
    """
    jvm: Any = spark.sparkContext._jvm
    jvm.java.util.Locale.setDefault(jvm.java.util.Locale.ENGLISH)
    jvm.java.util.TimeZone.setDefault(jvm.java.util.TimeZone.getTimeZone("UTC"))
    configuration: Any = spark._jsparkSession.sessionState().newHadoopConf()
    for key in REFUSED:
        if configuration.get(key) is not None:
            sources = ", ".join(configuration.getPropertySources(key) or ())
            raise InputError(
                f"{key} is set ({sources or 'source unknown'}): files would be read otherwise than by Hive and Impala",
                hint="Take it out of spark.conf, spark-defaults.conf, hive-site.xml or Hadoop's files",
            )


def end_gateway(gateway: Any) -> None:
    """
    Ends the JVM of ``gateway`` if this process started it, and waits until it is gone.
    """
    if gateway.proc is None:
        return
    stop_jvm(gateway)
    # PySpark would reuse the ended JVM for the next session in this process.
    SparkContext._gateway = SparkContext._jvm = SparkContext._active_spark_context = None
    SparkSession._instantiatedSession = None
