"""Coordinators that are processes of their own, as a cluster's are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Optional

from devtools.cluster import ROOT, Cluster
from devtools.daemons import HOST


@contextmanager
def coordinator(cluster: Cluster, *options: str, environment: Optional[Mapping[str, str]] = None) -> Iterator[int]:
    """
    The port of a coordinator that reads what the cluster's metastore and HDFS have; ``options`` of its command line,
    and ``environment`` that it has beside this process's.
    """
    metastore = f"{HOST}:{cluster.metastore.port}"
    command = [sys.executable, "-m", "devtools.impala_double", "--metastore", metastore, "--port", "0", *options]
    with subprocess.Popen(
        [*command, "--webhdfs", str(cluster.hadoop.hdfs.port)],
        env={**os.environ, **(environment or {})},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.terminate()
