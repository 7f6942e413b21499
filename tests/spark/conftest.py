"""The fixtures of tests on Spark."""

from tests.support.aggregated_rows import countries, organisations, rows_of
from tests.support.job_fixtures import desk, impala, job, sources

__all__ = ["countries", "desk", "impala", "job", "organisations", "rows_of", "sources"]
