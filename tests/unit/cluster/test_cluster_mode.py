"""What travels from a launcher to the driver in the cluster: configuration, request, packages, settings of Spark."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT
from traffic_aggr.cluster.request import DriverRequest
from traffic_aggr.config.config import Config
from traffic_aggr.config.load import load_config
from traffic_aggr.hive.partitions import PARTITION_DATE, Partition, PartitionColumn, PartitionList, SkippedLine
from traffic_aggr.run.dependants import Dependant
from traffic_aggr.run.plan import RunArguments, Step
from traffic_aggr.spark.shipping import UNPACKED, pack_dependencies, python_version, with_packages, zip_package
from traffic_aggr.spark.yarn import container

RUN_ID = "20210504T020200Z-abc123"

CONFIG = """
partitions: {file: "hdfs://nameservice1/app/days"}
impala:
  hosts: ["impalad-1:21050"]
  auth: {mechanism: LDAP, user: etl, password: {hadoop: impala}}
state: {dir: "hdfs://nameservice1/app/traffic_aggr", status_file: status, lock_file: lock}
logs: {dir: "${CONFIG_DIR}/logs"}
notify: {from: a@b, ticket_to: [c@d], alert_file: alerts.jsonl}
hooks: {after_load: [[echo, "a $${literal} one"]]}
spark: {master: yarn, deploy_mode: cluster, conf: {spark.yarn.queue: "${QUEUE}", spark.yarn.tags: nightly}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "edge" / "job.yaml"
    path.parent.mkdir()
    path.write_text(CONFIG)
    return load_config(path, {"QUEUE": "etl"})


def test_the_configuration_reads_the_same_on_another_host_without_its_variables(tmp_path: Path, config: Config) -> None:
    path = tmp_path / "traffic_aggr.yaml"
    path.write_text(config.to_yaml())
    there = load_config(path, {})
    assert there.digest == config.digest
    assert there.spark.conf["spark.yarn.queue"] == "etl"
    assert there.hooks.after_load == (("echo", "a ${literal} one"),)
    assert there.logs.dir == tmp_path / "edge" / "logs"


def test_every_example_configuration_reads_the_same_when_it_has_travelled(tmp_path: Path) -> None:
    for example in sorted((ROOT / "conf").glob("*.yaml")):
        here = load_config(example, {"TRAFFIC_AGGR_DEMO": str(tmp_path)})
        (tmp_path / "travelled.yaml").write_text(here.to_yaml())
        assert load_config(tmp_path / "travelled.yaml", {}).digest == here.digest


@pytest.mark.parametrize("step", [None, Step.LOAD])
def test_a_request_arrives_as_it_was_sent(step: Step | None) -> None:
    days = PartitionList(
        partitions=(Partition("2021-04-02"), Partition("2021-04-01")),
        skipped=(SkippedLine(2, "21/05/01 WARN x"),),
        repeated=(Partition("2021-04-02"),),
        source="hdfs://nameservice1/app/days",
        skipped_total=7,
    )
    trend = Dependant("db.trend", PartitionColumn("month", "month"), "/app/trend.yaml")
    sent = DriverRequest(RUN_ID, RunArguments(days, step), flag=2, caused_by=RUN_ID, dependants=(trend,))
    assert DriverRequest.from_json(sent.to_json(), PARTITION_DATE) == sent


@pytest.mark.parametrize(
    ("container_id", "found"),
    [
        ("container_1620093720000_0007_01_000001", ("application_1620093720000_0007", 1)),
        ("container_e17_1620093720000_0007_02_000001", ("application_1620093720000_0007", 2)),
        ("", None),
        ("container_of_something", None),
    ],
)
def test_a_container_knows_its_application_and_attempt(container_id: str, found: object) -> None:
    assert container({"CONTAINER_ID": container_id}) == found


def test_what_is_packed_runs_on_a_bare_interpreter_from_any_directory(tmp_path: Path) -> None:
    package, archive = zip_package(tmp_path), pack_dependencies(tmp_path)
    assert python_version() in archive.name
    there = tmp_path / "container"
    with tarfile.open(archive) as packed:
        packed.extractall(there / UNPACKED)
    program = (
        "import sys; assert not any('site-packages' in path for path in sys.path), sys.path\n"
        "import bitarray, impala.dbapi, tenacity, yaml, thrift_sasl, puresasl.client\n"
        "import traffic_aggr.cli.main, traffic_aggr.report.page\n"
        "print(bitarray.__file__, traffic_aggr.cli.main.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=there,
        env={"PYTHONPATH": f"{package}:{UNPACKED}", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    bits, cli = done.stdout.split()
    assert bits.startswith(str(there))
    assert cli.startswith(str(package))


@pytest.mark.parametrize(
    ("files", "module"),
    [
        ({"site_job.py": "JOB = 1"}, "site_job"),
        ({"site_jobs/__init__.py": "", "site_jobs/orders.py": "JOB = 1"}, "site_jobs.orders"),
        ({"site_jobs/daily/orders.py": "JOB = 1"}, "site_jobs.daily.orders"),
    ],
    ids=["a file", "a package", "directories without __init__"],
)
def test_a_sites_own_module_is_packed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], module: str
) -> None:
    for name, text in files.items():
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "here")
    monkeypatch.delitem(sys.modules, module.partition(".")[0], raising=False)

    settings = with_packages({"spark.yarn.dist.pyFiles": "theirs.zip"}, tmp_path, module)
    theirs, ours, site = settings["spark.yarn.dist.pyFiles"].split(",")

    assert (theirs, Path(ours).name) == ("theirs.zip", "traffic_aggr.zip")
    code = f"import {module}; print({module}.JOB)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": site},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1\n", done.stderr


def test_what_is_packed_is_small(tmp_path: Path) -> None:
    assert zip_package(tmp_path).stat().st_size + pack_dependencies(tmp_path).stat().st_size < 8_000_000


def test_settings_of_the_site_are_kept_beside_ours(tmp_path: Path, config: Config) -> None:
    from traffic_aggr.cluster.submission import _arguments, tag

    request = DriverRequest(RUN_ID, RunArguments(PartitionList((Partition("2021-04-01"),))), flag=0)
    arguments = _arguments(config, request, tmp_path)
    settings = dict(each.split("=", 1) for name, each in zip(arguments, arguments[1:]) if name == "--conf")
    assert settings["spark.yarn.tags"] == f"nightly,{tag(RUN_ID)}"
    assert settings["spark.yarn.queue"] == "etl"
    assert settings["spark.yarn.maxAppAttempts"] == "1"
    assert settings["spark.pyspark.python"] == f"python{python_version()}"
    assert arguments[arguments.index("--deploy-mode") + 1] == "cluster"
    assert not any("hadoop: impala" in argument for argument in arguments)


def test_the_yaml_that_travels_names_no_secret_but_where_it_is_kept(config: Config) -> None:
    assert yaml.safe_load(config.to_yaml())["impala"]["auth"]["password"] == {"hadoop": "impala"}
