"""
The job on YARN in both deploy modes, started as cron starts it: against HDFS, a metastore server, and two coordinators
of Impala behind TLS and LDAP.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.cluster import Cluster
from devtools.daemons import HOST
from tests.support.authority import Authority
from tests.support.coordinator import coordinator
from tests.support.yarn_job import Warehouse, YarnJob

pytestmark = pytest.mark.timeout(1200)

PASSWORD = "open sesame"
VOLUME = """
from dataclasses import replace
from traffic_aggr.traffic.aggregation import raw_totals, staged_totals
from traffic_aggr.traffic.job import TRAFFIC
from traffic_aggr.traffic.traffic_aggregation import TrafficAggregation


class Volume(TrafficAggregation):
    def raw_totals(self):
        return {day: {**sums, "volume": sums["bytes"]} for day, sums in super().raw_totals().items()}


def totals_of(rows):
    totals = staged_totals(rows)
    return totals.withColumn("volume", totals.bytes)


GUARDED = [total for total in TRAFFIC.totals if total.guarded]
TOTALS = [replace(total, guarded=False) for total in TRAFFIC.totals]
VOLUME_TOTAL = replace(GUARDED[0], name="volume")
VOLUME = replace(
    TRAFFIC, name="volume", totals=(*TOTALS, VOLUME_TOTAL), headline=VOLUME_TOTAL, open=Volume, totals_of=totals_of
)
"""


@pytest.fixture
def with_impala(cluster: Cluster, job: YarnJob, warehouse: Warehouse, tmp_path: Path) -> Iterator[YarnJob]:
    """The job with two coordinators. Their password lies in a credential provider on HDFS."""
    provider = f"jceks://{cluster.hadoop.hdfs_uri.replace('://', '@')}/app/{job.home.name}.jceks"
    create = ("org.apache.hadoop.security.alias.CredentialShell", "create", "impala", "-value", PASSWORD)
    cluster.hadoop.run(*create, "-provider", provider)
    authority = Authority(tmp_path)
    authority.server(f"IP:{HOST}")
    (tmp_path / "password").write_text(PASSWORD)
    options = ("--certificate", str(authority.server_certificate), "--key", str(authority.server_key))
    options += ("--user", "etl", "--password-file", str(tmp_path / "password"))
    with coordinator(cluster, *options) as first, coordinator(cluster, *options) as second:
        job.configure(
            {
                "spark": {"conf": {"spark.hadoop.hadoop.security.credential.provider.path": provider}},
                "impala": {
                    "enabled": True,
                    "hosts": [f"{HOST}:{first}", f"{HOST}:{second}"],
                    "auth": {"mechanism": "LDAP", "user": "etl", "password": {"hadoop": "impala"}},
                    "tls": {"enabled": True, "ca_cert": str(authority.certificate)},
                    "sync_ddl": False,  # the coordinators know nothing of each other
                },
            }
        )
        yield job
    (tmp_path / "password").unlink()
    written = "".join(path.read_text(errors="replace") for path in job.home.rglob("*") if path.is_file())
    applications = {record["application_id"] for record in job.records()}
    logs = "".join("".join(cluster.hadoop.container_logs(each).values()) for each in applications)
    assert PASSWORD not in written + logs + str(job.records())


@pytest.mark.parametrize("mode", ["drop_and_load", pytest.param("swap", marks=pytest.mark.thorough)])
def test_with_the_driver_in_the_cluster_a_run_restates_the_days(
    with_impala: YarnJob, warehouse: Warehouse, mode: str
) -> None:
    job = with_impala
    job.configure({"publish": {"mode": mode}})
    job.follow_by_months()

    code, out, err = job.run("run")

    assert code == 0, err
    assert "raw = staging = final = Impala on all 3 days" in out
    assert "raw = staging = final = Impala on 1 month" in out
    assert "made from these days" in err
    assert '"pending": {}' in job.cluster.hadoop.hdfs.read(f"/app/{job.home.name}/pending.json").decode()
    warehouse.assert_side("new")
    assert job.status()["MNAAS_job_status"] == "Success"
    assert job.status()["MNAAS_Daily_ProcessStatusFlag"] == "0"
    (record,) = job.records()
    application = job.cluster.hadoop.client.application(record["application_id"])
    assert (application.state, application.final_status) == ("FINISHED", "SUCCEEDED")
    assert f"run {record['run_id']} is {application.id}: follow it at" in err
    assert f"yarn logs -applicationId {application.id}" in err


def test_with_the_driver_here_attempts_side_by_side_change_nothing_in_the_result(
    with_impala: YarnJob, warehouse: Warehouse
) -> None:
    job = with_impala
    eager = {"spark.speculation": "true", "spark.speculation.interval": "10ms", "spark.speculation.multiplier": "1"}
    eager |= {"spark.speculation.quantile": "0.1", "spark.speculation.minTaskRuntime": "0ms"}
    conf = {**eager, "spark.executor.instances": "2"}
    job.configure({"publish": {"mode": "swap"}, "spark": {"deploy_mode": "client", "conf": conf}})

    code, out, err = job.run("run")

    assert code == 0, err
    assert "raw = staging = final = Impala on all 3 days" in out
    warehouse.assert_side("new")


def test_a_guard_of_a_sites_own_job_in_the_cluster_ends_the_launcher_with_3(job: YarnJob, warehouse: Warehouse) -> None:
    (job.home / "site_jobs").mkdir()
    (job.home / "site_jobs" / "volume.py").write_text(VOLUME)
    job.environment["PYTHONPATH"] = str(job.home)
    job.configure({"job": {"definition": "site_jobs.volume:VOLUME"}, "audit": {"max_change_pct": 0.0001}})
    (job.home / "list").write_text("2021-04-01\n")

    code, _, err = job.run("run", "--partitions", str(job.home / "list"))

    assert code == 3, err
    assert "max_change_pct" in err.splitlines()[-1]
    assert "2021-04-01 volume by " in err.splitlines()[-1], "the module travels with the application"
    assert "old data is in place" in err.splitlines()[-1]
    assert job.status()["MNAAS_job_status"] == "Failure"
    warehouse.assert_side("old")
    (record,) = job.records()
    assert record["partitions_source"] == str(job.home / "list"), "a local list travels with the application"
    assert record["partitions"] == ["2021-04-01"]


def test_what_is_wrong_before_submission_submits_nothing(job: YarnJob, warehouse: Warehouse) -> None:
    (job.home / "list").write_text("2021-02-30\n")
    before = len(job.cluster.hadoop.applications())

    code, _, err = job.run("run", "--partitions", str(job.home / "list"))

    assert code == 2
    assert "2021-02-30" in err
    assert len(job.cluster.hadoop.applications()) == before


def test_check_tries_what_travels_on_an_executor(job: YarnJob, warehouse: Warehouse) -> None:
    code, out, err = job.run("check")
    assert code == 0, out + err
    assert "ok    packages on an executor, by python" in out
    assert f"ok    state.dir {job.cluster.hadoop.hdfs_uri}/app/{job.home.name} can be written" in out

    job.configure({"spark": {"conf": {"spark.pyspark.python": "python-that-is-not-there"}}})
    code, out, _ = job.run("check")
    assert code != 0
    assert "FAIL  packages on an executor, by python-that-is-not-there" in out
