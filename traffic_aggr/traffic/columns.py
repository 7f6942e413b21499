"""
The columns of raw, staging, final and the lookups (domain.md, "Tables").
"""

from __future__ import annotations

from traffic_aggr.hive.partitions import PARTITION_DATE
from traffic_aggr.hive.schema import Column

PARTITION_COLUMN = PARTITION_DATE.name
PARTITION = Column(PARTITION_COLUMN, "STRING", "day of the partition, yyyy-MM-dd", length=10)

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
    Column("calldate", "STRING", "day of the calls in UTC, yyyy-MM-dd", length=10),
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
