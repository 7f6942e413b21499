"""Values that a text table would misread, or that are longer than their column."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame

from tests.support.aggregated_rows import MakeRaw
from traffic_aggr.restate.row_checks import values_with
from traffic_aggr.traffic.aggregation import (
    stored_text,
)


def test_a_delimiter_becomes_a_space_before_grouping_and_trimming(rows_of: Any) -> None:
    (row,) = rows_of([{"apn": "a;b"}, {"apn": "a b"}, {"apn": ";a\nb;"}], delimiters=";\n")
    assert (row.apn, row.source_rows) == ("a b", 3)


def test_names_that_are_not_trimmed_keep_the_space(rows_of: Any) -> None:
    (row,) = rows_of([{"companyname": ";x", "country": "y;"}], delimiters=";")
    assert (row.customername, row.country) == (" x", "y ")


def test_looked_up_names_are_changed_too(rows_of: Any) -> None:
    (row,) = rows_of([{"tcl_secs_id": 5}], delimiters=";")
    assert row.customername == "Semi colon"


def test_nothing_changes_without_delimiters(rows_of: Any) -> None:
    (row,) = rows_of([{"tcl_secs_id": 5, "apn": "a;b"}])
    assert (row.customername, row.apn) == ("Semi;colon", "a;b")


def test_call_types_are_told_apart_by_what_raw_holds(rows_of: Any) -> None:
    rows = rows_of([{"calltype": ";Data", "bytes": 1024}, {"calltype": "Data", "bytes": 2048}], delimiters=";")
    assert [(row.calltype, row.data_usage_in_kb) for row in rows] == [("Data", 2)]


def test_values_that_a_text_table_would_misread_are_counted_with_an_example(
    make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame
) -> None:
    raw = make_raw([{"apn": "a;b"}, {"apn": "c;d", "vin": " \\N "}, {"apn": "ok", "tcl_secs_id": 5}, {"sim": "x\ny"}])
    found = values_with(stored_text(raw, organisations, countries), ";\n", ["\\N"]).first()
    assert found is not None
    dangerous = {name: tuple(value) for name, value in found.asDict().items() if value.rows}
    assert dangerous == {
        "apn": (2, "c;d"),
        "vin": (1, "\\N"),
        "customername": (1, "Semi;colon"),
        "sim": (1, "x\ny"),
    }


def test_values_longer_than_their_column_are_counted_by_characters_or_by_bytes(
    make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame
) -> None:
    raw = make_raw([{"apn": "äöü"}, {"apn": "abcd"}, {"apn": "\U0001f600" * 3}, {"apn": " abc "}])
    texts = stored_text(raw, organisations, countries)
    by_characters = values_with(texts, "", [], {"apn": 3}).first()
    by_bytes = values_with(texts, "", [], {"apn": 3}, in_bytes=True).first()
    assert by_characters is not None
    assert by_bytes is not None
    assert tuple(by_characters.apn_too_long) == (1, "abcd")
    assert by_bytes.apn_too_long.rows == 3


def test_a_company_whose_organisation_is_found_is_not_stored_and_does_no_harm(
    make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame
) -> None:
    raw = make_raw([{"companyname": "a;b", "tcl_secs_id": 1}])
    found = values_with(stored_text(raw, organisations, countries), ";", []).first()
    assert found is not None
    assert tuple(found.customername) == (0, None)


def test_replaced_delimiters_do_no_harm_but_may_leave_a_null_marker(
    make_raw: MakeRaw, organisations: DataFrame, countries: DataFrame
) -> None:
    texts = stored_text(make_raw([{"apn": "a;b", "vin": ";\\N"}]), organisations, countries, delimiters=";")
    found = values_with(texts, ";", ["\\N"]).first()
    assert found is not None
    assert (found.apn.rows, tuple(found.vin)) == (0, (1, "\\N"))
