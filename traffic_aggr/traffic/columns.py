"""
The columns of raw, staging, final and the lookups, and which deviations from them the job accepts.

The rules are in domain.md ("Tables"). Tables that the job only reads (raw, lookups) may have further columns, any
order, and narrower types. The job writes staging and final by position, so their names, order and types must match;
only VARCHAR may replace STRING.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional, Union


@dataclass(frozen=True)
class Column:
    """One column: lower-case name, type as Spark and Hive DDL spell it, and a comment for the table."""

    name: str
    type: str
    comment: str = ""


FoundColumns = Union[Mapping[str, str], Iterable[tuple[str, str]]]
"""The columns that a table has, in order: ``DataFrame.dtypes``, or the same as a mapping."""

PARTITION_COLUMN = "partition_date"
"""The day, ``yyyy-MM-dd``: partition column of raw and final, last column of staging."""

PARTITION = Column(PARTITION_COLUMN, "STRING", "day of the partition, yyyy-MM-dd")

USAGE = ("bytes", "voice_secs", "sms")
"""The control totals' names for usage: bytes of Data, seconds of Voice, number of SMS."""

COSTS = tuple(f"whole_sale_cost_{number}" for number in range(1, 6))

TRIMMED = (
    "customernumber",
    "businessunit",
    "businessunittag",
    "departmentname",
    "costcentername",
    "traffictype",
    "calltype",
    "mcc",
    "mnc",
    "tadigcode",
    "apn",
    "technologytype",
    "sim",
    "sim_type",
    "msisdn",
    "vin",
    "commercialofferdescription",
)
"""Columns taken from raw under the same name, without surrounding blanks."""

RAW_COLUMNS = (
    Column("cdrid", "BIGINT", "charged CDR; may repeat"),
    Column("tcl_secs_id", "INT", "customer's organisation number"),
    Column("companyname", "STRING", "customer's name where org_details has none"),
    Column("country", "STRING", "country where country_lookup has none"),
    *(Column(name, "STRING") for name in TRIMMED),
    Column("calldate", "TIMESTAMP", "moment of the call"),
    Column("bytes", "BIGINT", "data usage in bytes"),
    Column("retailduration", "BIGINT", "voice usage in seconds"),
    *(Column(name, "DECIMAL(18,6)") for name in COSTS),
    PARTITION,
)
"""Columns of raw that the job reads; a production table has over a hundred."""

FINAL_COLUMNS = (
    Column("customernumber", "STRING", "customer number"),
    Column("tcl_secs_id", "INT", "customer's organisation number"),
    Column("customername", "STRING", "organisation's name, else the company name in raw"),
    Column("businessunit", "STRING", "business unit"),
    Column("businessunittag", "STRING", "tag of the business unit"),
    Column("departmentname", "STRING", "department"),
    Column("costcentername", "STRING", "cost centre"),
    Column("traffictype", "STRING", "MO or MT"),
    Column("calltype", "STRING", "Data, Voice or SMS, as found"),
    Column("mcc", "STRING", "mobile country code"),
    Column("mnc", "STRING", "mobile network code"),
    Column("country", "STRING", "country of the mcc, else the country in raw"),
    Column("tadigcode", "STRING", "TADIG code of the network"),
    Column("apn", "STRING", "access point name"),
    Column("technologytype", "STRING", "radio technology"),
    Column("sim", "STRING", "SIM"),
    Column("sim_type", "STRING", "kind of SIM"),
    Column("msisdn", "STRING", "subscriber number"),
    Column("vin", "STRING", "vehicle identification number"),
    Column("commercialofferdescription", "STRING", "commercial offer"),
    Column("calldate", "STRING", "day of the calls in UTC, yyyy-MM-dd"),
    Column("data_usage_in_kb", "DECIMAL(28,10)", "data, bytes / 1024, exact"),
    Column("data_usage_in_mb", "DECIMAL(28,4)", "data, bytes / 1048576, half-up"),
    Column("voice_usage_in_secs", "BIGINT", "voice, seconds"),
    Column("voice_usage_in_mins", "DECIMAL(28,4)", "voice, seconds / 60, half-up"),
    Column("sms_usage", "BIGINT", "number of SMS"),
    *(Column(name, "DECIMAL(28,6)", "sum, exact") for name in COSTS),
    Column("noofcdrids", "BIGINT", "number of distinct cdrid"),
)
"""Columns of final in order, without the partition column, which follows them."""

STAGING_COLUMNS = (*FINAL_COLUMNS, PARTITION)
"""Columns of staging in order: ``partition_date`` is last, as an ordinary or as the partition column."""

MEASURES = (
    "data_usage_in_kb",
    "data_usage_in_mb",
    "voice_usage_in_secs",
    "voice_usage_in_mins",
    "sms_usage",
    *COSTS,
    "noofcdrids",
)

GRAIN = tuple(column.name for column in FINAL_COLUMNS if column.name not in MEASURES)
"""Columns whose distinct combinations are the rows of one ``partition_date``."""

GRAIN_TEXT = tuple(name for name in GRAIN if name not in ("tcl_secs_id", "calldate"))
"""Grain columns with free text, as somebody typed it into a source system."""

ORG_DETAILS_COLUMNS = (
    Column("orgno", "BIGINT", "organisation number"),
    Column("orgname", "STRING", "organisation's name"),
)
"""Columns of org_details that the job reads; ``orgno`` is the key."""

COUNTRY_LOOKUP_COLUMNS = (
    Column("mcc", "STRING", "mobile country code"),
    Column("country", "STRING", "country"),
)
"""Columns of country_lookup that the job reads; ``mcc`` is the key, compared without surrounding blanks."""

_INTEGER_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}
_STRING = re.compile(r"string|(?:var)?char\((\d+)\)")
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_SPACES = re.compile(r"\s+")


def check_columns(table: str, found: FoundColumns, required: Sequence[Column]) -> list[str]:
    """
    Problems of a table that the job only reads: a missing column, or an unsuitable type.

    Order and further columns do not matter. A type is accepted if it widens to the contract's without loss (INT for
    BIGINT, VARCHAR for STRING, DECIMAL(12,2) for DECIMAL(18,6), TIMESTAMP_NTZ for TIMESTAMP). The list is empty if the
    table is usable.
    """
    types = {name.lower(): type_ for name, type_ in dict(found).items()}
    problems = []
    for column in required:
        if column.name not in types:
            problems.append(f"{table} has no column {column.name} ({column.type})")
        else:
            refusal = _refusal(types[column.name], column.type)
            if refusal:
                problems.append(f"{table}.{column.name} is {types[column.name]}, not {column.type}: {refusal}")
    return problems


def check_layout(table: str, found: FoundColumns, required: Sequence[Column] = STAGING_COLUMNS) -> list[str]:
    """
    Problems of a table that the job writes by position.

    These are missing or additional columns, names in another order, and other types. ``found`` ends with the partition
    column, as ``DataFrame.dtypes`` of a partitioned table does.
    """
    columns = [(name.lower(), type_) for name, type_ in dict(found).items()]
    names = [name for name, _ in columns]
    wanted = [column.name for column in required]
    missing = [
        f"{table} has no column {column.name} ({column.type})" for column in required if column.name not in names
    ]
    extra = [f"{table} has a column {name} that the job does not write" for name in names if name not in wanted]
    if missing or extra:
        return missing + extra
    if names != wanted:
        position = next(index for index, pair in enumerate(zip(names, wanted)) if pair[0] != pair[1])
        return [f"{table} has {names[position]} as column {position + 1}, where {wanted[position]} belongs"]
    return [
        f"{table}.{column.name} is {type_}, not {column.type}"
        for column, (_, type_) in zip(required, columns)
        if not _is_written_as(type_, column.type)
    ]


def declared_length(type_: str) -> Optional[int]:
    """The number of characters that a CHAR or VARCHAR holds; None for other types."""
    found = _STRING.fullmatch(_normalised(type_))
    return int(found[1]) if found and found[1] else None


def _is_written_as(found: str, wanted: str) -> bool:
    found, wanted = _normalised(found), _normalised(wanted)
    return found == wanted or (wanted == "string" and found.startswith("varchar("))


def _refusal(found: str, wanted: str) -> str:
    """Why values of type ``found`` cannot be read as ``wanted``; empty if they can."""
    found, wanted = _normalised(found), _normalised(wanted)
    if found == wanted or (wanted == "string" and _STRING.fullmatch(found)):
        return ""
    if wanted == "timestamp":
        return "" if found == "timestamp_ntz" else "days are taken from a moment in time"
    room, digits = _digits(wanted), _digits(found)
    if room and found in ("float", "double"):
        return "sums must be exact"
    if room and digits and digits[0] <= room[0] and digits[1] <= room[1]:
        return ""
    return "values could be lost or changed"


def _digits(type_: str) -> Optional[tuple[int, int]]:
    """Digits that a number type holds before and after the decimal point; None for other types."""
    if type_ in _INTEGER_DIGITS:
        return _INTEGER_DIGITS[type_], 0
    decimal = _DECIMAL.fullmatch(type_)
    if decimal is None:
        return None
    precision, scale = int(decimal[1]), int(decimal[2])
    return precision - scale, scale


def _normalised(type_: str) -> str:
    return _SPACES.sub("", type_.lower())
