"""
Metastore servers of newer Hive versions than the one that comes with pip's pyspark.

They are Hive's standalone metastores, listed with checksums in ``hive3_jars.txt`` and ``hive4_jars.txt``. pip's pyspark
supplies the libraries that it ships. Spark's own client, of Hive 2.3, talks to these servers unchanged. Of Hive 4 that
holds for 4.0.0 only: later versions lack calls that the client makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from devtools.hadoop_jars import cache_directory, fetched, jars_of_pyspark, pinned_jars
from devtools.metastore_server import MetastoreServer

# pyspark's jars that all these servers use, named without versions.
_FROM_PYSPARK = (
    "hadoop-client-api",
    "hadoop-client-runtime",
    "hive-storage-api",
    "libfb303",
    "transaction-api",
    "HikariCP",
    "derby",
    "metrics-core",
    "metrics-jvm",
    "metrics-json",
    "jackson-annotations",
    "jackson-core",
    "jackson-databind",
    "commons-cli",
    "commons-collections",
    "commons-lang",
    "commons-lang3",
    "commons-logging",
    "slf4j-api",
    "log4j-api",
    "log4j-core",
    "log4j-1.2-api",
    "log4j-slf4j2-impl",
)
# Hive's defaults are classes of hive-exec: 40 MB more, for partition filters and tasks that nobody here uses.
_WITHOUT_HIVE_EXEC = {
    "hive.metastore.expression.proxy": "org.apache.hadoop.hive.metastore.DefaultPartitionExpressionProxy",
    "metastore.task.threads.always": "org.apache.hadoop.hive.metastore.events.EventCleanerTask",
    "metastore.task.threads.remote": "org.apache.hadoop.hive.metastore.events.EventCleanerTask",
}


class NewerMetastore(MetastoreServer):
    """A metastore server of another version; in all else it is a ``MetastoreServer``."""

    pins: Path
    """The file that lists the jars to fetch."""
    shipped: Sequence[str]
    """Jars of pyspark that only this version needs, named without versions."""

    @classmethod
    def jars(cls) -> list[Path]:
        """Returns its jars, and fetches missing ones. Raises JarsUnavailableError when they cannot be obtained."""
        return [
            *fetched(pinned_jars(cls.pins), cache_directory()),
            *jars_of_pyspark([*_FROM_PYSPARK, *cls.shipped]),
        ]

    def _class_path(self) -> Sequence[Path]:
        return self.jars()

    def _settings(self) -> Mapping[str, object]:
        return {**super()._settings(), **_WITHOUT_HIVE_EXEC}


class Hive3Metastore(NewerMetastore):
    """The server of Hive 3.1, which ignores ``external.table.purge``."""

    pins = Path(__file__).with_name("hive3_jars.txt")
    shipped = (
        "libthrift",
        "datanucleus-api-jdo",
        "datanucleus-core",
        "datanucleus-rdbms",
        "javax.jdo",
        "antlr-runtime",
    )


class Hive4Metastore(NewerMetastore):
    """
    The server of Hive 4.0, which deletes the files of external tables whose ``external.table.purge`` is true.

    The servers of HDP 3 and CDP 7 do so too, though they call themselves 3.1.
    """

    pins = Path(__file__).with_name("hive4_jars.txt")
    shipped = ("antlr4-runtime", "gson", "httpclient", "httpcore", "jakarta.servlet-api")
