"""
The job on HDFS and YARN that insist on Kerberos: its login is the keytab in ``spark.conf``, and there is no ticket.

The daemons run as HDFS's superuser, the job as somebody else. The metastore server has no Kerberos.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.cluster import Cluster
from devtools.hadoop_conf import Login
from tests.support.kdc import REALM, Kdc, require_realm
from tests.support.yarn_job import Warehouse, YarnJob

pytestmark = pytest.mark.timeout(1200)
USER = "etl"


@pytest.fixture(scope="module")
def realm(hadoop_jars: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    require_realm()
    kdc = Kdc(tmp_path_factory.mktemp("realm"))
    yield kdc
    kdc.stop()


def login(realm: Kdc, name: str) -> Login:
    return Login(f"{name}@{REALM}", realm.principal(name), Path(realm.environment["KRB5_CONFIG"]))


@pytest.fixture(scope="module")
def user(realm: Kdc) -> Login:
    return login(realm, USER)


@pytest.fixture(scope="module")
def secured(realm: Kdc, user: Login, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home, daemons = tmp_path_factory.mktemp("secured"), login(realm, f"{getpass.getuser()}/localhost")
    with Cluster(home, node_managers=1, standalone=False, login=daemons, metastore_login=user) as cluster:
        cluster.hadoop.make_user(USER)
        for path in ("/app", "/sample"):
            cluster.hadoop.hdfs.make_directories(path, owner=USER)
        yield cluster


@pytest.fixture(scope="module")
def conf(user: Login) -> dict[str, str]:
    """The login as the job is given it."""
    return {"spark.kerberos.principal": user.principal, "spark.kerberos.keytab": str(user.keytab)}


@pytest.fixture(scope="module")
def made(secured: Cluster, conf: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return Warehouse(secured, tmp_path_factory.mktemp("warehouse"), conf=conf)


@pytest.fixture
def job(secured: Cluster, realm: Kdc, conf: dict[str, str], tmp_path: Path) -> YarnJob:
    job = YarnJob(secured, tmp_path)
    job.configure({"spark": {"conf": conf}})
    job.environment["KRB5CCNAME"] = realm.environment["KRB5CCNAME"]  # there is no such file
    return job


@pytest.mark.parametrize("deploy_mode", [pytest.param("client", marks=pytest.mark.thorough), "cluster"])
def test_a_run_restates_the_days_with_the_keytab_alone(job: YarnJob, made: Warehouse, deploy_mode: str) -> None:
    made.reset()
    job.configure({"spark": {"deploy_mode": deploy_mode}})

    code, out, err = job.run("run")

    assert code == 0, err
    assert "raw = staging = final (Impala not asked) on all 3 days" in out
    made.assert_side("new")
    (record,) = job.records()
    assert job.cluster.hadoop.client.application(record["application_id"]).user == USER
    assert job.cluster.hadoop.hdfs.status(f"/app/{job.home.name}/runs/{record['run_id']}/run.json")["owner"] == USER

    code, out, err = job.run("status")

    assert code == 0, err
    assert record["run_id"] in out


def test_without_a_login_hdfs_refuses(job: YarnJob) -> None:
    nobody = YarnJob(job.cluster, job.home / "nobody")
    nobody.environment = job.environment

    code, _, err = nobody.run("status")

    assert code == 1, err
    assert "Client cannot authenticate via:[TOKEN, KERBEROS]" in err


@pytest.mark.parametrize(("command", "keytab"), [("status", "of another principal"), ("run", "with an earlier key")])
def test_a_wrong_keytab_is_refused_in_one_line(job: YarnJob, realm: Kdc, keytab: str, command: str) -> None:
    name = f"{command}-{keytab.split()[-1]}"
    earlier = realm.principal(name)
    realm.keytab(name)
    principal = f"{name if keytab == 'with an earlier key' else USER}@{REALM}"
    login = {"spark.kerberos.principal": principal, "spark.kerberos.keytab": str(earlier)}
    job.configure({"spark": {"conf": login}})

    code, _, err = job.run(command)

    assert code == 2, err
    (line,) = err.splitlines()
    assert f"failure to login: for principal: {principal} from keytab {earlier}" in line
