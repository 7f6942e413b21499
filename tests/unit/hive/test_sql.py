"""Statements, and what is quoted in them."""

from __future__ import annotations

import pytest

from tests.support.totals import asked_of_final, asked_of_raw
from traffic_aggr.hive import sql
from traffic_aggr.hive.layout import TEXT_SERDE, RowFormat
from traffic_aggr.hive.partitions import Partition, partitions_between
from traffic_aggr.hive.schema import Column
from traffic_aggr.hive.sql import TableName

FINAL = TableName("mnaas", "final")
FIRST, SECOND = Partition("2021-04-01"), Partition("2021-04-02")
COLUMNS = [Column("mcc", "STRING", "country code"), Column("cost", "DECIMAL(28,6)", "sum")]


def test_a_table_is_quoted_for_spark_and_plain_in_messages() -> None:
    assert (FINAL.quoted, str(FINAL)) == ("`mnaas`.`final`", "mnaas.final")


def test_a_backtick_cannot_leave_an_identifier() -> None:
    assert sql.identifier("a`; DROP TABLE b; --`") == "`a``; DROP TABLE b; --```"


@pytest.mark.parametrize(
    ("value", "literal"),
    [("plain", "'plain'"), ("", "''"), ("it's", r"'it\'s'"), ("back\\", r"'back\\'"), (r"\'", r"'\\\''")],
)
def test_a_value_cannot_leave_its_literal(value: str, literal: str) -> None:
    assert sql.literal(value) == literal


@pytest.mark.parametrize(("days", "sizes"), [(0, []), (99, [99]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50])])
def test_partitions_go_into_statements_of_a_hundred(days: int, sizes: list[int]) -> None:
    partitions = partitions_between("2021-01-01..2021-12-31").partitions[:days]
    found = list(sql.batches(partitions))
    assert [len(batch) for batch in found] == sizes
    assert [each for batch in found for each in batch] == list(partitions)


def test_drop_names_every_partition_and_minds_none_that_is_missing() -> None:
    assert sql.drop_partitions(FINAL, [FIRST, SECOND]) == (
        "ALTER TABLE `mnaas`.`final` DROP IF EXISTS "
        "PARTITION (partition_date='2021-04-01'), PARTITION (partition_date='2021-04-02')"
    )


def test_drop_does_not_ask_for_a_purge() -> None:
    assert "PURGE" not in sql.drop_partitions(FINAL, [FIRST]).upper()


def test_add_gives_each_partition_its_place() -> None:
    assert sql.add_partitions(FINAL, {FIRST: "hdfs://a/it's", SECOND: "file:/b"}) == (
        "ALTER TABLE `mnaas`.`final` ADD IF NOT EXISTS "
        r"PARTITION (partition_date='2021-04-01') LOCATION 'hdfs://a/it\'s' "
        "PARTITION (partition_date='2021-04-02') LOCATION 'file:/b'"
    )


def test_a_table_can_be_pointed_elsewhere() -> None:
    assert sql.set_table_location(FINAL, "file:/b") == "ALTER TABLE `mnaas`.`final` SET LOCATION 'file:/b'"


def test_a_table_is_made_as_parquet_by_default() -> None:
    assert sql.create_external_table(FINAL, COLUMNS, "partition_date", "file:/b") == (
        "CREATE EXTERNAL TABLE IF NOT EXISTS `mnaas`.`final` (`mcc` STRING, `cost` DECIMAL(28,6)) "
        "PARTITIONED BY (`partition_date` STRING) STORED AS PARQUET LOCATION 'file:/b'"
    )


def test_a_table_is_made_in_the_format_of_another() -> None:
    like = RowFormat(TEXT_SERDE, "the.Input", "the.Output", {"field.delim": ";", "escape.delim": "\\"})
    assert sql.create_external_table(
        FINAL, COLUMNS[:1], "partition_date", "file:/b", row_format=like, properties={"b": "2", "a": "'"}
    ) == (
        "CREATE EXTERNAL TABLE IF NOT EXISTS `mnaas`.`final` (`mcc` STRING) PARTITIONED BY (`partition_date` STRING) "
        f"ROW FORMAT SERDE '{TEXT_SERDE}' "
        r"WITH SERDEPROPERTIES ('escape.delim'='\\', 'field.delim'=';') "
        "STORED AS INPUTFORMAT 'the.Input' OUTPUTFORMAT 'the.Output' LOCATION 'file:/b' "
        r"TBLPROPERTIES ('a'='\'', 'b'='2')"
    )


def test_a_serde_without_properties_gets_none() -> None:
    statement = sql.create_external_table(
        FINAL, COLUMNS, "partition_date", "file:/b", row_format=RowFormat("serde", "in", "out")
    )
    assert "SERDEPROPERTIES" not in statement


def test_a_table_is_dropped_only_where_it_is_there() -> None:
    assert sql.drop_table(FINAL) == "DROP TABLE IF EXISTS `mnaas`.`final`"


def test_impala_is_told_of_the_table() -> None:
    assert sql.refresh(FINAL) == "REFRESH mnaas.final"
    assert sql.invalidate(FINAL) == "INVALIDATE METADATA mnaas.final"


def test_impala_is_told_of_each_moved_partition() -> None:
    assert sql.refresh_moved(FINAL, [FIRST, SECOND]) == [
        "REFRESH mnaas.final PARTITION (partition_date='2021-04-01')",
        "REFRESH mnaas.final PARTITION (partition_date='2021-04-02')",
    ]


@pytest.mark.parametrize(("days", "statements"), [(0, 0), (1, 1), (100, 100), (101, 1)])
def test_above_a_hundred_moved_partitions_the_whole_table_is_reloaded(days: int, statements: int) -> None:
    moved = partitions_between("2021-01-01..2021-12-31").partitions[:days]
    found = sql.refresh_moved(FINAL, moved)
    assert len(found) == statements
    assert (found == ["INVALIDATE METADATA mnaas.final"]) == (days > 100)


def refreshes(table: str, *days: str) -> list[str]:
    return [f"REFRESH {table} PARTITION (partition_date='{day}')" for day in days]


def test_refreshes_of_partitions_that_follow_one_another_are_made_one() -> None:
    final, staging = refreshes("db.final", FIRST, SECOND), refreshes("db.staging", FIRST)
    assert sql.refreshes_together(["REFRESH db.final", *final, *staging, "REFRESH db.final"]) == [
        ("REFRESH db.final", ["REFRESH db.final"]),
        (f"{final[0]} PARTITION (partition_date='{SECOND}')", final),
        (staging[0], staging),
        ("REFRESH db.final", ["REFRESH db.final"]),
    ]


@pytest.mark.parametrize(("days", "sizes"), [(0, []), (1, [1]), (100, [100]), (101, [100, 1])])
def test_a_refresh_names_a_hundred_partitions_at_most(days: int, sizes: list[int]) -> None:
    statements = refreshes("db.final", *partitions_between("2021-01-01..2021-12-31").partitions[:days])
    assert [len(parts) for _, parts in sql.refreshes_together(statements)] == sizes


def test_impala_is_asked_for_the_totals_of_raw_by_day() -> None:
    costs = ", ".join(f"SUM(CAST(whole_sale_cost_{number} AS DECIMAL(38,6)))" for number in range(1, 6))
    assert asked_of_raw(FINAL, [FIRST, SECOND]) == (
        "SELECT partition_date, COUNT(*), "
        "SUM(CASE WHEN LOWER(TRIM(calltype)) = 'data' THEN CAST(bytes AS DECIMAL(38,0)) END), "
        "SUM(CASE WHEN LOWER(TRIM(calltype)) = 'voice' THEN CAST(retailduration AS DECIMAL(38,0)) END), "
        f"COUNT(CASE WHEN LOWER(TRIM(calltype)) = 'sms' THEN 1 END), {costs} FROM {FINAL} "
        "WHERE partition_date IN ('2021-04-01', '2021-04-02') GROUP BY partition_date"
    )


def test_impala_is_asked_for_the_totals_of_final_by_day() -> None:
    costs = ", ".join(f"SUM(whole_sale_cost_{number})" for number in range(1, 6))
    assert asked_of_final(FINAL, [FIRST]) == (
        "SELECT partition_date, COUNT(*), SUM(CAST(noofcdrids AS DECIMAL(38,0))), SUM(data_usage_in_kb * 1024), "
        f"SUM(CAST(voice_usage_in_secs AS DECIMAL(38,0))), SUM(CAST(sms_usage AS DECIMAL(38,0))), {costs} FROM {FINAL} "
        "WHERE partition_date IN ('2021-04-01') GROUP BY partition_date"
    )
