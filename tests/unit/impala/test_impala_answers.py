from __future__ import annotations

import pytest
import yaml

from tests.support.paths import IMPALA_MESSAGES
from traffic_aggr.impala.answers import TROUBLES, UNLISTED, Kind, refreshes_before, trouble_of
from traffic_aggr.impala.outcomes import UntrustedError

MESSAGES: list[dict[str, str]] = yaml.safe_load(IMPALA_MESSAGES.read_text())


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["said"][:60])
def test_a_message_of_impalas_sources_is_known_for_what_it_is(message: dict[str, str]) -> None:
    assert trouble_of(message["said"]).kind is Kind[message["kind"]]


def test_every_row_of_the_table_is_the_first_to_fit_a_message() -> None:
    assert set(TROUBLES) - {trouble_of(message["said"]) for message in MESSAGES} == set()


def test_words_are_found_across_lines_and_in_any_case() -> None:
    assert trouble_of("table 'a.b' was modified\n while operation was in progress, aborting").kind is Kind.PASSING


@pytest.mark.parametrize("answer", ["", "AnalysisException: something new", "x" * 200_000])
def test_an_answer_of_no_row_is_final(answer: str) -> None:
    assert trouble_of(answer) is UNLISTED
    assert not UNLISTED.passes


def test_who_cannot_be_trusted_is_not_asked_again_whatever_the_words() -> None:
    assert not UntrustedError("GSSAPI authentication failed: No such file or directory", hint="").trouble.passes


def test_a_query_of_no_table_has_nothing_refreshed() -> None:
    assert refreshes_before("SELECT 1", "No such file or directory", 0) == []


def test_above_a_hundred_days_the_table_is_invalidated() -> None:
    days = ", ".join(f"'2021-0{month}-{day:02}'" for month in range(1, 6) for day in range(1, 29))
    query = f"SELECT COUNT(*) FROM mnaas.raw WHERE partition_date IN ({days})"
    assert refreshes_before(query, "", 1) == ["REFRESH mnaas.raw", "INVALIDATE METADATA mnaas.raw"]
