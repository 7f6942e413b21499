"""The fixtures of the Spark tests, and one to tell what was covered."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.crash.cover import Covered
from tests.support.job_fixtures import desk, impala, job, sources

__all__ = ["covered", "desk", "impala", "job", "sources"]


@pytest.fixture
def covered(record_property: Callable[[str, object], None]) -> Covered:
    return lambda where, what: record_property("covered", f"{where}: {what}")
