"""How long a run is likely to take."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from tests.support.fakes import FIRST, run_record
from traffic_aggr.run.estimate import estimate
from traffic_aggr.run.record import Day, Input, Outcome, RunRecord, StepRecord


def took(minutes: int, raw_bytes: int, **values: Any) -> RunRecord:
    return run_record(
        **{
            "started": "2021-05-01T00:00:00.000+00:00",
            "ended": f"2021-05-01T00:{minutes:02d}:00.000+00:00",
            "outcome": Outcome.SUCCESS,
            "inputs": {FIRST: Input("file:/raw", 1, raw_bytes, 0)} if raw_bytes else {},
            "days": {FIRST: Day("home", "kept")},
            **values,
        }
    )


@pytest.mark.parametrize(
    ("raw_bytes", "seconds"), [(1000, 60.0), (500, 30.0), (9000, 540.0), (2_000_000, 2400.0), (0, None)]
)
def test_the_run_that_read_most_nearly_as_much_is_taken_in_proportion(raw_bytes: int, seconds: Optional[float]) -> None:
    found = estimate([took(1, 1000), took(20, 1_000_000)], raw_bytes)
    assert (found.seconds if found else None) == seconds


@pytest.mark.parametrize(("first_step", "seconds"), [(12, 12 + 4.8), (40, 20 + 4.0)])
def test_the_start_of_a_run_takes_as_long_for_few_days_as_for_many(first_step: int, seconds: float) -> None:
    began = StepRecord("drop", f"2021-05-01T00:00:{first_step}.000+00:00")
    found = estimate([took(1, 1000, steps=[began])], 100)
    assert found is not None
    assert found.seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "values",
    [
        {"outcome": Outcome.FAILED},
        {"outcome": Outcome.RUNNING, "ended": None},
        {"command": "rollback"},
        {"resumes": "R"},
        {"inputs": {}},
    ],
)
def test_other_runs_say_nothing(values: dict[str, Any]) -> None:
    assert estimate([took(1, 1000, **values)], 1000) is None
