"""
The aggregation as one hand-written query, for Spark and for DuckDB.

It follows the job's rules for numbers (exact sums, half-up quotients, days in UTC), so that all results can be
compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

DATABASE = "bench"
COSTS = [f"whole_sale_cost_{number}" for number in range(1, 6)]
GRAIN = {
    "customernumber": "trim(r.customernumber)",
    "tcl_secs_id": "r.tcl_secs_id",
    "customername": "coalesce(o.orgname, r.companyname)",
    **{name: f"trim(r.{name})" for name in ("businessunit", "businessunittag", "departmentname", "costcentername")},
    **{name: f"trim(r.{name})" for name in ("traffictype", "calltype", "mcc", "mnc")},
    "country": "coalesce(c.country, r.country)",
    **{name: f"trim(r.{name})" for name in ("tadigcode", "apn", "technologytype", "sim", "sim_type", "msisdn", "vin")},
    "commercialofferdescription": "trim(r.commercialofferdescription)",
}
KIND = "lower(trim(r.calltype))"
BYTES = f"sum(CASE WHEN {KIND} = 'data' THEN coalesce(r.bytes, 0) ELSE 0 END)"
SECONDS = f"sum(CASE WHEN {KIND} = 'voice' THEN coalesce(r.retailduration, 0) ELSE 0 END)"
MESSAGES = f"sum(CASE WHEN {KIND} = 'sms' THEN 1 ELSE 0 END)"
JOINS = """
    LEFT JOIN {organisations} o ON r.tcl_secs_id = o.orgno AND o.orgname IS NOT NULL
    LEFT JOIN {countries} c ON trim(r.mcc) = trim(c.mcc) AND c.country IS NOT NULL"""


def spark_aggregation(database: str, days: Sequence[str]) -> str:
    """Returns the query for the rows of staging, ``partition_date`` last."""
    calldate = "date_format(r.calldate, 'yyyy-MM-dd')"
    listed = ", ".join(f"'{day}'" for day in days)
    grain = ", ".join(f"{value} AS {name}" for name, value in GRAIN.items())
    costs = ", ".join(f"CAST(sum(coalesce(r.{name}, 0)) AS DECIMAL(28,6)) AS {name}" for name in COSTS)
    joins = JOINS.format(organisations=f"{database}.org_details", countries=f"{database}.country_lookup")
    return f"""
    SELECT {grain}, {calldate} AS calldate,
      CAST(CAST({BYTES} AS DECIMAL(19,0)) * 0.0009765625BD AS DECIMAL(28,10)) AS data_usage_in_kb,
      CAST(CAST(({BYTES} * 20000 + 1048576) DIV 2097152 AS DECIMAL(19,0)) * 0.0001BD AS DECIMAL(28,4))
        AS data_usage_in_mb,
      {SECONDS} AS voice_usage_in_secs,
      CAST(CAST(({SECONDS} * 20000 + 60) DIV 120 AS DECIMAL(19,0)) * 0.0001BD AS DECIMAL(28,4)) AS voice_usage_in_mins,
      {MESSAGES} AS sms_usage, {costs}, count(DISTINCT r.cdrid) AS noofcdrids, r.partition_date AS partition_date
    FROM {database}.raw r {joins}
    WHERE r.partition_date IN ({listed})
    GROUP BY {", ".join(GRAIN.values())}, {calldate}, r.partition_date"""


def duckdb_rows(files: str) -> str:
    """Returns the expression with which DuckDB reads Parquet files by ``partition_date``, a string."""
    return f"read_parquet('{files}', hive_partitioning = true, hive_types_autocast = false)"


def duckdb_aggregation(home: Path, day: str) -> str:
    """Returns the same query over one day's files in ``home``."""
    grain = ", ".join(f"{value} AS {name}" for name, value in GRAIN.items())
    costs = ", ".join(f"CAST(sum(coalesce(r.{name}, 0)) AS DECIMAL(28,6)) AS {name}" for name in COSTS)
    organisations = (
        f"read_csv('{home}/org_details/*', auto_detect = false, header = false, delim = ',', quote = '', escape = '', "
        "nullstr = '\\N', columns = {'orgno': 'BIGINT', 'orgname': 'VARCHAR', 'org_abbr': 'VARCHAR'})"
    )
    joins = JOINS.format(organisations=organisations, countries=f"read_parquet('{home}/country_lookup/*.parquet')")
    raw = duckdb_rows(f"{home}/raw/partition_date={day}/*.parquet")
    return f"""
    SELECT {grain}, strftime(make_timestamp(epoch_us(r.calldate)), '%Y-%m-%d') AS calldate,
      CAST(CAST({BYTES} AS DECIMAL(19,0)) * 0.0009765625::DECIMAL(11,10) AS DECIMAL(28,10)) AS data_usage_in_kb,
      CAST(CAST(({BYTES} * 20000 + 1048576) // 2097152 AS DECIMAL(19,0)) * 0.0001::DECIMAL(5,4) AS DECIMAL(28,4))
        AS data_usage_in_mb,
      CAST({SECONDS} AS BIGINT) AS voice_usage_in_secs,
      CAST(CAST(({SECONDS} * 20000 + 60) // 120 AS DECIMAL(19,0)) * 0.0001::DECIMAL(5,4) AS DECIMAL(28,4))
        AS voice_usage_in_mins,
      CAST({MESSAGES} AS BIGINT) AS sms_usage, {costs}, count(DISTINCT r.cdrid) AS noofcdrids, r.partition_date
    FROM {raw} r {joins}
    GROUP BY ALL"""
