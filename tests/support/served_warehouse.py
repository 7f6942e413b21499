"""The job's warehouse on a metastore server of its own, with a proxy between the two, and its initial content."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from devtools.metastore_server import MetastoreServer
from tests.support.installation import DAYS, Installation
from tests.support.metastore_proxy import MetastoreProxy
from tests.support.oracle import expected_rows
from traffic_aggr.traffic.columns import FINAL_COLUMNS

DATABASE, FINAL = "mnaas", "traffic_aggr_adhoc"
Rows = Counter[tuple[Any, ...]]

OWNERS = {"reviewed_by": 'it\'s Ana; "done" é'}
STATISTICS = {
    "COLUMN_STATS_ACCURATE": '{"BASIC_STATS":"true"}',
    "numRows": "999999",
    "rawDataSize": "888888",
    "spark.sql.statistics.numRows": "999999",
    "spark.sql.statistics.totalSize": "777777",
    "impala_intermediate_stats_num_chunks": "1",
    "impala_intermediate_stats_chunk0": "A" * 4000,
}
"""Parameters of each old partition: one that its owner has set, and statistics that do not fit the new data."""

_PARQUET = "SELECT * FROM read_parquet($1, hive_partitioning = false)"
_COLUMNS = {column.name: column.type for column in FINAL_COLUMNS}
_TEXT = f"""
    SELECT * FROM read_csv($1, auto_detect = false, header = false, delim = ';', quote = '', escape = '',
                           nullstr = '\\N', hive_partitioning = false, columns = {_COLUMNS})
"""
_QUICK = {"spark.sql.codegen.wholeStage": False, "spark.sql.shuffle.partitions": 2}


class ServedWarehouse:
    """
    Sample data whose tables a metastore ``server`` knows; the job reaches it through ``proxy``.

    The final table is Parquet, or ``;``-delimited text whose files are purged. Sample data leaves the last listed day
    out of the final table; here it starts with the rows of the first day.

    ``old`` has the initial rows of each day in the final table, ``old_parameters`` the parameters of its partitions
    after ``reset``, ``new`` the rows that a run writes.
    """

    def __init__(self, home: Path, server: MetastoreServer, proxy: MetastoreProxy, final_format: str) -> None:
        self.server = server
        self.proxy = proxy
        self.installation = Installation(home, metastore_uri=proxy.uri, spark_conf=_QUICK)
        self.installation.make_sample_data(final_format)
        self._sample = home / "sample"
        self._final = self._sample / "final"
        with server.catalog.client() as client:
            self._add_last_day(client)
            self._partitions = client.get_partitions(DATABASE, FINAL, -1)
            for partition in self._partitions:
                partition.parameters.update({**OWNERS, **STATISTICS})
        self._kept = home / "final as it was"
        shutil.copytree(self._final, self._kept)
        self.old = {day: rows_in(Path(location)) for day, location in self.locations().items()}
        sources = (self._sample / name for name in ("raw", "org_details", "country_lookup"))
        right = [row[:-1] for row in expected_rows(*sources, DAYS)]
        self.new: Mapping[str, Rows] = {day: Counter(row[:-1] for row in right if row[-1] == day) for day in DAYS}

    @property
    def unlisted(self) -> dict[str, Rows]:
        return {day: rows for day, rows in self.old.items() if day not in DAYS}

    @property
    def old_listed(self) -> dict[str, Rows]:
        return {day: self.old[day] for day in DAYS}

    def home_of(self, day: str) -> Path:
        """Returns the standard directory of a day."""
        return self._final / f"partition_date={day}"

    def locations(self) -> dict[str, str]:
        """Returns the directory of each day in the final table, asked for in one request."""
        return self.server.catalog.partitions(DATABASE, FINAL)

    def content(self) -> dict[str, Rows]:
        """Returns the rows of each day in the final table, read through its partitions."""
        return {day: rows_in(Path(location)) for day, location in self.locations().items()}

    def parameters(self) -> dict[str, dict[str, str]]:
        """Returns the parameters of each day in the final table, except the time of its last change."""
        with self.server.catalog.client() as client:
            found = client.get_partitions(DATABASE, FINAL, -1)
        return {
            partition.values[0]: {
                name: value for name, value in partition.parameters.items() if name != "transient_lastDdlTime"
            }
            for partition in found
        }

    def new_parameters(self, day: str) -> dict[str, str]:
        """Returns a day's expected parameters after a run, with the metastore's counts of the current files."""
        files = list(Path(self.locations()[day]).glob("[!._]*"))
        counted = {"numFiles": str(len(files)), "totalSize": str(sum(file.stat().st_size for file in files))}
        rows = {"numRows": str(sum(self.new[day].values())), "STATS_GENERATED_VIA_STATS_TASK": "true"}
        rest = {"numFilesErasureCoded": "0"} if "numFilesErasureCoded" in self.old_parameters[day] else {}
        return {**OWNERS, **rows, **counted, **rest}

    def reset(self, mode: str) -> None:
        """Restores the initial state without the job, which will publish in ``mode``."""
        with self.server.catalog.client() as client:
            for partition in client.get_partitions(DATABASE, FINAL, -1):
                client.drop_partition(DATABASE, FINAL, partition.values, False)
            shutil.rmtree(self._final)
            shutil.copytree(self._kept, self._final)
            client.add_partitions(self._partitions)
        self.old_parameters = self.parameters()
        assert all({**OWNERS, **STATISTICS}.items() <= found.items() for found in self.old_parameters.values())
        shutil.rmtree(self.installation.home / "state", ignore_errors=True)
        self.installation.configure({"publish": {"mode": mode}})

    def _add_last_day(self, client: Any) -> None:
        first, last = self.home_of(DAYS[0]), self.home_of(DAYS[-1])
        shutil.copytree(first, last)
        partition = client.get_partition(DATABASE, FINAL, [DAYS[0]])
        partition.values, partition.sd.location = [DAYS[-1]], f"file:{last}"
        client.add_partition(partition)


def rows_in(directory: Path) -> Rows:
    """Returns the rows of all files in ``directory``, which must exist."""
    assert directory.is_dir(), f"there is no {directory}"
    files = sorted(str(path) for path in directory.glob("[!._]*"))
    query = _PARQUET if all(path.endswith(".parquet") for path in files) else _TEXT
    return Counter(duckdb.execute(query, [files]).fetchall() if files else [])


@contextmanager
def served_warehouse(
    home: Path, kind: type[MetastoreServer] = MetastoreServer, final_format: str = "parquet"
) -> Iterator[ServedWarehouse]:
    with kind(home / "metastore") as server, MetastoreProxy(server.port) as proxy:
        yield ServedWarehouse(home, server, proxy, final_format)
