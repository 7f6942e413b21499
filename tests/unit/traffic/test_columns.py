from __future__ import annotations

import re
from pathlib import Path

import pytest

from traffic_aggr.hive.schema import Column, check_columns, check_layout
from traffic_aggr.traffic.columns import (
    COSTS,
    COUNTRY_LOOKUP_COLUMNS,
    FINAL_COLUMNS,
    GRAIN,
    GRAIN_TEXT,
    MEASURES,
    ORG_DETAILS_COLUMNS,
    PARTITION,
    PARTITION_COLUMN,
    RAW_COLUMNS,
    STAGING_COLUMNS,
    TRIMMED,
)


def found(columns: tuple[Column, ...]) -> list[tuple[str, str]]:
    """The columns as ``DataFrame.dtypes`` shows them."""
    return [(column.name, column.type.lower()) for column in columns]


def test_grain_and_measures_are_final_in_order() -> None:
    assert [*GRAIN, *MEASURES] == [column.name for column in FINAL_COLUMNS]


def test_final_has_the_columns_of_the_domain_page_in_its_order() -> None:
    assert " ".join(column.name for column in FINAL_COLUMNS) == (
        "customernumber tcl_secs_id customername businessunit businessunittag departmentname costcentername "
        "traffictype calltype mcc mnc country tadigcode apn technologytype sim sim_type msisdn vin "
        "commercialofferdescription calldate data_usage_in_kb data_usage_in_mb voice_usage_in_secs "
        "voice_usage_in_mins sms_usage whole_sale_cost_1 whole_sale_cost_2 whole_sale_cost_3 whole_sale_cost_4 "
        "whole_sale_cost_5 noofcdrids"
    )


def test_staging_ends_with_the_partition_column() -> None:
    assert (*FINAL_COLUMNS, PARTITION) == STAGING_COLUMNS
    assert PARTITION.name == PARTITION_COLUMN == "partition_date"


def test_text_of_the_grain_is_what_is_trimmed_or_looked_up() -> None:
    assert set(GRAIN_TEXT) == {*TRIMMED, "customername", "country"}


def test_the_job_reads_no_column_that_it_does_not_need() -> None:
    unused = {"chargenumber", "filename", "imsi", "actualusage"}
    assert unused.isdisjoint(column.name for column in RAW_COLUMNS)
    assert {"cdrid", "bytes", "retailduration", "calldate", *COSTS} <= {column.name for column in RAW_COLUMNS}


def test_the_contract_imports_no_spark() -> None:
    source = Path(check_columns.__code__.co_filename).read_text()
    assert not re.search(r"^(import|from) (pyspark|impala)", source, re.MULTILINE)


def test_raw_may_have_more_columns_in_another_order_and_case() -> None:
    columns = [(name.upper(), type_) for name, type_ in reversed([*found(RAW_COLUMNS), ("imsi", "string")])]
    assert check_columns("mnaas.raw", columns, RAW_COLUMNS) == []


def test_columns_may_be_given_as_a_mapping() -> None:
    assert check_columns("mnaas.org_details", dict(found(ORG_DETAILS_COLUMNS)), ORG_DETAILS_COLUMNS) == []


def test_every_missing_column_is_named_at_once() -> None:
    columns = [pair for pair in found(RAW_COLUMNS) if pair[0] not in ("bytes", "mcc")]
    assert check_columns("mnaas.raw", columns, RAW_COLUMNS) == [
        "mnaas.raw has no column mcc (STRING)",
        "mnaas.raw has no column bytes (BIGINT)",
    ]


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("cdrid", "int"),
        ("cdrid", "smallint"),
        ("bytes", "tinyint"),
        ("tcl_secs_id", "smallint"),
        ("mcc", "varchar(10)"),
        ("mcc", "char(3)"),
        ("calldate", "timestamp_ntz"),
        ("whole_sale_cost_1", "decimal(12,2)"),
        ("whole_sale_cost_1", "decimal(18, 6)"),
        ("whole_sale_cost_1", "decimal(12,0)"),
        ("whole_sale_cost_1", "int"),
    ],
)
def test_a_type_that_widens_without_loss_is_accepted(name: str, type_: str) -> None:
    assert check_columns("raw", [*found(RAW_COLUMNS), (name, type_)], RAW_COLUMNS) == []


@pytest.mark.parametrize(
    ("name", "type_", "reason"),
    [
        ("bytes", "double", "sums must be exact"),
        ("bytes", "float", "sums must be exact"),
        ("whole_sale_cost_2", "double", "sums must be exact"),
        ("bytes", "string", "values could be lost or changed"),
        ("bytes", "decimal(20,0)", "values could be lost or changed"),
        ("tcl_secs_id", "bigint", "values could be lost or changed"),
        ("mcc", "int", "values could be lost or changed"),
        ("whole_sale_cost_1", "decimal(18,7)", "values could be lost or changed"),
        ("whole_sale_cost_1", "decimal(19,6)", "values could be lost or changed"),
        ("whole_sale_cost_1", "bigint", "values could be lost or changed"),
        ("calldate", "string", "days are taken from a moment in time"),
        ("calldate", "date", "days are taken from a moment in time"),
        ("partition_date", "date", "values could be lost or changed"),
    ],
)
def test_a_type_that_may_lose_values_is_refused_with_the_reason(name: str, type_: str, reason: str) -> None:
    wanted = next(column.type for column in RAW_COLUMNS if column.name == name)
    assert check_columns("raw", [*found(RAW_COLUMNS), (name, type_)], RAW_COLUMNS) == [
        f"raw.{name} is {type_}, not {wanted}: {reason}"
    ]


def test_lookups_are_checked_like_raw() -> None:
    assert check_columns("country_lookup", [("mcc", "string")], COUNTRY_LOOKUP_COLUMNS) == [
        "country_lookup has no column country (STRING)",
    ]


def test_final_as_the_contract_has_it_is_accepted() -> None:
    assert (
        check_layout("mnaas.final", [(name.upper(), type_) for name, type_ in found(STAGING_COLUMNS)], STAGING_COLUMNS)
        == []
    )


def test_final_may_use_varchar_for_string() -> None:
    columns = [(name, "varchar(64)" if type_ == "string" else type_) for name, type_ in found(STAGING_COLUMNS)]
    assert check_layout("mnaas.final", columns, STAGING_COLUMNS) == []


def test_final_with_two_columns_swapped_is_refused_since_it_is_written_by_position() -> None:
    columns = found(STAGING_COLUMNS)
    columns[9], columns[10] = columns[10], columns[9]
    assert check_layout("mnaas.final", columns, STAGING_COLUMNS) == [
        "mnaas.final has mnc as column 10, where mcc belongs"
    ]


def test_final_with_missing_and_extra_columns_names_them_all() -> None:
    columns = [pair for pair in found(STAGING_COLUMNS) if pair[0] != "vin"]
    assert check_layout("final", [*columns[:-1], ("imsi", "string"), columns[-1]], STAGING_COLUMNS) == [
        "final has no column vin (STRING)",
        "final has a column imsi that the job does not write",
    ]


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("tcl_secs_id", "bigint"),
        ("data_usage_in_kb", "decimal(28,4)"),
        ("data_usage_in_mb", "double"),
        ("noofcdrids", "int"),
        ("mcc", "char(3)"),
        ("calldate", "date"),
    ],
)
def test_final_types_are_taken_literally(name: str, type_: str) -> None:
    wanted = next(column.type for column in STAGING_COLUMNS if column.name == name)
    columns = [(other, type_ if other == name else old) for other, old in found(STAGING_COLUMNS)]
    assert check_layout("final", columns, STAGING_COLUMNS) == [f"final.{name} is {type_}, not {wanted}"]
