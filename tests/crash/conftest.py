"""The fixtures of the Spark tests, and one to tell what was covered."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.cover import Covered
from tests.spark.conftest import desk, impala, job, sources

__all__ = ["covered", "desk", "impala", "job", "sources"]


@pytest.fixture
def covered(record_property: Callable[[str, object], None]) -> Covered:
    return lambda where, what: record_property("covered", f"{where}: {what}")
