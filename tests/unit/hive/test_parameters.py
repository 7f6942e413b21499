"""Which parameters of a partition hold for new files, and which for old ones that come back."""

from __future__ import annotations

import pytest

from traffic_aggr.hive.parameters import ACCURATE, describes_files, for_new_files, for_old_files, of_the_owner

OWNERS = {"reviewed_by": "ana", "comment": "numRows", "spark.sql.note": "x", "cache_directive_id": "7", "impala": "y"}
ROWS, COLUMNS = '{"BASIC_STATS":"true"}', '"COLUMN_STATS":{"kb":"true"}'


@pytest.mark.parametrize(
    "name",
    [
        ACCURATE,
        "numRows",
        "NUMROWS",
        "totalSize",
        "numFiles",
        "rawDataSize",
        "numFilesErasureCoded",
        "STATS_GENERATED",
        "spark.sql.statistics.numRows",
        "spark.sql.statistics.colStats.kb.max",
        "impala_intermediate_stats_chunk12",
        "impala_intermediate_stats_num_chunks",
        "impala.events.catalogVersion",
        "is_archived",
    ],
)
def test_what_describes_old_files_does_not_hold_for_new_ones(name: str) -> None:
    assert describes_files(name)
    assert for_new_files({**OWNERS, name: "1"}, None) == OWNERS


def test_new_files_have_the_rows_that_were_counted_and_no_promise() -> None:
    found = for_new_files({**OWNERS, "numRows": "1", ACCURATE: ROWS}, 0)
    assert found == {**OWNERS, "numRows": "0", "STATS_GENERATED_VIA_STATS_TASK": "true"}


@pytest.mark.parametrize(
    ("was", "comes_back"),
    [
        (ROWS, ROWS),
        ("{" + COLUMNS + "}", None),
        (ROWS[:-1] + "," + COLUMNS + "}", ROWS),
        ("true", "true"),  # as Hive 1 wrote it
    ],
)
def test_the_promise_about_rows_comes_back_with_old_files_that_about_columns_does_not(
    was: str, comes_back: str | None
) -> None:
    found = for_old_files({**OWNERS, "numRows": "1", ACCURATE: was})
    assert found.pop(ACCURATE, None) == comes_back
    assert found == {**OWNERS, "numRows": "1"}


def test_an_owners_parameters_are_all_others() -> None:
    assert of_the_owner(OWNERS) == OWNERS
