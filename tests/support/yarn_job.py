"""The job on the test cluster, started as cron starts it, and what readers and operators find afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

import duckdb
import yaml

from devtools.cluster import Cluster
from devtools.impala_double import DROP, ImpalaDouble, InMemoryCatalog, TableInfo
from tests.support.oracle import expected_rows
from tests.support.paths import ROOT
from tests.support.spark_session import QUICK_JVM

DATABASE, FINAL = "mnaas", "traffic_aggr_adhoc"
DAYS = ("2021-04-01", "2021-04-02", "2021-04-03")
PATIENCE_S = 600
# A container cannot use the class archive, which knows other paths. Verifying classes is a tenth of what its JVM does.
CONTAINER_JVM = f"{QUICK_JVM} -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
SMALL = {
    "spark.driver.memory": "768m",
    "spark.executor.memory": "768m",
    "spark.executor.instances": "1",
    "spark.executor.cores": "1",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.codegen.wholeStage": "false",
    "spark.driver.extraJavaOptions": CONTAINER_JVM,
    "spark.executor.extraJavaOptions": CONTAINER_JVM,
}
COPY = "org.apache.hadoop.fs.FsShell", "-cp", "-p"
"""Hadoop's copy, which keeps permissions."""
Rows = Counter[tuple[Any, ...]]


class YarnJob:
    """
    An edge node: its own disk beneath ``home`` for lock, status file and logs, and a configuration for the cluster.

    ``environment`` is all that a command gets: cron's variables, and those that locate the cluster.
    """

    def __init__(self, cluster: Cluster, home: Path, *, deploy_mode: str = "cluster") -> None:
        self.cluster = cluster
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        cron = {"PATH": os.environ["PATH"], "LANG": "C", "SHELL": "/bin/sh", "LOGNAME": "root"}
        self.environment = {**cron, **cluster.environment, "TRAFFIC_AGGR_PYTHON": sys.executable}
        if "JAVA_HOME" in os.environ:
            self.environment["JAVA_HOME"] = os.environ["JAVA_HOME"]
        self._document: dict[str, Any] = {
            "partitions": {"file": f"{cluster.hadoop.hdfs_uri}/sample/partitions.txt"},
            "publish": {"mode": "drop_and_load"},
            "impala": {"enabled": False},
            "state": {
                "dir": f"{cluster.hadoop.hdfs_uri}/app/{home.name}",
                "status_file": str(home / "status"),
                "lock_file": str(home / "lock"),
            },
            "logs": {"dir": str(home / "logs")},
            "notify": {"smtp": {"host": None}, "alert_file": str(home / "alerts.jsonl")},
            "spark": {"master": "yarn", "deploy_mode": deploy_mode, "submit": [], "conf": {**SMALL}},
        }
        self.configure({})

    def follow_by_months(self) -> None:
        """Names the usage trend as a dependant, in a configuration of its own."""
        tables = {"raw": FINAL, "staging": "usage_trend_inter", "final": "usage_trend"}
        own = {
            "job": {"name": "usage_trend", "definition": "traffic_aggr.usage_trend.job:USAGE_TREND"},
            "tables": {**self._document.get("tables", {}), **tables},
            "state": {
                "dir": f"{self._document['state']['dir']}/usage_trend",
                "status_file": str(self.home / "usage_trend.status"),
                "lock_file": str(self.home / "usage_trend.lock"),
            },
        }
        (self.home / "usage_trend.yaml").write_text(yaml.safe_dump({**self._document, **own}))
        self.configure({"dependants": [str(self.home / "usage_trend.yaml")]})

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Rewrites the configuration with ``settings`` merged over the current one."""
        for section, values in settings.items():
            if not isinstance(values, Mapping):
                self._document[section] = values
                continue
            merged = {**self._document.get(section, {}), **values}
            if "conf" in values:
                merged["conf"] = {**self._document[section]["conf"], **values["conf"]}
            self._document[section] = merged
        (self.home / "config.yaml").write_text(yaml.safe_dump(self._document))

    def start(self, *command: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Starts the launcher as cron does, from the root directory."""
        return subprocess.Popen(
            [*before, str(ROOT / "spark-submit.sh"), *command, "--config", str(self.home / "config.yaml")],
            env=self.environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str) -> tuple[int, str, str]:
        """Runs a command, and returns its exit code, output and errors."""
        process = self.start(*command)
        out, err = process.communicate(timeout=PATIENCE_S)
        return process.returncode, out, err

    # ---- what it leaves

    def status(self) -> dict[str, str]:
        """Returns the keys and values of the status file."""
        lines = (self.home / "status").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def records(self) -> list[dict[str, Any]]:
        """Returns all run records, newest first."""
        hdfs, runs = self.cluster.hadoop.hdfs, f"/app/{self.home.name}/runs"
        found = hdfs.list(runs) if hdfs.exists(runs) else {}
        names = sorted((name for name, status in found.items() if status["type"] == "DIRECTORY"), reverse=True)
        paths = [f"{runs}/{name}/run.json" for name in names]
        return [json.loads(hdfs.read(path)) for path in paths if hdfs.exists(path)]

    def wait_until(
        self, reached: Callable[[dict[str, Any]], bool], process: Optional[subprocess.Popen[str]] = None
    ) -> dict[str, Any]:
        """Waits until the newest run record satisfies ``reached``, while ``process`` runs. Returns that record."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            records = self.records()
            if records and reached(records[0]):
                return records[0]
            assert process is None or process.poll() is None, process.communicate()
            time.sleep(0.2)
        raise AssertionError("never got there")

    def stop(self, process: subprocess.Popen[str], signum: int = signal.SIGTERM) -> tuple[int, str]:
        """Signals the launcher alone, as an operator or systemd does. Returns its exit code and errors."""
        process.send_signal(signum)
        _, err = process.communicate(timeout=PATIENCE_S)
        return process.returncode, err


class Silence:
    """Blocks whoever calls ``hold`` until ``answer`` is set; ``asked`` is set by the first call."""

    def __init__(self) -> None:
        self.asked, self.answer = threading.Event(), threading.Event()

    def hold(self) -> bool:
        self.asked.set()
        return not self.answer.wait(3 * PATIENCE_S)


@contextmanager
def silent_impala(directory: Path) -> Iterator[tuple[dict[str, Any], Silence]]:
    """
    Yields settings for a coordinator that does not answer, and the ``Silence`` that makes it answer.

    A run blocks on it after planning, before it changes anything.
    """
    catalog, silence = InMemoryCatalog(), Silence()
    for name in (FINAL, f"{FINAL}_inter"):
        catalog.create(DATABASE, name, TableInfo((("msisdn", "string"),), "parquet", str(directory), (), {}))
    with ImpalaDouble(catalog) as impala:
        impala.plan("OpenSession", DROP, times=None, when=lambda statement: silence.hold())
        try:
            unasked = {"verify": False, "verify_raw": False}
            yield {"enabled": True, "hosts": [str(impala)], "timeout_s": 3 * PATIENCE_S, **unasked}, silence
        finally:
            silence.answer.set()


class Warehouse:
    """The sample tables on HDFS and in the metastore: their initial content, and what a run makes of them."""

    def __init__(
        self,
        cluster: Cluster,
        home: Path,
        *,
        database: str = DATABASE,
        rows_per_day: int = 300,
        conf: Optional[Mapping[str, str]] = None,
    ) -> None:
        self.cluster = cluster
        self.database = database
        self.root = "/sample" if database == DATABASE else f"/{database}"
        self._home = home
        maker = YarnJob(cluster, home / f"maker-of-{database}", deploy_mode="client")
        # A local driver makes the samples: they are small, and containers are slow to start.
        maker.configure({"tables": {"database": database}, "spark": {"master": "local[2]", "conf": conf or {}}})
        out = f"{cluster.hadoop.hdfs_uri}{self.root}"
        sizes = ("--days", str(len(DAYS)), "--rows-per-day", str(rows_per_day))
        code, _, err = maker.run("sample-data", "--out", out, *sizes)
        assert code == 0, err
        with cluster.metastore.catalog.client() as client:
            self._add_last_day(client)
            self._table = client.get_table(database, FINAL)
            self._partitions = client.get_partitions(database, FINAL, -1)
        cluster.hadoop.run(*COPY, f"{self.root}/final", f"{self.root}/as-made")
        self.old = self.content()
        sources = [self.fetch(f"{self.root}/{name}") for name in ("raw", "org_details", "country_lookup")]
        right = [row[:-1] for row in expected_rows(*sources, DAYS)]
        self.new = {day: Counter(row[:-1] for row in right if row[-1] == day) for day in DAYS}

    def _add_last_day(self, client: Any) -> None:
        """Gives the last listed day, which sample data leaves out of the final table, the rows of the first."""
        first = client.get_partition(self.database, FINAL, [DAYS[0]])
        source = urlsplit(first.sd.location).path
        self.cluster.hadoop.run(*COPY, source, source.replace(DAYS[0], DAYS[-1]))
        first.values, first.sd.location = [DAYS[-1]], first.sd.location.replace(DAYS[0], DAYS[-1])
        client.add_partition(first)

    def reset(self) -> None:
        """Restores the initial state without the job."""
        with self.cluster.metastore.catalog.client() as client:
            for partition in client.get_partitions(self.database, FINAL, -1):
                client.drop_partition(self.database, FINAL, partition.values, False)
            client.alter_table(self.database, FINAL, self._table)
            self.cluster.hadoop.hdfs.delete(f"{self.root}/final")
            self.cluster.hadoop.run(*COPY, f"{self.root}/as-made", f"{self.root}/final")
            client.add_partitions(self._partitions)

    @property
    def unlisted(self) -> dict[str, Rows]:
        return {day: rows for day, rows in self.old.items() if day not in DAYS}

    def content(self) -> dict[str, Rows]:
        """Returns the rows of each day in the final table, read through its partitions."""
        with self.cluster.metastore.catalog.client() as client:
            found = client.get_partitions(self.database, FINAL, -1)
        return {part.values[0]: self._rows_in(urlsplit(part.sd.location).path) for part in found}

    def assert_side(self, name: str) -> None:
        """Asserts that all listed days are ``old``, or all ``new``, and that the others are unchanged."""
        side = {"old": self.old, "new": self.new}[name]
        assert self.content() == {**self.unlisted, **{day: side[day] for day in DAYS}}

    def fetch(self, path: str) -> Path:
        """Downloads a directory from HDFS, and returns the local copy."""
        target = self._home / "fetched" / path.strip("/")
        hdfs = self.cluster.hadoop.hdfs
        for name in hdfs.walk(path):
            copy = target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(hdfs.read(f"{path}/{name}"))
        return target

    def _rows_in(self, directory: str) -> Rows:
        hdfs, scratch = self.cluster.hadoop.hdfs, self._home / "part.parquet"
        found: Rows = Counter()
        for name in hdfs.list(directory):
            if name.endswith(".parquet"):
                scratch.write_bytes(hdfs.read(f"{directory}/{name}"))
                query = "SELECT * FROM read_parquet(?, hive_partitioning = false)"
                found.update(duckdb.execute(query, [str(scratch)]).fetchall())
        return found
