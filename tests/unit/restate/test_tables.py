"""The names of a run's tables, by the role that they have in the job."""

from __future__ import annotations

from dataclasses import replace

from traffic_aggr.config.config import TablesConfig
from traffic_aggr.hive.sql import TableName
from traffic_aggr.restate.tables import table_names
from traffic_aggr.run.definition import Lookup
from traffic_aggr.traffic.job import TRAFFIC


def test_the_traffic_jobs_lookups_have_keys_of_their_own() -> None:
    found = table_names(TablesConfig(database="db", org_details="names"), TRAFFIC)
    assert list(found) == ["raw", "staging", "final", "org_details", "country_lookup"]
    assert found["org_details"] == TableName("db", "names")


def test_another_jobs_lookup_is_the_table_of_its_role_or_the_one_that_the_configuration_names() -> None:
    lookups = tuple(
        Lookup(role, lookup.key, lookup.columns) for role, lookup in zip(("rates", "shops"), TRAFFIC.lookups)
    )
    job = replace(TRAFFIC, lookups=lookups)
    found = table_names(TablesConfig(database="db", lookups={"shops": "shops_2021"}), job)
    assert (found["rates"], found["shops"]) == (TableName("db", "rates"), TableName("db", "shops_2021"))
    assert "org_details" not in found
