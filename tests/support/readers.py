"""
A reader of the final table in a process of its own, which reads for as long as its standard input is open.

    python -m tests.support.readers metastore PORT   asks the metastore for the days, then reads their files with DuckDB
    python -m tests.support.readers impala PORT      asks an Impala double for rows and usage of each day

It prints ``reading`` after its first read, and at the end each distinct view with its count, as JSON.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Optional

import duckdb
from impala.dbapi import connect

from devtools.impala_double.catalog import local_path
from devtools.impala_double.metastore_catalog import ThriftMetastoreCatalog
from tests.support.installation import DAYS, PATIENCE_S, ROOT
from tests.support.served_warehouse import DATABASE, FINAL

HOST = "127.0.0.1"
View = dict[str, Any]
"""What a reader saw of each listed day, or under ``error`` what went wrong."""

_DIGEST = """
    SELECT filename, count(*), sum(hash(part)::HUGEINT)
    FROM read_parquet($1, hive_partitioning = false, filename = true) AS part GROUP BY filename
"""
_USAGE = f"SELECT partition_date, COUNT(*), SUM(data_usage_in_kb) FROM {DATABASE}.{FINAL} GROUP BY partition_date"


class MetastoreReader:
    """Asks for the locations of all listed days in one request, then reads all their rows."""

    def __init__(self, port: int) -> None:
        self._connected = ExitStack()  # one connection for the reader's life
        self._client = self._connected.enter_context(ThriftMetastoreCatalog(HOST, port).client())
        self._names = [f"partition_date={day}" for day in DAYS]
        duckdb.execute("SET threads = 1")  # the files are small, and the job needs the processors too

    def __call__(self) -> View:
        found = self._client.get_partitions_by_names(DATABASE, FINAL, self._names)
        view = {part.values[0]: [0, 0] for part in sorted(found, key=lambda part: str(part.values))}
        days = {
            str(path): part.values[0]
            for part in found
            for path in Path(local_path(part.sd.location, quoted=False)).iterdir()
            if path.name.endswith(".parquet")
        }
        for path, rows, digest in duckdb.execute(_DIGEST, [sorted(days)]).fetchall() if days else ():
            rows_before, digest_before = view[days[path]]
            view[days[path]] = [rows_before + rows, digest_before + digest]
        return view


class ImpalaReader:
    """Asks for rows and usage of all days in one statement."""

    def __init__(self, port: int) -> None:
        self._cursor = connect(HOST, port, timeout=PATIENCE_S, retries=1).cursor()

    def __call__(self) -> View:
        self._cursor.execute(_USAGE)
        return {day: [rows, str(usage)] for day, rows, usage in self._cursor.fetchall() if day in DAYS}


KINDS: dict[str, Callable[[int], Callable[[], View]]] = {"metastore": MetastoreReader, "impala": ImpalaReader}


class Reading:
    """
    A reader at work in its own process; use it as a context manager.

    ``views``, and ``counts`` with the number of reads of each, are filled once it has ended.
    """

    def __init__(self, kind: str, port: int) -> None:
        self.views: list[View] = []
        self.counts: list[int] = []
        self._command = [sys.executable, "-m", "tests.support.readers", kind, str(port)]
        self._process: Optional[subprocess.Popen[str]] = None

    def __enter__(self) -> Reading:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "reading\n"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        out, _error = self._process.communicate(timeout=PATIENCE_S)
        for view, count in json.loads(out):
            self.views.append(view)
            self.counts.append(count)

    @property
    def reads(self) -> int:
        return sum(self.counts)


def _read_until_told(read: Callable[[], View]) -> list[tuple[View, int]]:
    told = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        told.set()

    threading.Thread(target=listen, daemon=True).start()
    seen: Counter[str] = Counter()
    last = False
    while not last:
        last = told.is_set()  # reads once more after the end of input, to see the final state
        try:
            view = read()
        except Exception as exc:  # any error that a reader meets is a finding
            view = {"error": f"{type(exc).__name__}: {exc}"}
        seen[json.dumps(view)] += 1
        if seen.total() == 1:
            print("reading", flush=True)
    return [(json.loads(view), count) for view, count in seen.items()]


if __name__ == "__main__":
    logging.disable()
    print(json.dumps(_read_until_told(KINDS[sys.argv[1]](int(sys.argv[2])))))
