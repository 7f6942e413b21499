"""
Generates charged CDRs and lookups, with the awkward values that domain.md describes.

Every value is a hash of the seed and of what it belongs to (a row, a group, a SIM). So the same seed gives the same
rows on any number of cores, and no Python runs for a row.
"""

from __future__ import annotations

import datetime
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Optional, Union

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from traffic_aggr.traffic.aggregation import is_data, is_sms, is_voice
from traffic_aggr.traffic.columns import COSTS, PARTITION_COLUMN

FILES_PER_DAY = 3
BIGGEST_CUSTOMER = "CN000000"
_CUSTOMERS = 200
_GROUPS_PERCENT = 16
_FIRST_ORGANISATION = 100_000
_WITHOUT_ORGANISATION = 37
_WITHOUT_NUMBER = 53
_EPOCH = datetime.date(1970, 1, 1)
_SECONDS_PER_DAY = 86_400
# Monday to Sunday, in parts of 128: people use less at weekends.
_WEEKDAYS = (118, 122, 126, 128, 136, 96, 84)

# mcc, country in the lookup (None: missing there), its code, country in raw, TADIG code
_COUNTRIES = (
    ("404", "India", "IN", "INDIA", "INDA1"),
    ("310", "United States", "US", "USA", "USACG"),
    ("234", "United Kingdom", "GB", "UK", "GBRVF"),
    ("901", None, None, "INTERNATIONAL NETWORKS", "AAA01"),
    ("262", "Germany", "DE", "GERMANY", "DEUD1"),
    ("208", "France", "FR", "FRANCE", "FRAF1"),
    ("222", "Italy", "IT", "ITALY", "ITAOM"),
    ("214", "Spain", "ES", "SPAIN", "ESPAT"),
    ("505", "Australia", "AU", "AUSTRALIA", "AUSTA"),
    ("440", "Japan", "JP", "JAPAN", "JPNDO"),
    ("525", "Singapore", "SG", "SINGAPORE", "SGPST"),
    ("724", "Brazil", "BR", "BRAZIL", "BRATM"),
    ("655", "South Africa", "ZA", "RSA", "ZAFVC"),
)
_CALL_TYPES = (
    *["Data"] * 68,
    *["DATA"] * 2,
    "data ",
    *["Voice"] * 12,
    "voice",
    *["SMS"] * 12,
    " Sms",
    "USSD",
    "",
    None,
)

_APNS = ("iot.example", "move.example", "m2m.example", None)

OrganisationRow = tuple[Optional[int], Optional[str], str]
CountryRow = tuple[Optional[str], Optional[str], Optional[str]]


def organisations() -> list[OrganisationRow]:
    """Rows of org_details: some customers are missing, and one name and one key are NULL."""
    rows: list[OrganisationRow] = [
        (_FIRST_ORGANISATION + number, f"Customer {number:03d} Ltd", f"C{number:03d}")
        for number in range(_CUSTOMERS)
        if number % _WITHOUT_ORGANISATION != _WITHOUT_ORGANISATION - 1
    ]
    return [*rows, (_FIRST_ORGANISATION + _CUSTOMERS, None, "NONAME"), (None, "Unnumbered Ltd", "NOKEY")]


def countries() -> list[CountryRow]:
    """Rows of country_lookup: one key has surrounding blanks, one key and one name are NULL."""
    rows: list[CountryRow] = [(mcc, name, code) for mcc, name, code, _, _ in _COUNTRIES if name]
    first_mcc, *rest = rows[0]
    return [(f" {first_mcc} ", rest[0], rest[1]), *rows[1:], ("999", None, "XX"), (None, "Nowhere", None)]


@dataclass(frozen=True)
class _Draw:
    """Seeded draws: the same ``name`` and keys always give the same value."""

    seed: int

    def number(self, name: str, below: Union[int, Column], *keys: Column) -> Column:
        """A BIGINT from 0 to ``below`` - 1."""
        limit = below if isinstance(below, Column) else F.lit(below)
        # Seed and name become one number: hashing the text for each row would cost more than everything else.
        stream = zlib.crc32(f"{self.seed} {name}".encode())
        return F.pmod(F.xxhash64(F.lit(stream), *keys), limit)

    def one_in(self, name: str, count: int, *keys: Column) -> Column:
        """True once in ``count``."""
        return self.number(name, count, *keys) == 0

    def choice(self, name: str, values: Sequence[Optional[str]], *keys: Column) -> Column:
        """One of ``values``."""
        return _element(values, self.number(name, len(values), *keys))

    def skewed(self, name: str, below: int, draws: int, *keys: Column) -> Column:
        """A BIGINT from 0 to ``below`` - 1, low ones likelier: each draw limits the next one."""
        number = F.lit(below - 1).cast("bigint")
        for draw in range(draws):
            number = self.number(f"{name} {draw}", number + 1, *keys)
        return number


def cdrs(
    spark: SparkSession, *, day_zero: datetime.date, first: int, days: int, rows_per_day: int, seed: int
) -> DataFrame:
    """
    The raw rows of ``days`` days, beginning ``first`` days after ``day_zero``.

    They have 43 columns, including ``partition_date``. A day's rows do not depend on which other days are requested.
    The DataFrame has ``FILES_PER_DAY`` partitions for each day.
    """
    draw = _Draw(seed)
    ids = spark.range(first * rows_per_day, (first + days) * rows_per_day, 1, days * FILES_PER_DAY)
    placed = _with_group(ids, draw, rows_per_day)
    described = _with_sim(_with_day(placed, draw, day_zero, first + days), draw)
    return _columns(described, draw)


def _with_group(ids: DataFrame, draw: _Draw, rows_per_day: int) -> DataFrame:
    """
    Adds ``day``, ``cdrid`` and ``group``.

    One row in a thousand repeats the cdrid of the row before it, and half of those take that row's group too.
    """
    row = F.col("id")
    repeat = draw.number("repeat", 2000, row)
    known_from = F.when(repeat == 0, row - 1).otherwise(row)
    cdrid = F.when(repeat % 1000 == 0, row - 1).when(~draw.one_in("no cdrid", 2000, row), row)
    groups = max(1, rows_per_day * _GROUPS_PERCENT // 100)
    return ids.select(
        row,
        F.expr(f"CAST(id DIV {rows_per_day} AS INT)").alias("day"),
        (cdrid + 7_000_000_000).alias("cdrid"),
        draw.skewed("group", groups, 2, known_from).alias("group"),
    )


def _with_day(rows: DataFrame, draw: _Draw, day_zero: datetime.date, days: int) -> DataFrame:
    """
    Adds ``partition_date``, ``calldate`` (some late, some missing) and ``share``.

    ``share`` is the day's usage in parts of 128.
    """
    epoch_day = F.col("day") + (day_zero - _EPOCH).days
    dates = [day_zero + datetime.timedelta(days=number) for number in range(days)]
    shares = [_WEEKDAYS[date.weekday()] * (200 + number) // 200 for number, date in enumerate(dates)]
    group_of_day = (F.col("day"), F.col("group"))
    late = F.when(draw.one_in("late", 50, *group_of_day), draw.number("days late", 3, *group_of_day) + 1).otherwise(0)
    last_second = draw.one_in("last second", 500, F.col("id"))
    second = F.when(last_second, _SECONDS_PER_DAY - 1).otherwise(draw.number("second", _SECONDS_PER_DAY, F.col("id")))
    moment = F.timestamp_seconds((epoch_day - late) * _SECONDS_PER_DAY + second)
    return rows.select(
        "*",
        F.date_from_unix_date(epoch_day).cast("string").alias(PARTITION_COLUMN),
        F.when(~draw.one_in("no calldate", 1000, *group_of_day), moment).alias("calldate"),
        F.element_at(F.array(*map(F.lit, shares)), F.col("day") + 1).alias("share"),
    )


def _with_sim(rows: DataFrame, draw: _Draw) -> DataFrame:
    """
    Adds ``sim_number`` (two groups for each SIM) with its ``customer`` and ``network``.

    A few customers and networks have most of the SIMs.
    """
    sim = F.expr("group DIV 2")
    return rows.select(
        "*",
        sim.alias("sim_number"),
        draw.skewed("customer", _CUSTOMERS, 3, sim).alias("customer"),
        draw.skewed("network", len(_COUNTRIES), 2, sim).alias("network"),
    )


def _columns(rows: DataFrame, draw: _Draw) -> DataFrame:
    row, group, sim, customer, network = map(F.col, ("id", "group", "sim_number", "customer", "network"))
    calltype = draw.choice("calltype", _CALL_TYPES, F.col("day"), group)
    size = F.pow(F.lit(2), 12 + draw.number("size", 13, row)).cast("bigint")
    data = F.shiftright((size + draw.number("bytes", size, row)) * F.col("share"), 7)
    call = F.shiftright(draw.number("call", 1800, row) * F.col("share"), 7) + 1
    # Usage that does not belong to the call type, which the aggregation must not count.
    volume = F.when(is_data(calltype), data).otherwise(draw.number("other bytes", 400, row))
    seconds = F.when(is_voice(calltype), call).otherwise(draw.number("session", 7200, row))
    mcc = _element([mcc for mcc, *_ in _COUNTRIES], network)
    imsi = F.concat(mcc, _padded(sim, 12))
    columns = {
        "loadid": F.lit(draw.seed).cast("bigint"),
        "filename": F.concat(F.lit("CDR_"), PARTITION_COLUMN, F.lit("_"), _padded(row % FILES_PER_DAY, 3)),
        "recordtype": draw.choice("recordtype", ["20", "21", "85"], row),
        "chargenumber": draw.number("chargenumber", 3, row).cast("int") + 1,
        "cdrid": F.col("cdrid"),
        "imsi": imsi,
        "imei": F.concat(F.lit("35"), _padded(draw.number("imei", 10**12, sim), 13)),
        "msisdn": F.concat(F.lit("88"), _padded(sim, 10)),
        "sim": F.concat(F.lit("8991"), _padded(sim, 15)),
        "sim_type": draw.choice("sim_type", ["M2M", "IoT", "Travel", " M2M ", None], sim),
        "vin": draw.choice("vin", [None, None, "", "VIN"], sim),
        "tcl_secs_id": F.when(
            customer % _WITHOUT_NUMBER != _WITHOUT_NUMBER - 1, (customer + _FIRST_ORGANISATION).cast("int")
        ),
        "customernumber": F.concat(F.lit("CN"), _padded(customer, 6)),
        "companyname": F.concat(F.lit("Company "), _padded(customer, 3)),
        "businessunit": _sometimes_blank(
            draw.choice("businessunit", ["Fleet", "Retail", "Energy", "", None], sim), draw, row
        ),
        "businessunittag": draw.choice("businessunittag", ["north", "south", " ", None], customer),
        "departmentname": draw.choice("departmentname", ["Operations", "Field service", None], sim),
        "costcentername": F.concat(F.lit("CC-"), _padded(customer % 17, 4)),
        "calltype": calltype,
        "traffictype": draw.choice("traffictype", ["MO", "MO", "MT"], group),
        "calldate": F.col("calldate"),
        "mcc": _sometimes_blank(mcc, draw, row),
        "mnc": _padded(draw.number("mnc", 4, sim) * 10 + 1, 2),
        "country": _element([country for *_, country, _ in _COUNTRIES], network),
        "tadigcode": _element([tadigcode for *_, tadigcode in _COUNTRIES], network),
        "cellid": draw.number("cellid", 65536, row).cast("int"),
        "ratinggroup": draw.number("ratinggroup", 8, row).cast("int"),
        "sgsnaddress": F.concat(F.lit("192.0.2."), draw.number("sgsn", 254, row).cast("string")),
        "servicecenter": draw.choice("servicecenter", ["A", "B", None], row),
        "technologytype": draw.choice("technologytype", ["2G", "3G", "4G", "4G", "5G", "NB-IoT"], group),
        "apn": _sometimes_blank(draw.choice("apn", _APNS, group), draw, row),
        "commercialofferdescription": draw.choice("offer", ["Global 1 GB", "Europe 500 MB", "Pay as you go", ""], sim),
        "bytes": _sometimes_null(volume, "no bytes", draw),
        "retailduration": _sometimes_null(seconds, "no duration", draw),
        "actualusage": F.coalesce(F.when(is_sms(calltype), F.lit(1)), volume).cast("bigint"),
        "roundedusage": F.shiftleft(draw.number("roundedusage", 1024, row), 10),
        **{name: _cost(name, draw) for name in COSTS},
        "currency": draw.choice("currency", ["USD", "EUR"], customer),
        PARTITION_COLUMN: F.col(PARTITION_COLUMN),
    }
    return rows.select(*(column.alias(name) for name, column in columns.items()))


def _cost(name: str, draw: _Draw) -> Column:
    """Up to two units of money; one in ten is NULL, one in a thousand is a credit."""
    row = F.col("id")
    millionths = F.when(~draw.one_in(f"no {name}", 10, row), draw.number(name, 2_000_000, row))
    signed = F.when(draw.one_in(f"{name} credit", 1000, row), -millionths).otherwise(millionths)
    return (signed.cast("decimal(12,0)") * F.lit(Decimal("0.000001"))).cast("decimal(18,6)")


def _sometimes_null(value: Column, name: str, draw: _Draw) -> Column:
    return F.when(~draw.one_in(name, 200, F.col("id")), value)


def _sometimes_blank(value: Column, draw: _Draw, row: Column) -> Column:
    return F.when(draw.one_in("blanks", 100, row), F.concat(F.lit(" "), value, F.lit("  "))).otherwise(value)


def _padded(number: Column, digits: int) -> Column:
    return F.lpad(number.cast("string"), digits, "0")


def _element(values: Sequence[Optional[str]], index: Column) -> Column:
    return F.element_at(F.array(*(F.lit(value).cast("string") for value in values)), (index + 1).cast("int"))
