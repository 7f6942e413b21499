"""Deaths at every point in mode drop_and_load."""

from __future__ import annotations

import pytest

from tests.support.crash.deaths import DeathsAnywhere

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1800)]


class TestDropAndLoad(DeathsAnywhere):
    mode = "drop_and_load"
