"""Rows of raw traffic and of the lookups with the values that are easy to get wrong."""

from __future__ import annotations

import datetime
import random
from decimal import Decimal
from typing import Any

from traffic_aggr.traffic.columns import COSTS, TRIMMED

DAYS = ["2021-04-01", "2021-04-02", "2021-04-03"]
UNLISTED_DAY = "2021-04-04"
NO_BREAK_SPACE = "\u00a0"

ORGANISATIONS = "1,Acme,AC\n2,Acme,A2\n3,,EMPTY\n4,\\N,NULL\n\\N,Nobody,NO\n5,Bêta; Ltd ,B\nx,Not a number,X\n"
COUNTRIES = [
    ("404", "India", "IN"),
    (" 310 ", "United States", "US"),
    ("", "No code", None),
    ("999", None, "XX"),
    (None, "Nowhere", "NW"),
    (f"{NO_BREAK_SPACE}404", "Not trimmed", "NT"),
]

TEXTS = [None, "", " ", "a", " a", "a ", "A", f"{NO_BREAK_SPACE}a", "\ta\t", "é", "e\u0301", "a;b", "\\N"]
CALL_TYPES = ["Data", "DATA", " data ", "Voice", "vOICE ", "SMS", "sms", " Sms", "Fax", "", " ", None, "\tData", "ſms"]
UTC = datetime.timezone.utc
MOMENTS = [
    None,
    datetime.datetime(2021, 3, 31, 23, 59, 59, 999999, UTC),
    datetime.datetime(2021, 4, 1, tzinfo=UTC),
    datetime.datetime(2021, 4, 1, 18, 29, 59, tzinfo=UTC),
    datetime.datetime(2021, 4, 1, 18, 30, tzinfo=UTC),
    datetime.datetime(2021, 4, 1, 23, 59, 59, 999999, UTC),
    datetime.datetime(2021, 4, 2, tzinfo=UTC),
    datetime.datetime(2020, 2, 29, 12, tzinfo=UTC),
    datetime.datetime(1969, 12, 31, 23, 59, 59, 500000, UTC),
]
BYTES = [None, 0, 1, -1, 52, 53, -53, 1024, 524288, 52428, 52429, -52429, 1048575, 2**52, -(2**52) + 1]
SECONDS = [None, 0, 1, -1, 3, 59, 60, 61, 2**50, -(2**50) - 1]
COST_VALUES = [
    None,
    Decimal(0),
    Decimal("0.000001"),
    Decimal("-0.000001"),
    Decimal("999999999999.999999"),
    Decimal("1.5"),
]


def awkward_rows(seed: int, count: int, *, repeats: bool) -> list[dict[str, Any]]:
    """
    Rows over few values a column, of which a third differ from the last one in measures only, so that groups form.
    """
    choose = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        if number % 3:
            row = dict(rows[choose.randrange(max(0, number - 50), number)])
        else:
            row = {name: choose.choice(TEXTS) for name in (*TRIMMED, "companyname", "country")}
            row["companyname"] = choose.choice(["Acme", "Acme", " Acme", None, "", "Other"])
            row["mcc"] = choose.choice([key for key, _, _ in COUNTRIES] + ["404 ", "310", " ", "777"])
            row["tcl_secs_id"] = choose.choice([None, 1, 2, 3, 4, 5, 6, -1])
            row["calltype"] = choose.choice(CALL_TYPES)
            row["calldate"] = choose.choice(MOMENTS)
            row["partition_date"] = choose.choice([*DAYS, UNLISTED_DAY])
        row["cdrid"] = choose.choice([None, number, choose.randrange(20) if repeats else number])
        row["bytes"] = choose.choice(BYTES)
        row["retailduration"] = choose.choice(SECONDS)
        row.update({name: choose.choice(COST_VALUES) for name in COSTS})
        rows.append(row)
    return rows
