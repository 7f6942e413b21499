"""Helpers of the tests. No test module imports another."""

import pytest

pytest.register_assert_rewrite("tests.support.files_behaviour")
