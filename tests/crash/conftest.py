"""The fixtures of the Spark tests."""

from tests.spark.conftest import desk, impala, job, sources

__all__ = ["desk", "impala", "job", "sources"]
