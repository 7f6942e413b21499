"""What others see of the final table while days are restated: through the metastore, and through Impala."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.crash.cover import Covered
from tests.support.installation import DAYS, ROOT
from tests.support.readers import ImpalaReader, MetastoreReader, Reading, View
from tests.support.served_warehouse import ServedWarehouse, served_warehouse

pytestmark = [pytest.mark.crash, pytest.mark.filterwarnings("ignore:unclosed <socket.*:ResourceWarning")]

ENOUGH_READS = 1000
MOST_ROUNDS = 6


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedWarehouse]:
    with served_warehouse(tmp_path_factory.mktemp("warehouse")) as made:
        yield made


@pytest.fixture(scope="module")
def impala_port(warehouse: ServedWarehouse) -> Iterator[int]:
    """An Impala double in a process of its own, which the job refreshes."""
    address = f"127.0.0.1:{warehouse.server.port}"
    command = [sys.executable, "-m", "devtools.impala_double", "--metastore", address, "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as double:
        assert double.stdout is not None
        where = double.stdout.readline().strip()
        warehouse.installation.configure({"impala": {"enabled": True, "hosts": [where]}})
        yield int(where.rpartition(":")[2])
        double.terminate()


class Readers:
    """One reader of each kind while something happens, and how each sees the table before and after."""

    def __init__(self, warehouse: ServedWarehouse, impala_port: int, covered: Covered) -> None:
        self._covered = covered
        self._ports = {"metastore": warehouse.server.port, "impala": impala_port}
        self.metastore = Reading("metastore", warehouse.server.port)
        self.impala = Reading("impala", impala_port)
        self.before: dict[str, View] = {}
        self.after: dict[str, View] = {}

    @contextmanager
    def at_work(self, what: str) -> Iterator[None]:
        self.before = self._look()
        with self.metastore, self.impala:
            yield
        self.after = self._look()
        assert self.before != self.after
        self._covered(
            f"readers during a {what}",
            f"{self.metastore.reads} through the metastore, {self.impala.reads} through Impala",
        )

    def _look(self) -> dict[str, View]:
        return {
            "metastore": MetastoreReader(self._ports["metastore"])(),
            "impala": ImpalaReader(self._ports["impala"])(),
        }

    def assert_whole_days_only(self) -> None:
        assert self.metastore.views == [self.before["metastore"], self.after["metastore"]]
        before, after = self.before["impala"], self.after["impala"]
        assert self.impala.views[0] == before
        assert self.impala.views[-1] == after
        for view in self.impala.views:
            assert list(view) == list(DAYS)
            assert all(view[day] in (before[day], after[day]) for day in DAYS), view


def test_in_swap_mode_no_reader_ever_sees_a_day_missing_or_half(
    warehouse: ServedWarehouse, impala_port: int, covered: Covered
) -> None:
    warehouse.reset("swap")
    job = warehouse.installation
    reads = 0

    for _ in range(MOST_ROUNDS):
        during_run = Readers(warehouse, impala_port, covered)
        with during_run.at_work("run"):
            code, _, err = job.run("run")
        assert code == 0, err
        assert warehouse.content() == {**warehouse.unlisted, **warehouse.new}
        during_run.assert_whole_days_only()

        during_rollback = Readers(warehouse, impala_port, covered)
        with during_rollback.at_work("rollback"):
            code, _, err = job.run("rollback", job.newest_record()["run_id"])
        assert code == 0, err
        assert warehouse.content() == warehouse.old
        during_rollback.assert_whole_days_only()

        reads += sum(each.metastore.reads + each.impala.reads for each in (during_run, during_rollback))
        if reads > ENOUGH_READS:
            return
    pytest.fail(f"only {reads} reads")


@pytest.mark.thorough
def test_in_drop_and_load_mode_the_same_readers_do_see_holes(
    warehouse: ServedWarehouse, impala_port: int, covered: Covered
) -> None:
    warehouse.reset("drop_and_load")
    readers = Readers(warehouse, impala_port, covered)

    with readers.at_work("run"):
        code, _, err = warehouse.installation.run("run")

    assert code == 0, err
    assert {} in readers.metastore.views
    assert {} in readers.impala.views
