"""
Computes the final table a second time, with DuckDB from the same files, to check the aggregation against.

It was written from domain.md alone, without looking at the aggregation's code. Quotients use 128-bit integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

_SQL = r"""
WITH cdr AS (
  SELECT *, lower(trim(calltype, ' ')) AS kind, trim(mcc, ' ') AS mobile_country
  FROM read_parquet($raw, hive_partitioning = true, hive_types_autocast = false)
  WHERE list_contains($days, partition_date)
), organisation AS (
  SELECT TRY_CAST(concat(orgno) AS BIGINT) AS number, orgname AS name
  FROM read_csv($organisations, auto_detect = false, header = false, delim = ',', quote = '', escape = '',
                nullstr = '\N', columns = {'orgno': 'VARCHAR', 'orgname': 'VARCHAR', 'org_abbr': 'VARCHAR'})
), nation AS (
  SELECT trim(mcc, ' ') AS code, country AS name FROM read_parquet($countries)
), grouped AS (
  SELECT
    trim(customernumber, ' ') AS customernumber,
    tcl_secs_id,
    COALESCE((SELECT name FROM organisation WHERE number = tcl_secs_id), companyname) AS customername,
    trim(businessunit, ' ') AS businessunit,
    trim(businessunittag, ' ') AS businessunittag,
    trim(departmentname, ' ') AS departmentname,
    trim(costcentername, ' ') AS costcentername,
    trim(traffictype, ' ') AS traffictype,
    trim(calltype, ' ') AS calltype,
    mobile_country AS mcc,
    trim(mnc, ' ') AS mnc,
    COALESCE((SELECT name FROM nation WHERE code = mobile_country), country) AS country,
    trim(tadigcode, ' ') AS tadigcode,
    trim(apn, ' ') AS apn,
    trim(technologytype, ' ') AS technologytype,
    trim(sim, ' ') AS sim,
    trim(sim_type, ' ') AS sim_type,
    trim(msisdn, ' ') AS msisdn,
    trim(vin, ' ') AS vin,
    trim(commercialofferdescription, ' ') AS commercialofferdescription,
    strftime(make_timestamp(epoch_us(calldate)), '%Y-%m-%d') AS calldate,
    partition_date,
    COALESCE(SUM(bytes) FILTER (kind = 'data'), 0)::HUGEINT AS octets,
    COALESCE(SUM(retailduration) FILTER (kind = 'voice'), 0)::HUGEINT AS seconds,
    COUNT(*) FILTER (kind = 'sms') AS messages,
    COALESCE(SUM(whole_sale_cost_1), 0) AS cost_1,
    COALESCE(SUM(whole_sale_cost_2), 0) AS cost_2,
    COALESCE(SUM(whole_sale_cost_3), 0) AS cost_3,
    COALESCE(SUM(whole_sale_cost_4), 0) AS cost_4,
    COALESCE(SUM(whole_sale_cost_5), 0) AS cost_5,
    COUNT(DISTINCT cdrid) AS cdrs,
    COUNT(*) AS source_rows
  FROM cdr
  GROUP BY ALL
)
SELECT
  * EXCLUDE (partition_date, octets, seconds, messages, cost_1, cost_2, cost_3, cost_4, cost_5, cdrs, source_rows),
  octets * 9765625,
  sign(octets) * ((abs(octets) * 10000 + 524288) // 1048576),
  seconds::BIGINT,
  sign(seconds) * ((abs(seconds) * 10000 + 30) // 60),
  messages, cost_1, cost_2, cost_3, cost_4, cost_5, cdrs, partition_date, source_rows
FROM grouped
"""
_KB, _MB, _MINUTES = 21, 22, 24


def expected_rows(raw: Path, organisations: Path, countries: Path, days: Sequence[str]) -> list[tuple[Any, ...]]:
    """
    Returns the rows of the final table for ``days``: its columns, ``partition_date``, ``source_rows``.

    ``raw`` is a directory of Parquet files in ``partition_date=…``, ``organisations`` one of comma-delimited text
    without a header, ``countries`` one of Parquet.
    """
    files = {
        "raw": f"{raw}/*/*.parquet",
        "organisations": f"{organisations}/*",
        "countries": f"{countries}/*.parquet",
    }
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(_SQL, {**files, "days": list(days)}).fetchall()
    return [_with_decimal_places(row) for row in rows]


def _with_decimal_places(row: tuple[Any, ...]) -> tuple[Any, ...]:
    values = list(row)
    for index, places in ((_KB, 10), (_MB, 4), (_MINUTES, 4)):
        values[index] = Decimal(str(values[index])).scaleb(-places)
    return tuple(values)
