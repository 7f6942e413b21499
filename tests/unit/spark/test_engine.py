"""spark.engine: which settings an engine brings, and where it is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from traffic_aggr.config.config import SparkConfig
from traffic_aggr.errors import InputError
from traffic_aggr.spark import engine
from traffic_aggr.spark.engine import with_engine

GLUTEN = "org.apache.gluten.GlutenPlugin"
BUILT = {"backend_type": "velox", "spark_version": "3.5.5", "gluten_version": "1.7.0"}


def bundle(path: Path, library: str = "linux/amd64/libvelox.so", **built: str) -> Path:
    """A jar that looks like Gluten's."""
    with zipfile.ZipFile(path, "w") as archive:
        info = "".join(f"{key}={value}\n" for key, value in {**BUILT, **built}.items())
        archive.writestr("gluten-build-info.properties", info)
        archive.writestr(library, b"")
    return path


@pytest.fixture
def jar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gluten's jar, on a host that Velox runs on."""
    monkeypatch.setattr(engine.sys, "platform", "linux")
    monkeypatch.setattr(engine.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(engine.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(engine.pyspark, "__version__", "3.5.9")
    return bundle(tmp_path / "gluten.jar")


def settings(jar: Path, **changes: Any) -> dict[str, str]:
    return with_engine(SparkConfig(engine="velox", engine_jar=jar, **changes))


def test_the_jvm_needs_no_settings() -> None:
    assert with_engine(SparkConfig(conf={"spark.driver.memory": "4g"})) == {"spark.driver.memory": "4g"}


def test_velox_gets_its_plugin_shuffle_and_class_path(jar: Path) -> None:
    found = settings(jar)
    assert found["spark.plugins"] == GLUTEN
    assert found["spark.shuffle.manager"].endswith("ColumnarShuffleManager")
    assert found["spark.driver.extraClassPath"] == found["spark.executor.extraClassPath"] == str(jar)
    assert "spark.yarn.dist.files" not in found


@pytest.mark.parametrize(
    ("master", "given", "heap", "off_heap"),
    [
        ("local[*]", {"spark.driver.memory": "4g"}, "2048m", "2048m"),
        ("local[2]", {"spark.driver.memory": "1501m"}, "751m", "750m"),
        ("local[2]", {"spark.driver.memory": "1024"}, "512m", "512m"),
        ("local[2]", {}, None, "1g"),
        ("yarn", {"spark.executor.memory": "8G", "spark.driver.memory": "4g"}, "4096m", "4096m"),
        ("yarn", {"spark.executor.memory": "8g", "spark.memory.offHeap.size": "3g"}, "8g", "3g"),
    ],
)
def test_memory_is_shared_between_heap_and_velox(
    jar: Path, master: str, given: dict[str, str], heap: str, off_heap: str
) -> None:
    found = settings(jar, master=master, conf=given)
    role = "executor" if master == "yarn" else "driver"
    assert found.get(f"spark.{role}.memory") == heap
    assert found["spark.memory.offHeap.size"] == off_heap
    assert found["spark.memory.offHeap.enabled"] == "true"
    if master == "yarn":
        assert found.get("spark.driver.memory") == given.get("spark.driver.memory")


def test_what_spark_conf_says_itself_stays(jar: Path) -> None:
    conf = {
        "spark.shuffle.manager": "sort",
        "spark.plugins": "org.example.Plugin",
        "spark.driver.extraClassPath": "/opt/a.jar",
        "spark.driver.extraJavaOptions": "-Da=b",
    }
    found = settings(jar, conf=conf)
    assert found["spark.shuffle.manager"] == "sort"
    assert found["spark.plugins"] == f"org.example.Plugin,{GLUTEN}"
    assert found["spark.driver.extraClassPath"] == f"/opt/a.jar:{jar}"
    assert found["spark.driver.extraJavaOptions"].startswith("-Da=b -D")


@pytest.mark.parametrize(("mode", "driver"), [("client", None), ("cluster", "gluten.jar")])
def test_the_jar_travels_with_the_application_on_yarn(jar: Path, mode: str, driver: str) -> None:
    found = settings(jar, master="yarn", deploy_mode=mode, conf={"spark.yarn.dist.files": "/opt/a"})
    assert found["spark.yarn.dist.files"] == f"/opt/a,{jar}#gluten.jar"
    assert found["spark.executor.extraClassPath"] == "gluten.jar"
    assert found["spark.driver.extraClassPath"] == (driver or str(jar))


def test_the_jar_of_the_installed_wheel_is_the_default(
    jar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "velox_spark" / "jars").mkdir(parents=True)
    (tmp_path / "velox_spark" / "__init__.py").write_text("raise RuntimeError('imported')")
    there = bundle(tmp_path / "velox_spark" / "jars" / "gluten-velox-bundle-spark3.5_2.12-linux_amd64-1.7.0.jar")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert with_engine(SparkConfig(engine="velox"))["spark.driver.extraClassPath"] == str(there)


@pytest.mark.parametrize(
    ("what", "value", "said"),
    [
        ("pyspark.__version__", "4.1.0", "needs Spark 3.5; this is 4.1.0"),
        ("sys.platform", "darwin", "needs linux on x86_64 with glibc; this is darwin on x86_64"),
        ("platform.machine", lambda: "aarch64", "this is linux on aarch64"),
        ("platform.libc_ver", lambda: ("", ""), "with another C library"),
        ("_installed_jar", lambda: None, "Gluten's jar, which is not installed here"),
    ],
)
def test_a_host_without_what_velox_needs_is_refused_in_one_line(
    jar: Path, monkeypatch: pytest.MonkeyPatch, what: str, value: object, said: str
) -> None:
    monkeypatch.setattr(f"traffic_aggr.spark.engine.{what}", value)
    with pytest.raises(InputError) as caught:
        with_engine(SparkConfig(engine="velox"))
    assert said in str(caught.value)
    assert "spark.engine: jvm" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path, "No such file"),
        (lambda path: path.write_text("no zip"), "not a zip file"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "it is not a bundle of Gluten"),
        (lambda path: bundle(path, spark_version="3.4.4"), "it was built for Spark 3.4.4"),
        (lambda path: bundle(path, backend_type="ch"), "it was built for ch"),
        (lambda path: bundle(path, library="linux/aarch64/libvelox.so"), "it has no linux/amd64/libvelox.so"),
    ],
    ids=["missing", "no zip", "another jar", "another Spark", "another engine", "another processor"],
)
def test_a_jar_that_does_not_fit_is_refused_in_one_line(jar: Path, tmp_path: Path, make: Any, said: str) -> None:
    other = tmp_path / "other.jar"
    make(other)
    with pytest.raises(InputError) as caught:
        settings(other)
    assert f"{other} does not fit spark.engine: velox: " in str(caught.value)
    assert said in str(caught.value)
