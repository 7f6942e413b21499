"""
The session and its JVM, each in a driver process of its own: how they start, what they see of signals, how they end.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from pyspark.sql import SparkSession

from tests.support.paths import ROOT

LIMIT_S = 120

PROLOGUE = """
import json, logging, os, signal, sys, time
from pathlib import Path
from traffic_aggr.config.config import SparkConfig
from traffic_aggr.errors import TrafficAggrError
from traffic_aggr.spark.session import explain_lost_jvm, explain_start_failure, jvm_process_id
from traffic_aggr.spark.session import start_session, stop_session

conf = {"spark.sql.warehouse.dir": str(Path("warehouse").resolve()), "spark.driver.memory": "600m"}

def start(**changes):
    given = {"master": "local[1]", "deploy_mode": "client", "submit": (), "conf": {}, **changes}
    given["conf"] = {**conf, **given["conf"]}
    return start_session(SparkConfig(**given), "a driver", log_dir=Path("logs"))

def tell(value):
    print(json.dumps(value), flush=True)

def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
"""


class Driver:
    """A driver that runs Python source, in a process group of its own, and tells one JSON document a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def tells(self) -> Any:
        line = self._stream().readline()
        assert line, "the driver has ended without telling"
        return json.loads(line)

    def ends(self) -> int:
        return self.process.wait(LIMIT_S)

    def _stream(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    """Starts drivers whose directory is the test's own."""
    with contextlib.ExitStack() as stack:

        def start(source: str, *before: str, stderr: Any = None) -> Driver:
            program = tmp_path / "driver.py"
            program.write_text(PROLOGUE + source)
            process = stack.enter_context(
                subprocess.Popen(
                    [*(before or [sys.executable]), str(program)],
                    cwd=tmp_path,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=stderr if stderr is not None else subprocess.DEVNULL,
                    encoding="utf-8",
                    env={**os.environ, "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
                    start_new_session=True,
                )
            )
            stack.callback(process.kill)
            return Driver(process)

        yield start


def ends_within(process_id: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def arguments_of(process_id: int) -> str:
    return Path(f"/proc/{process_id}/cmdline").read_bytes().replace(b"\0", b" ").decode()


# ---- one session, looked at from several sides


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a driver found out about its session, and what it left behind."""
    directory = tmp_path_factory.mktemp("driver")
    program = directory / "driver.py"
    program.write_text(
        PROLOGUE
        + """
logging.getLogger("py4j").propagate = False  # as the application's log has it
handler = lambda signum, frame: None
signal.signal(signal.SIGINT, handler)
spark = start(
    conf={"spark.sql.session.timeZone": "Asia/Tokyo", "spark.sql.shuffle.partitions": "3",
          "spark.hadoop.fs.example.secret.key": "hunter2",
          "spark.driver.extraJavaOptions": "-Dmine=1 -XX:Tier4InvocationThreshold=7000"},
    submit=("--conf", "spark.ui.enabled=true", "--name", "from submit"),
)
jvm = jvm_process_id(spark)
settings = dict(spark.sparkContext.getConf().getAll())
facts = {
    "settings": settings,
    "handler_kept": signal.getsignal(signal.SIGINT) is handler,
    "command": Path(f"/proc/{jvm}/cmdline").read_bytes().decode(),
    "mine": spark._jvm.java.lang.System.getProperty("mine"),
    "environment_kept": "SPARK_SUBMIT_OPTS" not in os.environ and "PYSPARK_SUBMIT_ARGS" not in os.environ,
}
spark._jvm.org.apache.log4j.Logger.getLogger("here").warn("a warning of Spark's")
stop_session(spark)
facts["jvm_gone"] = not alive(jvm)
spark = start(conf={"spark.driver.extraJavaOptions": "-XX:+UseSerialGC"})
facts["second_command"] = Path(f"/proc/{jvm_process_id(spark)}/cmdline").read_bytes().decode()
facts["second"] = spark.range(3).count()
os.kill(jvm_process_id(spark), signal.SIGKILL)
stop_session(spark)
tell(facts)
"""
    )
    done = subprocess.run(
        [sys.executable, program],
        cwd=directory,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_S * 2,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "stderr": done.stderr, "logs": directory / "logs"}


def test_settings_that_results_depend_on_win_over_the_user_s(facts: dict[str, Any]) -> None:
    assert facts["settings"]["spark.sql.session.timeZone"] == "UTC"
    assert facts["settings"]["spark.sql.catalogImplementation"] == "hive"


def test_the_user_hears_that_a_setting_is_not_taken(facts: dict[str, Any]) -> None:
    assert "spark.sql.session.timeZone is UTC here" in facts["stderr"]


def test_other_settings_are_the_user_s(facts: dict[str, Any]) -> None:
    assert facts["settings"]["spark.sql.shuffle.partitions"] == "3"


def test_arguments_of_spark_submit_win_over_our_defaults(facts: dict[str, Any]) -> None:
    assert facts["settings"]["spark.ui.enabled"] == "true"


def test_the_user_s_java_options_arrive(facts: dict[str, Any]) -> None:
    assert facts["mine"] == "1"


def test_java_options_of_the_user_s_come_after_ours_and_win(facts: dict[str, Any]) -> None:
    options = facts["command"].partition("org.apache.spark.deploy.SparkSubmit")[0]
    assert re.findall(r"-XX:Tier4InvocationThreshold=(\d+)", options) == ["50000", "7000"]


def test_java_collects_garbage_as_the_user_says_and_else_for_the_most_work(facts: dict[str, Any]) -> None:
    collectors = [set(re.findall(r"-XX:\+Use\w+GC", facts[name])) for name in ("command", "second_command")]
    assert collectors == [{"-XX:+UseParallelGC"}, {"-XX:+UseSerialGC"}]


def test_a_secret_setting_reaches_spark_but_no_argument_list(facts: dict[str, Any]) -> None:
    assert facts["settings"]["spark.hadoop.fs.example.secret.key"] == "hunter2"
    assert "hunter2" not in facts["command"]


def test_sigint_keeps_the_driver_s_handler(facts: dict[str, Any]) -> None:
    assert facts["handler_kept"]


def test_the_driver_s_environment_stays_as_it_was(facts: dict[str, Any]) -> None:
    assert facts["environment_kept"]


def test_the_jvm_is_gone_when_the_session_has_stopped(facts: dict[str, Any]) -> None:
    assert facts["jvm_gone"]


def test_another_session_can_follow_in_the_same_process(facts: dict[str, Any]) -> None:
    assert facts["second"] == 3


def test_spark_writes_its_warnings_to_its_own_log_only(facts: dict[str, Any]) -> None:
    assert "a warning of Spark's" in (facts["logs"] / "spark.log").read_text()
    assert "a warning of Spark's" not in facts["stderr"]


def test_nothing_but_our_own_lines_comes_to_standard_error(facts: dict[str, Any]) -> None:
    ours = re.compile(r"spark\.conf: |Spark did not answer when it was stopped")

    assert [line for line in facts["stderr"].splitlines() if not ours.search(line)] == []


def test_spark_s_log_is_for_its_owner_only(facts: dict[str, Any]) -> None:
    assert (facts["logs"] / "spark.log").stat().st_mode & 0o777 == 0o600


# ---- signals and deaths


def test_ctrl_c_reaches_the_driver_only(drive: Callable[..., Driver]) -> None:
    driver = drive(
        """
spark = start()
def stopped(signum, frame):
    tell(spark.range(5).count())
    stop_session(spark)
    sys.exit(130)
signal.signal(signal.SIGINT, stopped)
tell("ready")
time.sleep(600)
"""
    )
    assert driver.tells() == "ready"

    os.killpg(driver.process.pid, signal.SIGINT)

    assert (driver.tells(), driver.ends()) == (5, 130)


def test_the_jvm_ends_when_the_driver_is_killed(drive: Callable[..., Driver]) -> None:
    driver = drive("spark = start()\ntell(jvm_process_id(spark))\ntime.sleep(600)\n")
    jvm = driver.tells()

    driver.process.kill()

    assert ends_within(jvm, LIMIT_S)


def test_the_jvm_ends_when_the_driver_is_killed_in_the_middle_of_a_job(drive: Callable[..., Driver]) -> None:
    driver = drive(
        """
spark = start()
tell(jvm_process_id(spark))
spark.range(10**15).selectExpr("sum(id * id)").collect()
"""
    )
    jvm = driver.tells()
    time.sleep(3)

    driver.process.kill()

    assert ends_within(jvm, LIMIT_S)


def test_a_jvm_that_is_killed_ends_progress_and_the_step_finds_out_itself(drive: Callable[..., Driver]) -> None:
    driver = drive(
        """
import threading
from traffic_aggr.spark import progress
spark = start()
progress.LOGGED_EVERY_S = 0.1
try:
    with progress.shown(spark, "stage"):
        os.kill(jvm_process_id(spark), signal.SIGKILL)
        time.sleep(2)
        tell([thread.name for thread in threading.enumerate() if "progress" in thread.name])
        spark.range(5).count()
except Exception as exc:
    tell(explain_lost_jvm(exc) is not None)
sys.exit(7)
"""
    )

    assert [driver.tells(), driver.tells(), driver.ends()] == [[], True, 7]


def test_spark_shows_nothing_on_a_terminal(drive: Callable[..., Driver]) -> None:
    ours, theirs = pty.openpty()
    driver = drive(
        """
spark = start()
spark._jvm.org.apache.log4j.Logger.getLogger("here").warn("a warning of Spark's")
spark.range(0, 4 * 10**9, 1, 4).selectExpr("sum(id * id % 7)").collect()
stop_session(spark)
""",
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that nobody has the terminal open any more
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)

    assert driver.ends() == 0
    assert shown == b""


# ---- a plain spark-submit


def spark_submit() -> str:
    import pyspark

    return str(Path(pyspark.__file__).parent / "bin" / "spark-submit")


def test_a_plain_spark_submit_s_jvm_and_master_are_used(drive: Callable[..., Driver]) -> None:
    driver = drive(
        """
spark = start(master="local[7]")
tell([jvm_process_id(spark) == os.getppid(), spark.sparkContext.master, spark.conf.get("spark.sql.session.timeZone")])
stop_session(spark)
sys.exit(75)
""",
        spark_submit(),
        "--master",
        "local[2]",
    )

    assert driver.tells() == [True, "local[2]", "UTC"]
    assert driver.ends() == 75


def test_a_plain_spark_submit_passes_the_program_s_exit_code() -> None:
    done = subprocess.run(
        [spark_submit(), ROOT / "jobs" / "traffic_adhoc_aggr.py", "no-such-command"],
        cwd="/",
        env={**os.environ, "PYSPARK_PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT_S,
    )

    assert done.returncode == 2


# ---- failures


EXPLAIN = """
try:
    spark = start({changes})
    try:
        spark.sql("SHOW DATABASES").collect()
    except Exception as exc:
        tell(str(explain_start_failure(exc)))
    finally:
        stop_session(spark)
except TrafficAggrError as exc:
    tell(str(exc))
"""


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param("submit=('--nonsense',)", "Unrecognized option: --nonsense", id="wrong argument"),
        pytest.param("conf={'spark.driver.memory': 'lots'}", "Invalid maximum heap size", id="wrong memory"),
        pytest.param("conf={'spark.driver.memory': '100m'}", "System memory", id="too little memory"),
        pytest.param("master='there://'", "Master must either be", id="wrong master"),
        pytest.param(
            "conf={'spark.hadoop.hive.metastore.uris': 'thrift://127.0.0.1:1'}",
            "the Hive metastore does not answer",
            id="metastore",
        ),
    ],
)
def test_a_session_that_cannot_start_is_explained_in_one_line(
    drive: Callable[..., Driver], changes: str, line: str
) -> None:
    driver = drive(EXPLAIN.format(changes=changes))

    explanation = driver.tells()

    assert line in explanation
    assert "\n" not in explanation
    assert driver.ends() == 0


@pytest.mark.slow
def test_an_embedded_metastore_in_use_is_explained_in_one_line(
    drive: Callable[..., Driver], spark: SparkSession
) -> None:
    spark.sql("SHOW DATABASES").collect()
    url = spark.sparkContext.getConf().get("spark.hadoop.javax.jdo.option.ConnectionURL")
    changes = f"conf={{'spark.hadoop.javax.jdo.option.ConnectionURL': {url!r}}}"

    driver = drive(EXPLAIN.format(changes=changes))

    assert re.match(r"the embedded metastore /\S+ is in use by another process\. ", driver.tells())
