"""Deaths at every point in mode swap."""

from __future__ import annotations

import pytest

from tests.support.crash.deaths import DeathsAnywhere

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1800)]


class TestSwap(DeathsAnywhere):
    mode = "swap"
