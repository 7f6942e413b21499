"""
Sample tables to try the job on: raw traffic, lookups, a partition list, and an old final table that does not match.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from traffic_aggr import sql, tables
from traffic_aggr.config import TablesConfig
from traffic_aggr.errors import InputError
from traffic_aggr.hive import HiveCatalog
from traffic_aggr.layout import TEXT_SERDE, RowFormat, normal
from traffic_aggr.partitions import Partition
from traffic_aggr.sample_rows import CUSTOMERS, cdrs, countries, organisations
from traffic_aggr.sql import TableName
from traffic_aggr.transforms import aggregate, lookup_countries, lookup_names
from traffic_aggr.units import data_volume

FIRST_DAY = "2021-04-01"
PARTITION_LIST = "partitions.txt"

_NULL = "\\N"
_TEXT = RowFormat(
    TEXT_SERDE,
    "org.apache.hadoop.mapred.TextInputFormat",
    "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    {"field.delim": ";", "serialization.format": ";"},
)
