"""What the lookups give the aggregation, and which of their keys are ambiguous."""

from __future__ import annotations

from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession

from tests.support.frames import frame_of
from traffic_aggr.restate.row_checks import duplicate_keys


def test_names_without_key_or_value_match_nothing(organisations: DataFrame) -> None:
    assert {row.orgno for row in organisations.collect()} == {1, 2, 3, 5}


def test_country_keys_are_trimmed(countries: DataFrame) -> None:
    assert {tuple(row) for row in countries.collect()} == {("404", "India"), ("310", "United States")}


def test_keys_that_are_equal_after_trimming_are_duplicates_whatever_their_name(spark: SparkSession) -> None:
    keys = [("404", "India"), (" 404", None), ("404 ", "India"), ("310", "USA"), (None, "a"), (None, "b")]
    lookup = frame_of(spark, [*keys, ("404\u00a0", "c")], "mcc string, country string")
    expected = frame_of(spark, [("404", 3)], "mcc string, rows bigint")
    assert_df_equality(duplicate_keys(lookup, "mcc"), expected, ignore_nullable=True)


def test_duplicate_organisation_numbers_are_found(spark: SparkSession) -> None:
    lookup = frame_of(spark, [(2, "a"), (1, "b"), (2, "a"), (None, "c"), (None, "d")], "orgno bigint, n string")
    expected = frame_of(spark, [(2, 2)], "orgno bigint, rows bigint")
    assert_df_equality(duplicate_keys(lookup, "orgno"), expected, ignore_nullable=True)


def test_unique_keys_have_no_duplicates(spark: SparkSession) -> None:
    assert duplicate_keys(frame_of(spark, [(1,), (2,)], "orgno bigint"), "orgno").isEmpty()
