"""
The aggregation of raw traffic and the control totals that prove it; nothing here runs a query.

Functions turn DataFrames into DataFrames by the rules of domain.md ("Tables"). Sums are of BIGINT and DECIMAL, never of
floating point.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from itertools import product
from typing import Optional

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from traffic_aggr.restate.row_checks import trimmed_key, type_of, without_delimiters
from traffic_aggr.spark.packed import PACKED, packed, unpacked
from traffic_aggr.spark.queries import summed_by
from traffic_aggr.traffic.columns import (
    COSTS,
    FINAL_COLUMNS,
    GRAIN,
    GRAIN_TEXT,
    PARTITION_COLUMN,
    TRIMMED,
    USAGE,
)

_COST_PARTS = [(name, f"{name}_whole", f"{name}_rest") for name in COSTS]
_PARTS = [part for _, *parts in _COST_PARTS for part in parts]
_KB_PER_BYTE = Decimal("0.0009765625")
_BYTES_PER_MB = 1048576
_SECONDS_PER_MINUTE = 60
_SECONDS_PER_DAY = 86400


def is_data(calltype: Column) -> Column:
    """Whether ``calltype`` is Data, ignoring case and surrounding blanks; NULL for NULL."""
    return _is(calltype, "data")


def is_voice(calltype: Column) -> Column:
    """Whether ``calltype`` is Voice, ignoring case and surrounding blanks; NULL for NULL."""
    return _is(calltype, "voice")


def is_sms(calltype: Column) -> Column:
    """Whether ``calltype`` is SMS, ignoring case and surrounding blanks; NULL for NULL."""
    return _is(calltype, "sms")


def is_classified(calltype: Column) -> Column:
    """Whether the final table counts usage of ``calltype``; false for NULL."""
    return F.coalesce(is_data(calltype) | is_voice(calltype) | is_sms(calltype), F.lit(False))


def _is(calltype: Column, kind: str) -> Column:
    # Not lower(): in the Turkish locale, a JVM lower-cases U+0130 to an ASCII i.
    spellings = map("".join, product(*((letter, letter.upper()) for letter in kind)))
    return F.trim(calltype).isin(*spellings)


def lookup_names(org_details: DataFrame) -> DataFrame:
    """Names of organisations: ``orgno, orgname``, without NULL keys and names, which match nothing."""
    return org_details.select(trimmed_key(org_details, "orgno"), "orgname").dropna()


def lookup_countries(country_lookup: DataFrame) -> DataFrame:
    """Names of countries: trimmed ``mcc``, ``country``, without NULL keys and names, which match nothing."""
    return country_lookup.select(trimmed_key(country_lookup, "mcc"), "country").dropna()


def describe(
    raw: DataFrame, organisations: DataFrame, countries: DataFrame, delimiters: Optional[str] = None
) -> DataFrame:
    """
    Each raw row with the columns of ``GRAIN`` as stored, except that ``calldate`` is a DATE.

    Its other columns stay. ``organisations`` and ``countries`` come from ``lookup_names`` and ``lookup_countries`` and
    have unique keys. Each character of ``delimiters`` in the grain's text becomes a space, before the columns of
    ``TRIMMED`` are trimmed. Lookups match raw's values before that replacement.
    """
    grain = {
        **{name: F.trim(without_delimiters(F.col(name), delimiters)) for name in TRIMMED},
        "customername": without_delimiters(F.coalesce("_orgname", "companyname"), delimiters),
        "country": without_delimiters(F.coalesce("_country", "country"), delimiters),
        "calldate": _utc_day(raw),
    }
    others = [name for name in raw.columns if name not in GRAIN]
    found = with_lookups(raw, organisations, countries)
    return found.select(*(grain.get(name, F.col(name)).alias(name) for name in GRAIN), *others)


def aggregate(
    raw: DataFrame,
    organisations: DataFrame,
    countries: DataFrame,
    *,
    repeated: Optional[DataFrame],
    delimiters: Optional[str] = None,
    files_per_day: int = 1,
) -> DataFrame:
    """The rows of the final table: ``final_rows`` of ``group``, with the parameters of ``group``."""
    return final_rows(
        group(raw, organisations, countries, repeated=repeated, delimiters=delimiters, files_per_day=files_per_day)
    )


def group(
    raw: DataFrame,
    organisations: DataFrame,
    countries: DataFrame,
    *,
    repeated: Optional[DataFrame],
    broadcast_repeated: bool = True,
    delimiters: Optional[str] = None,
    files_per_day: int = 1,
) -> DataFrame:
    """
    Groups raw rows by ``GRAIN`` and ``partition_date``, and sums their usage and costs.

    Returns ``GRAIN`` (``calldate`` a DATE, its text ``packed``), ``partition_date``, ``bytes, voice_secs, sms`` as
    BIGINT, each cost in the two parts of ``_parts``, ``cdrs`` (number of distinct cdrids) and ``source_rows`` (number
    of raw rows).

    ``raw`` has at least ``RAW_COLUMNS``; lookups and ``delimiters`` are as for ``describe``. ``repeated`` is what
    ``repeated_cdrids`` finds in ``raw``, or None if it is known to find nothing; ``broadcast_repeated`` makes the join
    with it a broadcast join. The rows of a day end up in at most ``files_per_day`` tasks, each of which writes one
    file.
    """
    usage = raw.select(*(name for name in raw.columns if name not in (*USAGE, *COSTS)), *_usage(), *_costs())
    described = packed(describe(usage, organisations, countries, delimiters), GRAIN_TEXT)
    grain = [name for name in (PACKED, *GRAIN) if name in described.columns]
    keys, once = [*grain, PARTITION_COLUMN], F.col("cdrid")
    if repeated is not None:
        # Most cdrids occur once and need no DISTINCT. Repeated ones join the grouping key, on every day: a join on the
        # cdrid alone is faster than one on cdrid and day.
        cdrids = repeated.select("cdrid", F.lit(True).alias("_again")).distinct()
        described = described.join(F.broadcast(cdrids) if broadcast_repeated else cdrids, "cdrid", "left")
        again = F.col("_again").isNotNull()
        described = described.withColumn("_repeated", F.when(again, F.col("cdrid")))
        keys, once = [*keys, "_repeated"], F.when(~again, F.col("cdrid"))
    groups = described.groupBy(*keys).agg(
        *(F.sum(name).alias(name) for name in (*USAGE, *_PARTS)),
        F.count(once).alias("cdrs"),
        F.count(F.lit(1)).alias("source_rows"),
    )
    # ``_file`` is also a grouping key below, so that Spark does not shuffle the groups again.
    together = groups.withColumn("_file", F.pmod(F.hash(*grain), F.lit(files_per_day))).repartition(
        PARTITION_COLUMN, "_file"
    )
    if repeated is not None:
        parts = {}
        for _, whole, rest in _COST_PARTS:  # a sum of rests may have a whole part again
            carried, parts[rest] = _parts(F.col(rest))
            parts[whole] = F.col(whole) + carried
        carried_over = together.withColumns(parts)
        together = carried_over.groupBy(*grain, PARTITION_COLUMN, "_file").agg(
            *(F.sum(name).alias(name) for name in (*USAGE, *_PARTS, "source_rows")),
            (F.sum("cdrs") + F.count("_repeated")).alias("cdrs"),
        )
    return together.drop("_file")


def final_rows(groups: DataFrame) -> DataFrame:
    """
    The rows of the final table, from what ``group`` returns.

    Returns ``FINAL_COLUMNS``, ``partition_date`` and ``source_rows``, the number of raw rows in each row, which the
    control totals need and which is not stored. Each task's rows are sorted by day.
    """
    measures = {
        "data_usage_in_kb": F.col("bytes").cast("decimal(19,0)") * F.lit(_KB_PER_BYTE),
        "data_usage_in_mb": rounded_quotient("bytes", _BYTES_PER_MB),
        "voice_usage_in_secs": F.col("voice_secs"),
        "voice_usage_in_mins": rounded_quotient("voice_secs", _SECONDS_PER_MINUTE),
        "sms_usage": F.col("sms"),
        "noofcdrids": F.col("cdrs"),
        **{name: F.col(whole).cast("decimal(20,0)") + F.col(rest) for name, whole, rest in _COST_PARTS},
    }
    final = (
        measures.get(column.name, F.col(column.name)).cast(column.type).alias(column.name) for column in FINAL_COLUMNS
    )
    # Spark sorts by day on write unless rows are sorted. Wide decimals, slow to copy while sorting, do not exist yet.
    by_day = unpacked(groups.sortWithinPartitions(PARTITION_COLUMN), GRAIN_TEXT)
    return by_day.select(*final, PARTITION_COLUMN, "source_rows")


def rounded_quotient(total: str, divisor: int) -> Column:
    """
    ``total / divisor`` of a BIGINT column to four decimals, half-up (away from zero).

    Decimal division would round twice, so integer arithmetic turns the remainder into ten thousandths.
    """
    half = f"IF({total} < 0, -{divisor}, {divisor})"
    fraction = f"({total} % {divisor} * 20000 + {half}) DIV {2 * divisor}"
    return F.expr(f"CAST({total} DIV {divisor} AS DECIMAL(19,0)) + CAST({fraction} AS DECIMAL(5,0)) * 0.0001BD")


def usage_by(rows: DataFrame, dimensions: Mapping[str, Column]) -> DataFrame:
    """
    Usage and costs of staging's or final's ``rows`` by each of ``dimensions`` separately, in one scan.

    Returns ``dimension, value, partition``, and the columns of ``staged_totals`` but the day. A dimension is as for
    ``summed_by``, such as those below.
    """
    # BIGINT sums are much faster than DECIMAL ones. Only a damaged value exceeds BIGINT; it counts as 0. Costs are
    # summed in millionths.
    usage = {
        "rows": F.lit(1),
        "cdrs": F.col("noofcdrids"),
        "bytes": F.expr("try_cast(data_usage_in_kb * 1024 AS BIGINT)"),
        "voice_secs": F.col("voice_usage_in_secs"),
        "sms": F.col("sms_usage"),
        **{name: F.expr(f"try_cast({name} * 1000000 AS BIGINT)") for name in COSTS},
    }
    amounts = {name: F.coalesce(amount.cast("bigint"), F.lit(0)) for name, amount in usage.items()}
    costs = {name: F.expr(f"CAST({name} AS DECIMAL(20,0)) * 0.000001BD") for name in COSTS}
    return summed_by(rows, dimensions, amounts).withColumns(costs)


def by_value(column: str, partition: Optional[str] = None) -> Column:
    """Dimension for ``usage_by``: each value of ``column``, including NULL, in each ``partition`` if that is given."""
    where = F.lit(None) if partition is None else F.col(partition)
    return F.struct(F.col(column).cast("string").alias("value"), where.cast("string").alias("partition"))


def by_late_calldate() -> Column:
    """Dimension for ``usage_by``: ``calldate`` of rows where it is not ``partition_date``."""
    return F.when(F.col("calldate") != F.col(PARTITION_COLUMN), by_value("calldate"))


def by_unnamed(key: str, name: str) -> Column:
    """Dimension for ``usage_by``: ``key`` of rows for which ``with_lookups`` found no ``name``."""
    return F.when(F.col(name).isNull(), by_value(key))


def with_lookups(rows: DataFrame, organisations: DataFrame, countries: DataFrame) -> DataFrame:
    """
    Adds ``_orgname`` and ``_country`` to ``rows``; NULL where the lookups have no match.

    The lookups are as for ``describe``.
    """
    names = organisations.select(F.col("orgno").alias("_orgno"), F.col("orgname").alias("_orgname"))
    named_countries = countries.select(F.col("mcc").alias("_mcc"), F.col("country").alias("_country"))
    return rows.join(F.broadcast(names), F.col("tcl_secs_id") == F.col("_orgno"), how="left").join(
        F.broadcast(named_countries), F.trim("mcc") == F.col("_mcc"), how="left"
    )


def raw_totals(raw: DataFrame) -> DataFrame:
    """
    Control totals of raw itself, a row for each ``partition_date``.

    Returns ``rows, cdrs`` (rows with a cdrid), ``bytes, voice_secs, sms, whole_sale_cost_1..5, unclassified``. Sums are
    DECIMAL(38,·) and cannot wrap.
    """
    other = ~is_classified(F.col("calltype"))
    rows = raw.select(PARTITION_COLUMN, "cdrid", *_usage(), *_costs(), other.alias("other"))
    return rows.groupBy(PARTITION_COLUMN).agg(
        F.count(F.lit(1)).alias("rows"),
        F.count("cdrid").alias("cdrs"),
        *(_total(name).alias(name) for name in USAGE),
        *((_total(whole) + F.sum(rest)).cast("decimal(38,6)").alias(name) for name, whole, rest in _COST_PARTS),
        F.count(F.when(F.col("other"), 1)).alias("unclassified"),
    )


def repeated_cdrids(raw: DataFrame) -> DataFrame:
    """
    The cdrids that occur in more than one row of a day.

    Returns ``partition_date, cdrid``, each once, and ``extra``, the number of its rows beyond the first. NULL is not a
    cdrid. Shuffles only cdrids and days, and sorts them: twice as fast as grouping when nearly all cdrids occur once.
    """
    number = F.row_number().over(Window.partitionBy("cdrid", PARTITION_COLUMN).orderBy("cdrid"))
    numbered = raw.select(PARTITION_COLUMN, "cdrid").where("cdrid IS NOT NULL").withColumn("_number", number)
    return numbered.where("_number > 1").groupBy(PARTITION_COLUMN, "cdrid").agg(F.count(F.lit(1)).alias("extra"))


def repeats_by_day(repeated: DataFrame) -> DataFrame:
    """
    Totals of what ``repeated_cdrids`` found, a row for each ``partition_date``.

    Returns ``repeated_cdrs``, and ``extra_rows``, the number of rows beyond the first of each cdrid.
    """
    return repeated.groupBy(PARTITION_COLUMN).agg(
        F.count(F.lit(1)).alias("repeated_cdrs"), F.sum("extra").alias("extra_rows")
    )


def staged_totals(staged: DataFrame) -> DataFrame:
    """
    Control totals of staging, the shadow table or final, a row for each ``partition_date``.

    Returns ``rows, cdrs`` (a cdrid in two groups counts twice), ``bytes, voice_secs, sms, whole_sale_cost_1..5``; 0
    where all values are NULL.
    """
    sums = {
        "cdrs": _total("noofcdrids"),
        "bytes": (F.sum("data_usage_in_kb") * 1024).cast("decimal(38,0)"),
        "voice_secs": _total("voice_usage_in_secs"),
        "sms": _total("sms_usage"),
        **{name: F.sum(F.col(name).cast("decimal(28,6)")) for name in COSTS},
    }
    return staged.groupBy(PARTITION_COLUMN).agg(
        F.count(F.lit(1)).alias("rows"),
        *(F.coalesce(total, F.lit(0)).alias(name) for name, total in sums.items()),
    )


def stored_text(
    raw: DataFrame, organisations: DataFrame, countries: DataFrame, delimiters: Optional[str] = None
) -> DataFrame:
    """
    The grain's text (``GRAIN_TEXT``) of each raw row as it will be stored.

    The parameters are as for ``describe``.
    """
    return describe(raw, organisations, countries, delimiters).select(*GRAIN_TEXT)


def _utc_day(raw: DataFrame) -> Column:
    """The day of ``calldate`` in UTC, a DATE, whatever the session's time zone."""
    if isinstance(type_of(raw, "calldate"), T.TimestampNTZType):
        return F.col("calldate").cast("date")
    days = F.floor(F.unix_seconds("calldate") / _SECONDS_PER_DAY)
    return F.date_from_unix_date(days.cast("int"))


def _usage() -> list[Column]:
    """One raw row's usage as BIGINT: ``bytes`` of data, ``voice_secs``, ``sms``."""
    calltype = F.col("calltype")
    usage = {
        "bytes": F.when(is_data(calltype), F.col("bytes")),
        "voice_secs": F.when(is_voice(calltype), F.col("retailduration")),
        "sms": F.when(is_sms(calltype), F.lit(1)),
    }
    return [F.coalesce(amount.cast("bigint"), F.lit(0)).alias(name) for name, amount in usage.items()]


def _costs() -> list[Column]:
    """
    One raw row's costs, 0 for NULL, each in the two parts of ``_parts``.

    Spark sums these parts as integers, several times as fast as decimals of more than 18 digits.
    """
    # NULL becomes 0 here, not after summing: a sum that overflowed to NULL must not pass for 0.
    columns = []
    for name, *aliases in _COST_PARTS:
        cost = F.coalesce(F.col(name).cast("decimal(18,6)"), F.lit(0).cast("decimal(18,6)"))
        columns += [part.alias(alias) for part, alias in zip(_parts(cost), aliases)]
    return columns


def _parts(amount: Column) -> tuple[Column, Column]:
    """
    Splits a DECIMAL(18,6) into a whole number, BIGINT, and the rest, DECIMAL(8,6).

    An amount below 100 is all rest. The sum of ten billion rests always fits into DECIMAL(18,6).
    """
    whole = amount.cast("bigint")
    small = whole.between(-99, 99)
    fraction = amount - whole.cast("decimal(18,6)")
    rest = F.when(small, amount.cast("decimal(8,6)")).otherwise(fraction.cast("decimal(8,6)"))
    return F.when(small, 0).otherwise(whole), rest


def _total(name: str) -> Column:
    """Sums a BIGINT column as DECIMAL(38,0): upper and lower half separately, so it cannot wrap."""
    upper, lower = F.sum(F.shiftright(name, 32)), F.sum(F.col(name).bitwiseAND(2**32 - 1))
    return (upper.cast("decimal(20,0)") * 2**32 + lower).cast("decimal(38,0)")
