"""The class archive, made and used by a real Java."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from traffic_aggr.cli.warm import make_class_archive
from traffic_aggr.config.sections import SparkConfig
from traffic_aggr.spark.jvm import class_archive

SUBMIT = "org.apache.spark.deploy.SparkSubmit"


def test_java_takes_spark_s_classes_from_the_archive_on_the_cluster_s_class_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    hadoop = tmp_path / "hadoop"
    hadoop.mkdir()
    (hadoop / "core-site.xml").write_text("<configuration/>")
    monkeypatch.setenv("HADOOP_CONF_DIR", str(hadoop))
    path = make_class_archive(SparkConfig(conf={"spark.hadoop.hive.metastore.uris": "thrift://127.0.0.1:1"}))

    archive = class_archive({}, ())
    assert archive.options == (f"-XX:SharedArchiveFile={path}",)
    home, spark = archive.environment.get("JAVA_HOME"), Path(pyspark.__file__).parent
    java = [f"{home}/bin/java" if home else "java", *archive.options, "-Xlog:class+load"]
    command = [*java, "-cp", f"{spark}/conf:{spark}/jars/*:{hadoop}", SUBMIT, "--version"]
    said = subprocess.run(command, env=archive.environment, capture_output=True, text=True, check=True).stdout
    assert "shared objects file (top)" in re.findall(r"org\.apache\.spark\.\S+ source: (.*)", said)
