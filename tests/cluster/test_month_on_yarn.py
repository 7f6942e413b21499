"""The sample month on YARN in both deploy modes, with two coordinators of Impala behind TLS and LDAP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.cluster import Cluster
from devtools.daemons import HOST
from tests.support.authority import Authority
from tests.support.coordinator import coordinator
from tests.support.yarn_job import YarnJob

pytestmark = pytest.mark.timeout(1800)

PASSWORD = "open sesame"


@pytest.fixture
def month(cluster: Cluster, tmp_path: Path) -> Iterator[YarnJob]:
    """A job on the month's tables, whose password of Impala lies in a credential provider on HDFS."""
    hdfs_uri = cluster.hadoop.hdfs_uri
    provider = f"jceks://{hdfs_uri.replace('://', '@')}/secrets.jceks"
    create = ("org.apache.hadoop.security.alias.CredentialShell", "create", "impala", "-value", PASSWORD)
    cluster.hadoop.run(*create, "-provider", provider)
    authority = Authority(tmp_path)
    authority.server(f"IP:{HOST}")
    (tmp_path / "password").write_text(PASSWORD)
    options = ("--certificate", str(authority.server_certificate), "--key", str(authority.server_key))
    options += ("--user", "etl", "--password-file", str(tmp_path / "password"))
    job = YarnJob(cluster, tmp_path / "edge", deploy_mode="client")
    job.configure(
        {
            "tables": {"database": "month"},
            "partitions": {"file": f"{hdfs_uri}/month/partitions.txt"},
            "publish": {"mode": "swap"},
            "spark": {"master": "local[2]"},
        }
    )
    code, _, err = job.run("sample-data", "--out", f"{hdfs_uri}/month", "--days", "30", "--rows-per-day", "100")
    assert code == 0, err
    with coordinator(cluster, *options) as first, coordinator(cluster, *options) as second:
        job.configure(
            {
                "spark": {
                    "master": "yarn",
                    "conf": {"spark.hadoop.hadoop.security.credential.provider.path": provider},
                },
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


def test_the_month_is_restated_in_the_cluster_and_from_here(month: YarnJob) -> None:
    for deploy_mode in ("cluster", "client"):
        month.configure({"spark": {"deploy_mode": deploy_mode}})
        code, out, err = month.run("run")
        assert code == 0, err
        assert "raw = staging = final = Impala on all 30 days" in out
        assert month.status()["MNAAS_job_status"] == "Success"
    written = "".join(path.read_text(errors="replace") for path in month.home.rglob("*") if path.is_file())
    containers = "".join(month.cluster.hadoop.container_logs(month.records()[-1]["application_id"]).values())
    assert PASSWORD not in written + containers + str(month.records())
