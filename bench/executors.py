"""
Runs the job on executors of their own, of one core each, and says what they did: seconds, shuffled bytes, skew.

    python -m bench.executors --write
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyspark
import yaml

from bench import data as bench_data
from bench.__main__ import PAGE, machine, refuse_wrong_totals
from bench.contenders import CONTENDERS, environment
from bench.data import Data
from bench.measure import CommandError
from bench.page import write_block
from devtools.daemons import HOST, Daemon, fetch, free_ports, java_command, java_environment
from traffic_aggr.units import counted

EXECUTORS = (1, 2)
MEMORY = "2g"
_MIB = 1024**2
_HEADS = (
    "executors",
    "seconds",
    "task seconds",
    "CPU seconds of tasks",
    "shuffled MiB",
    "spilled MiB",
    "longest task / median",
)


@dataclass(frozen=True)
class Task:
    """A finished task: seconds it ran, CPU seconds, and bytes it wrote for a shuffle and spilled to disk."""

    stage: int
    seconds: float
    cpu: float
    shuffled: int
    spilled: int


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.executors", description=__doc__.strip().splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--write", action="store_true", help=f"put the result into docs/{PAGE.name}")
    arguments = parser.parse_args()
    data = bench_data.made(arguments.rows, arguments.days, 3)
    lines = [f"| {' | '.join(_HEADS)} |", f"|{' --- |' * len(_HEADS)}"]
    print("\n".join(lines), flush=True)
    for executors in EXECUTORS:
        try:
            lines.append(_line(data, executors))
        except CommandError as exc:
            print(f"bench: {exc}", file=sys.stderr)
            return 1
        print(lines[-1], flush=True)
    if arguments.write:
        size = f"{counted(data.rows, 'CDR')} in {counted(data.days, 'day')}; {MEMORY} and one core an executor"
        write_block(PAGE, "executors", [*(f"- {fact}" for fact in (size, *machine())), "", *lines])
    return 0


def _line(data: Data, executors: int) -> str:
    ours = next(each for each in CONTENDERS if each.name == "swap")
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, _cluster(Path(directory), executors) as master:
        home, events = Path(directory, ours.name), Path(directory, "events")
        events.mkdir()
        ours.prepare(home, data)
        command = ours.command(home, data)
        config = home / "config.yaml"
        document = yaml.safe_load(config.read_text())
        document["spark"]["master"] = master
        document["spark"]["conf"] |= {
            "spark.executor.memory": MEMORY,
            "spark.executor.cores": "1",
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": events.as_uri(),
        }
        config.write_text(yaml.safe_dump(document))
        started = time.monotonic()
        ended = subprocess.run(command, env=environment(), capture_output=True, text=True)
        seconds = time.monotonic() - started
        if ended.returncode != 0:
            raise CommandError(f"{ours.title} ended with {ended.returncode}: {ended.stderr[-500:]}")
        refuse_wrong_totals(ours, home, bench_data.totals(data.final))
        (log,) = events.iterdir()
        return row(executors, seconds, list(tasks(log)))


def tasks(log: Path) -> Iterator[Task]:
    """Yields the finished tasks in an event log of Spark."""
    with log.open(encoding="utf-8") as lines:
        for event in map(json.loads, lines):
            if event["Event"] == "SparkListenerTaskEnd" and event.get("Task Metrics"):
                metrics = event["Task Metrics"]
                yield Task(
                    event["Stage ID"],
                    metrics["Executor Run Time"] / 1000,
                    metrics["Executor CPU Time"] / 1e9,
                    metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"],
                    metrics["Disk Bytes Spilled"],
                )


def row(executors: int, seconds: float, done: Sequence[Task]) -> str:
    """Returns a line of the table. The skew is that of the stage whose tasks took longest in all."""
    by_stage: dict[int, list[float]] = {}
    for task in done:
        by_stage.setdefault(task.stage, []).append(task.seconds)
    largest = max(by_stage.values(), key=sum)
    cells = [
        str(executors),
        f"{seconds:.1f}",
        f"{sum(task.seconds for task in done):.1f}",
        f"{sum(task.cpu for task in done):.1f}",
        f"{sum(task.shuffled for task in done) / _MIB:,.0f}",
        f"{sum(task.spilled for task in done) / _MIB:,.0f}",
        f"{max(largest) / statistics.median(largest):.2f}",
    ]
    return f"| {' | '.join(cells)} |"


@contextlib.contextmanager
def _cluster(home: Path, workers: int) -> Iterator[str]:
    """Starts Spark's own cluster manager with ``workers`` of one core on this host. Yields the master's URL."""
    spark = Path(pyspark.__file__).parent
    # load-spark-env.sh, which these commands do without, would set the version of Scala.
    environment = java_environment(home, SPARK_HOME=str(spark), SPARK_LOCAL_IP=HOST, SPARK_SCALA_VERSION="2.12")
    port, *ports = free_ports(2 + 2 * workers)
    master = f"spark://{HOST}:{port}"

    def daemon(name: str, at: int, page: int, main_class: str, *arguments: str) -> Daemon:
        where = ("--host", HOST, "--port", str(at), "--webui-port", str(page))
        command = java_command(
            environment,
            [f"{spark}/jars/*"],
            f"org.apache.spark.deploy.{main_class}",
            [*where, *arguments],
            memory="512m",
        )
        return Daemon(
            name,
            command,
            environment=environment,
            directory=home / name,
            log=home / f"{name}.log",
            answers=lambda: bool(fetch(f"http://{HOST}:{page}/json/")),
        )

    daemons = [daemon("master", port, ports[0], "master.Master")]
    for number in range(workers):
        own, page = ports[1 + 2 * number : 3 + 2 * number]
        daemons.append(
            daemon(
                f"worker-{number}",
                own,
                page,
                "worker.Worker",
                "--cores",
                "1",
                "--memory",
                MEMORY,
                "--work-dir",
                str(home / "work"),
                master,
            )
        )
    with contextlib.ExitStack() as stack:
        for each in daemons:
            stack.callback(each.stop)
            each.start()
        yield master


if __name__ == "__main__":
    sys.exit(main())
