"""The fixtures of tests on Spark."""

from tests.support.job_fixtures import desk, impala, job, sources

__all__ = ["desk", "impala", "job", "sources"]
