"""The metastore server dies (SIGKILL) at a chosen call of the job, before the call or before its answer comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from impala._thrift_gen.hive_metastore.ttypes import EnvironmentContext
from thrift.transport.TTransport import TTransportException

from devtools.metastore_server import MetastoreServer
from tests.support.installation import DAYS
from tests.support.metastore_proxy import AFTER, BEFORE
from tests.support.served_warehouse import DATABASE, FINAL, ServedWarehouse, rows_in, served_warehouse

pytestmark = [pytest.mark.crash, pytest.mark.filterwarnings("ignore:unclosed <socket.*:ResourceWarning")]

DROP, ADD, POINT = "drop_partition", "add_partitions", "alter_partitions"
MODES = {DROP: "drop_and_load", ADD: "drop_and_load", POINT: "swap"}
MANY = 200


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedWarehouse]:
    with served_warehouse(tmp_path_factory.mktemp("warehouse")) as made:
        yield made


@pytest.mark.parametrize(
    ("call", "nth", "when", "command"),
    [
        pytest.param(DROP, 2, AFTER, "recover", marks=pytest.mark.thorough),  # on Hive 4's metastore it always runs
        (ADD, 2, BEFORE, "run"),
        (POINT, 1, AFTER, "run"),
    ],
)
def test_what_follows_a_run_that_lost_its_metastore_makes_every_day_whole(
    warehouse: ServedWarehouse, call: str, nth: int, when: str, command: str
) -> None:
    warehouse.reset(MODES[call])
    job = warehouse.installation

    def die() -> None:
        warehouse.server.kill()
        warehouse.proxy.refuse()

    warehouse.proxy.plan(call, nth, when, die)
    code, _, err = job.run("run")
    struck = warehouse.proxy.struck.is_set()
    warehouse.server.restart()
    warehouse.proxy.listen()

    assert struck
    assert code == 1
    assert_told(err, MODES[call])
    assert "MNAAS_job_status=Failure" in job.status()
    record = job.newest_record()
    assert (record["outcome"], record["exit_code"]) == ("failed", 1)
    if call == DROP:  # that the drop has ended is not known, so no file may have moved
        assert {day: rows_in(warehouse.home_of(day)) for day in DAYS} == warehouse.old_listed
    assert_whole(warehouse, record)

    code, out, err = job.run(command)

    assert code == 0, err
    listed = warehouse.new if command == "run" else warehouse.old_listed
    assert warehouse.content() == {**warehouse.unlisted, **listed}
    assert ("raw = staging = final" if command == "run" else "old data is back in place for 3 partitions") in out
    found = warehouse.parameters()
    for day in DAYS:
        assert found[day] == (warehouse.new_parameters(day) if command == "run" else warehouse.old_parameters[day])


@pytest.mark.parametrize(
    ("call", "nth", "when", "goes_on"),
    [
        pytest.param(DROP, 1, BEFORE, True, marks=pytest.mark.thorough),
        (DROP, 2, AFTER, False),  # Hive's client asks again, and hears that there is no such partition
        pytest.param(ADD, 2, AFTER, True, marks=pytest.mark.thorough),
        (POINT, 1, BEFORE, True),
    ],
)
def test_a_run_goes_on_or_puts_old_data_back_when_the_metastore_comes_back_at_once(
    warehouse: ServedWarehouse, call: str, nth: int, when: str, goes_on: bool
) -> None:
    warehouse.reset(MODES[call])

    def die_and_rise() -> None:
        warehouse.server.kill()
        warehouse.server.start()

    warehouse.proxy.plan(call, nth, when, die_and_rise)
    code, out, err = warehouse.installation.run("run")

    assert warehouse.proxy.struck.is_set()
    assert "Traceback" not in err
    if goes_on:
        assert code == 0, err
        assert "raw = staging = final" in out
        assert warehouse.content() == {**warehouse.unlisted, **warehouse.new}
        assert all(warehouse.parameters()[day] == warehouse.new_parameters(day) for day in DAYS)
    else:
        assert code == 1
        assert "old data is back in place for 3 partitions" in err.strip().splitlines()[-1]
        assert warehouse.content() == warehouse.old
        assert warehouse.parameters() == warehouse.old_parameters


def test_a_server_killed_amid_a_swap_of_many_partitions_has_moved_all_or_none(warehouse: ServedWarehouse) -> None:
    server = warehouse.server
    with server.catalog.client() as client:
        table = client.get_table(DATABASE, FINAL)
        table.tableName, table.sd.location = "many", f"{table.sd.location}/../many"
        client.create_table(table)
        template = client.get_partition(DATABASE, FINAL, [DAYS[0]])
    partitions = [placed(template, number, "0") for number in range(MANY)]
    with server.catalog.client() as client:
        client.add_partitions(partitions)
    began = time.monotonic()
    point(server, template, "1")
    takes = time.monotonic() - began
    seen = []

    for attempt, share in enumerate((0.3, 0.5, 0.7, 0.9), start=2):
        swap = threading.Thread(target=point, args=(server, template, str(attempt)))
        swap.start()
        time.sleep(takes * share)
        server.kill()
        swap.join()
        server.start()
        places = {Path(place).parent.name for place in server.catalog.partitions(DATABASE, "many").values()}
        assert len(places) == 1, places
        seen += places
    print(f"{takes:.1f} s for a swap; the generations seen after each kill: {seen}")


def placed(template: Any, number: int, generation: str) -> Any:
    """A partition of the table ``many`` in the directory of a ``generation``."""
    made = type(template)(**{**vars(template), "values": [f"day {number}"], "tableName": "many"})
    location = f"{template.sd.location.rpartition('/')[0]}/many/{generation}/{number}"
    made.sd = type(template.sd)(**{**vars(template.sd), "location": location})
    return made


def point(server: MetastoreServer, template: Any, generation: str) -> None:
    """Points all partitions of ``many`` elsewhere in one request, as Spark's catalog does; it may be lost."""
    partitions = [placed(template, number, generation) for number in range(MANY)]
    context = EnvironmentContext({"DO_NOT_UPDATE_STATS": "true"})
    with suppress(TTransportException, OSError), server.catalog.client() as client:
        client.alter_partitions_with_environment_context(DATABASE, "many", partitions, context)


def assert_told(err: str, mode: str) -> None:
    """The last line says what happened, where the data is, and what to do."""
    told = err.strip().splitlines()[-1]
    data = "may have old data or new, each is whole" if mode == "swap" else "may be missing from the table"
    assert "error: the Hive metastore does not answer; 3 partitions" in told
    assert data in told
    assert ". Next: " in told
    assert "Traceback" not in err


def assert_whole(warehouse: ServedWarehouse, record: dict[str, Any]) -> None:
    """Days that nobody listed are as before; a listed one is all old, all new, or absent with its old data kept."""
    found = warehouse.content()
    assert {day: rows for day, rows in found.items() if day not in DAYS} == warehouse.unlisted
    for day in DAYS:
        if day in found:
            assert found[day] in (warehouse.old[day], warehouse.new[day])
        else:
            kept = Path(record["days"][day]["kept"].removeprefix("file:"))
            assert rows_in(kept if kept.exists() else warehouse.home_of(day)) == warehouse.old[day]
