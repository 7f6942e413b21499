"""
The traffic job: days of the adhoc table, from raw call-detail records (domain.md, "Tables" and "Control totals").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from traffic_aggr.config.config import TablesConfig
from traffic_aggr.files.local import Files
from traffic_aggr.hive.sql import exact_sum
from traffic_aggr.run.definition import Aggregation, Dimension, JobDefinition, Lookup
from traffic_aggr.run.sample import SampleData, SampleRequest
from traffic_aggr.run.totals import Fact, Total, Unit
from traffic_aggr.traffic.columns import (
    COSTS,
    COUNTRY_LOOKUP_COLUMNS,
    FINAL_COLUMNS,
    GRAIN_TEXT,
    ORG_DETAILS_COLUMNS,
    RAW_COLUMNS,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def _open(raw: DataFrame, lookups: Mapping[str, DataFrame]) -> Aggregation:
    from traffic_aggr.traffic.traffic_aggregation import TrafficAggregation

    return TrafficAggregation(raw, lookups)


def _totals_of(rows: DataFrame) -> DataFrame:
    from traffic_aggr.traffic.aggregation import staged_totals

    return staged_totals(rows)


def _make_sample(spark: SparkSession, tables: TablesConfig, files: Files, out: str, asked: SampleRequest) -> SampleData:
    from traffic_aggr.traffic.sample_data import generate

    return generate(spark, tables, files, out, asked)


def _of(calltype: str, value: str) -> str:
    """
    ``value`` of the rows of one call type.

    Impala's LOWER changes only ASCII letters and its TRIM removes only U+0020; ``aggregation.is_data`` matches the same
    call types.
    """
    return f"CASE WHEN LOWER(TRIM(calltype)) = '{calltype}' THEN {value} END"


_CDRS = Total("cdrs", "CDRs", Unit.COUNT, final=exact_sum("noofcdrids"), bounds=("distinct_cdrs", "cdrs"))
_USAGE = (
    Total(
        "bytes",
        "Data",
        Unit.BYTES,
        label="data usage",
        # A row's DECIMAL(28,10) times 1024 is exact. Their sum is a DECIMAL(38,10), and its product would be rounded.
        final="SUM(data_usage_in_kb * 1024)",
        raw=f"SUM({_of('data', 'CAST(bytes AS DECIMAL(38,0))')})",
        guarded=True,
    ),
    Total(
        "voice_secs",
        "Voice",
        Unit.SECONDS,
        final=exact_sum("voice_usage_in_secs"),
        raw=f"SUM({_of('voice', 'CAST(retailduration AS DECIMAL(38,0))')})",
        guarded=True,
    ),
    Total(
        "sms",
        "SMS",
        Unit.COUNT,
        final=exact_sum("sms_usage"),
        raw=f"COUNT({_of('sms', '1')})",
        guarded=True,
    ),
)

TRAFFIC = JobDefinition(
    name="traffic",
    raw=RAW_COLUMNS,
    lookups=(
        Lookup("org_details", key="orgno", columns=ORG_DETAILS_COLUMNS),
        Lookup("country_lookup", key="mcc", columns=COUNTRY_LOOKUP_COLUMNS),
    ),
    final=FINAL_COLUMNS,
    texts=GRAIN_TEXT,
    totals=(
        _CDRS,
        *_USAGE,
        *(Total(name, name, Unit.AMOUNT, final=f"SUM({name})", raw=exact_sum(name, 6), scale=6) for name in COSTS),
    ),
    facts=(
        Fact("distinct_cdrs", "Distinct CDRs"),
        Fact("repeated_cdrs"),
        Fact("unclassified", "Unclassified"),
    ),
    headline=_USAGE[0],
    dimensions=(
        Dimension("customer", "By customer", "Customer"),
        Dimension("country", "By country", "Country"),
        Dimension("calltype", "By call type", "Call type"),
        Dimension("late_calldate", "Late CDRs by calldate", "calldate", new_only=True, by_value=True),
        Dimension("tcl_secs_id_without_name", "Customers missing from org_details", "tcl_secs_id", new_only=True),
        Dimension("mcc_without_country", "Countries missing from country_lookup", "mcc", new_only=True),
    ),
    open=_open,
    totals_of=_totals_of,
    make_sample=_make_sample,
    step_names=(
        "MNAAS_remove_partitions_from_the_table",
        "MNAAS_traffic_aggr_adhoc_inter_table_loading",
        "MNAAS_traffic_aggr_adhoc_table_loading",
    ),
)
"""What ``traffic-aggr`` restates unless its configuration names another job."""
