"""What a test needs of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from devtools.hadoop_jars import JarsUnavailableError

REQUIRED = "TRAFFIC_AGGR_REQUIRE_CLUSTER"


def require(class_path: Callable[[], object], what: str) -> None:
    """Skips a test whose class path is unavailable, or fails it if TRAFFIC_AGGR_REQUIRE_CLUSTER is 1."""
    try:
        class_path()
    except JarsUnavailableError as exc:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"no {what}, though {REQUIRED} is 1: {exc}")
        pytest.skip(f"no {what}: {exc}")
