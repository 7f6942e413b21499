"""
The columns of the trend, and those of the adhoc table that it is made from (domain.md, "Tables").
"""

from __future__ import annotations

from traffic_aggr.hive.partitions import PartitionColumn
from traffic_aggr.hive.schema import Column
from traffic_aggr.traffic.columns import COSTS, FINAL_COLUMNS, PARTITION

MONTH = PartitionColumn("month", "month")

GRAIN = ("customername", "tcl_secs_id", "country", "calltype")
"""Columns whose distinct combinations are the rows of one month, NULLs together."""

GRAIN_TEXT = ("customername", "country", "calltype")

SUMMED = ("data_usage_in_kb", "voice_usage_in_secs", "sms_usage", *COSTS, "noofcdrids")

DAY_COLUMNS = (*(column for column in FINAL_COLUMNS if column.name in (*GRAIN, *SUMMED)), PARTITION)
"""Columns of the adhoc table that the job reads."""

TREND_COLUMNS = (
    Column("customername", "STRING", "organisation's name"),
    Column("tcl_secs_id", "INT", "customer's organisation number"),
    Column("country", "STRING", "country"),
    Column("calltype", "STRING", "Data, Voice or SMS, as found"),
    Column("data_usage_in_kb", "DECIMAL(38,10)", "data, sum, exact"),
    Column("data_usage_in_mb", "DECIMAL(38,4)", "data, the summed KB / 1024, half-up"),
    Column("voice_usage_in_secs", "BIGINT", "voice, seconds"),
    Column("voice_usage_in_mins", "DECIMAL(38,4)", "voice, the summed seconds / 60, half-up"),
    Column("sms_usage", "BIGINT", "number of SMS"),
    *(Column(name, "DECIMAL(38,6)", "sum, exact") for name in COSTS),
    Column("daily_cdrids", "BIGINT", "sum of noofcdrids: a cdrid of two days or groups counts twice"),
    Column("days", "INT", "number of different days with rows"),
)
"""Columns of the trend in order, without the partition column, which follows them."""
