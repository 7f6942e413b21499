"""The fixtures of the Spark tests."""

from tests.spark.conftest import impala, job, sources  # noqa: F401
