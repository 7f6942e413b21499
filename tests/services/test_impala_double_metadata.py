"""
The stand-in does with REFRESH, INVALIDATE METADATA and SHOW PARTITIONS what Impala does, as its own tests have it:
ParserTest, AnalyzerTest and AnalyzeDDLTest for what is a statement, test_refresh_partition and
test_metadata_no_events_processing for what is seen afterwards. Left out is what needs ALTER TABLE or INSERT in Impala,
a partition's own file format, statistics, transactional, Iceberg and Kudu tables, views, and functions in a condition.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import pytest
from impala.dbapi import connect
from impala.error import Error, HiveServer2Error

from devtools.impala_double import ImpalaDouble, InMemoryCatalog, TableInfo

UPDATED = "REFRESH_UPDATED_HMS_PARTITIONS"


def run(double: ImpalaDouble, statement: str, options: Optional[dict[str, str]] = None) -> Any:
    connection = connect(double.host, double.port, timeout=30, retries=1)
    with closing(connection), closing(connection.cursor()) as cursor:
        cursor.execute(statement, configuration=options)
        return cursor.fetchall() if cursor.has_result_set else None


def answer_to(double: ImpalaDouble, statement: str) -> str:
    """The error that a statement is answered with, or nothing."""
    try:
        run(double, statement)
    except Error as exc:
        return str(exc)
    return ""


# Statements


@pytest.fixture
def double(start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path) -> ImpalaDouble:
    """Knows ``mnaas.final``, by day; ``mnaas.months``, by year and month, which are INT; ``mnaas.flat``."""
    columns = (("x", "int"),)
    types = {"year": "int", "month": "int"}
    months = TableInfo(columns, "text", str(tmp_path), ("year", "month"), partition_types=types)
    catalog.create("mnaas", "months", months).update(
        {f"{year}/{month}": str(tmp_path / f"{year}-{month}") for year in (2009, 2010) for month in (1, 5)}
    )
    catalog.create("mnaas", "flat", TableInfo(columns, "text", str(tmp_path / "flat")))
    started: ImpalaDouble = start_impala(version="5.0.0")
    return started


@pytest.mark.parametrize(
    "statement",
    [
        "invalidate metadata",
        "invalidate metadata Foo",
        "invalidate metadata Foo.S",
        "refresh Foo",
        "refresh Foo.S",
        "refresh Foo partition (col=2)",
        "refresh Foo partition (col=2) partition (col=3)",
        "refresh Foo.S partition (col=2)",
        "refresh Foo.S partition (col1 = 2, col2 = 3)",
        "refresh Foo.S partition (col1 = 2, col2 = 3) partition (col1 = 0, col2 = 0) partition (col1 = 1, col2 = 1)",
        "refresh functions Foo",
        "refresh authorization",
        "SHOW PARTITIONS tbl",
        "SHOW PARTITIONS db.tbl",
        "SHOW PARTITIONS `db`.`tbl`",
        "SHOW PARTITIONS tbl WHERE year = 2025 and month < 6",
    ],
)
def test_this_parses(double: ImpalaDouble, statement: str) -> None:
    assert "Syntax error" not in answer_to(double, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "invalidate",
        "invalidate metadata Foo.S.S",
        "invalidate metadata partition (col=2)",
        "invalidate metadata Foo.S partition (col=2)",
        "REFRESH Foo.S.S",
        "refresh",
        "refresh Foo.S partition (col1 = 2, col2)",
        "refresh Foo.S partition ()",
        "refresh Foo.S partition (col1 = 0), (col1 = 1)",
        "refresh functions Foo.S",
        "refresh authorization Foo",
    ],
)
def test_this_does_not_parse(double: ImpalaDouble, statement: str) -> None:
    with pytest.raises(HiveServer2Error, match="Syntax error"):
        run(double, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SHOW PARTITIONS mnaas.months WHERE year = 2009",
        "REFRESH mnaas.months PARTITION (year=2009, month=1) PARTITION (year=2009, month=5)",
    ],
)
def test_this_parses_since_version_5(start_impala: Any, double: ImpalaDouble, statement: str) -> None:
    run(double, statement)
    with pytest.raises(HiveServer2Error, match="Syntax error"):
        run(start_impala(version="4.5.0"), statement)


@pytest.mark.parametrize(
    "statement",
    [
        "invalidate metadata",
        "invalidate metadata mnaas.months",
        "refresh mnaas.months",
        "refresh mnaas.months partition (year=2009, month=1)",
        "refresh mnaas.months partition (month=1, year=2009)",
        "refresh mnaas.months partition (year=2009, month=NULL)",
        "refresh mnaas.months partition (year=2009, month=1) partition (year=2010, month=2)",
        "refresh mnaas.final partition (partition_date='2021-04-01')",
        "show partitions mnaas.months",
        "show partitions mnaas.months where year = 2009 or month = 5",
        "show partitions mnaas.months where month is not null",
        "show partitions mnaas.final where partition_date like '2021%'",
        "show partitions mnaas.final where cast(partition_date as timestamp) > '2009-01-01'",
    ],
)
def test_this_is_accepted(double: ImpalaDouble, statement: str) -> None:
    run(double, statement)


SPEC = "Items in partition spec must exactly match the partition columns in the table definition: mnaas.months (1 vs 2)"


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("refresh mnaas.nope", "Table does not exist: mnaas.nope"),
        ("refresh nowhere.nope", "Database does not exist: nowhere"),
        ("invalidate metadata nowhere.nope", "Table not found: nowhere.nope"),
        ("refresh authorization", "Authorization is not enabled."),
        ("refresh mnaas.months partition (year=2009, x=1)", "Column 'x' is not a partition column in table: mnaas"),
        ("refresh mnaas.months partition (year=2009, y=1)", "Partition column 'y' not found in table: mnaas.months"),
        ("refresh mnaas.months partition (year=2009)", SPEC),
        ("refresh mnaas.months partition (year=2009) partition (month=1)", SPEC),
        ("refresh mnaas.months partition (year=2009, year=2009)", "Duplicate partition key name: year"),
        (
            "refresh mnaas.months partition (year=2009, month='foo')",
            "Value of partition spec (column=month) has incompatible type: 'STRING'. Expected type: 'INT'",
        ),
        (
            "refresh mnaas.final partition (partition_date=20210401)",
            "Value of partition spec (column=partition_date) has incompatible type: 'INT'. Expected type: 'STRING'",
        ),
        ("refresh mnaas.flat partition (year=2009, month=1)", "Table is not partitioned: mnaas.flat"),
        ("show partitions nowhere.months", "Database does not exist: nowhere"),
        ("show partitions mnaas.nope", "Table does not exist: mnaas.nope"),
        ("show partitions mnaas.flat", "Table is not partitioned: mnaas.flat"),
        ("show partitions mnaas.months where x = 1", "SHOW PARTITIONS WHERE supports only partition columns"),
        ("show partitions mnaas.months where year = 2009 and x = 1", "supports only partition columns"),
        (
            "show partitions mnaas.months where year in (select year from mnaas.months)",
            "Subqueries are not allowed in SHOW PARTITIONS WHERE",
        ),
        (
            "show partitions mnaas.months where row_number() over (order by year) = 1",
            "Analytic expressions are not allowed in SHOW PARTITIONS WHERE",
        ),
        ("show partitions mnaas.months where year", "requires return type 'BOOLEAN'"),
    ],
)  # fmt: skip
def test_this_is_refused(double: ImpalaDouble, statement: str, answer: str) -> None:
    assert answer in answer_to(double, statement)


@pytest.mark.parametrize(
    ("condition", "shown"),
    [
        ("year = 2009", ["2009/1", "2009/5"]),
        ("year = 2009 and month = 1", ["2009/1"]),
        ("year > 2009", ["2010/1", "2010/5"]),
        ("year >= 2009 and month < 5", ["2009/1", "2010/1"]),
        ("year in (2009, 2011)", ["2009/1", "2009/5"]),
        ("year between 2010 and 2012", ["2010/1", "2010/5"]),
        ("month is null", []),
        ("year = 2009 or month = 5", ["2009/1", "2009/5", "2010/5"]),
        ("month + 1 = 2", ["2009/1", "2010/1"]),
        ("year * 2 > 4018", ["2010/1", "2010/5"]),
        ("case when month <= 4 then 'H1' else 'H2' end = 'H1'", ["2009/1", "2010/1"]),
    ],
)
def test_show_partitions_shows_those_that_a_condition_holds_for(
    double: ImpalaDouble, condition: str, shown: list[str]
) -> None:
    *rows, total = run(double, f"show partitions mnaas.months where {condition}")
    assert ["/".join(row[:2]) for row in rows] == shown
    assert total[0] == "Total"


# What is seen afterwards


@dataclass
class World:
    """A table ``mnaas.t`` of the metastore, its files, and a coordinator that has been asked for it."""

    parts: dict[str, str]
    root: Path
    double: ImpalaDouble


Step = Callable[[World], None]


def write(part: str, *counts: int, below: str = "") -> Step:
    """Files of so many rows each, where the partition lies or, from now on, in the directory ``below`` the root."""

    def step(world: World) -> None:
        directory = world.root / below / part.replace("/", "-")
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        for number, rows in enumerate(counts):
            (directory / f"{number}").write_text("2\n" * rows)
        world.parts[part] = str(directory)

    return step


def drop(part: str) -> Step:
    """The partition and its files."""
    return lambda world: shutil.rmtree(world.parts.pop(part))


def say(statement: str, options: Optional[dict[str, str]] = None) -> Step:
    def step(world: World) -> None:
        run(world.double, statement, options)

    return step


def counts(rows: int) -> Step:
    def step(world: World) -> None:
        assert run(world.double, "select count(*) from mnaas.t") == [(rows,)]

    return step


def fails(words: str) -> Step:
    def step(world: World) -> None:
        assert words in answer_to(world.double, "select count(*) from mnaas.t")

    return step


def shows(*partitions: str) -> Step:
    def step(world: World) -> None:
        *rows, _ = run(world.double, "show partitions mnaas.t")
        assert ["/".join(row[:2]) for row in rows] == list(partitions)

    return step


def lies(part: str, below: str) -> Step:
    def step(world: World) -> None:
        *rows, _ = run(world.double, "show partitions mnaas.t")
        (location,) = [row[-2] for row in rows if "/".join(row[:2]) == part]
        assert location == str(world.root / below / part.replace("/", "-"))

    return step


def files(part: str, number: int) -> Step:
    def step(world: World) -> None:
        *rows, total = run(world.double, "show partitions mnaas.t")
        assert [row[2:4] for row in rows if "/".join(row[:2]) == part] == [(-1, number)]
        assert total[3] == number

    return step


def of(*parts: str) -> str:
    specs = ("partition (y={}, z={})".format(*part.split("/")) for part in parts)
    return f"refresh mnaas.t {' '.join(specs)}"


A, B, C = "33/444", "44/555", "55/666"
REFRESH = "refresh mnaas.t"

SEEN: dict[str, Sequence[Step]] = {
    "a refresh of partitions that there are not changes nothing": [
        write(A), counts(0), shows(A), say(of("71/8857")), shows(A), say(of("71/8857", "0/0")), shows(A),
    ],
    "a partition dropped with its files fails a query until it is refreshed": [
        write(A, 1), counts(1), drop(A), fails("Error(2): No such file or directory"), say(of(A)), counts(0), shows(),
    ],
    "several dropped partitions are forgotten by one refresh": [
        write(A, 1), write(B, 1), write(C, 1), counts(3), drop(B), drop(C), fails("Error(2)"), say(of(A, B, C)),
        counts(1), shows(A),
    ],
    "files that come and go are seen after a refresh of their partition": [
        write(A), counts(0), write(A, 5), counts(0), say(of(A)), counts(5), write(A), say(of(A)), counts(0),
    ],
    "files of several partitions are seen after one refresh of all": [
        write(A), write(B), write(C), counts(0), write(A, 5), write(B, 5), write(C, 5), counts(0), say(of(A, B, C)),
        counts(15),
    ],
    "a refresh of a partition shows no file of another": [
        write(A), write(B), write(C), counts(0), write(A, 5), write(B, 5), write(C, 5), say(of(A)), counts(5),
        say(of(B)), counts(10), say(of(C)), counts(15),
    ],
    "a partition that was added is seen after a refresh of the table": [
        shows(), write(A, 3), shows(), counts(0), say(REFRESH), shows(A), counts(3),
    ],
    "a partition that has moved stays where it was for a refresh of the table": [
        write(A, 1), counts(1), write(A, 4, below="new"), say(REFRESH), lies(A, ""),
        say(REFRESH, {UPDATED: "0"}), lies(A, ""), say(REFRESH, {UPDATED: "False"}), lies(A, ""), counts(1),
    ],
    "a partition that has moved is found by a refresh of the table that is told to": [
        write(A, 1), counts(1), write(A, 4, below="new"), say(REFRESH, {UPDATED: "1"}), lies(A, "new"), counts(4),
        write(A, 2, below="third"), say(REFRESH, {UPDATED: "true"}), lies(A, "third"), counts(2),
    ],
    "a partition that has moved is found by its own refresh": [
        write(A, 1), counts(1), write(A, 4, below="new"), say(of(A)), lies(A, "new"), counts(4),
    ],
    "a second file of a partition is counted after a refresh": [
        write(A, 1), files(A, 1), write(A, 1, 1), say(of(A)), counts(2), files(A, 2), say(REFRESH), files(A, 2),
    ],
}  # fmt: skip


@pytest.mark.parametrize("steps", SEEN.values(), ids=SEEN)
def test_what_is_seen(start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path, steps: Sequence[Step]) -> None:
    types = {"y": "int", "z": "int"}
    info = TableInfo((("x", "int"),), "text", str(tmp_path), ("y", "z"), partition_types=types)
    world = World(catalog.create("mnaas", "t", info), tmp_path / "t", start_impala(version="5.0.0"))
    for step in steps:
        step(world)


def test_a_table_of_a_database_that_it_has_not_heard_of_can_be_made_known(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    catalog.create("new_db", "t", TableInfo((("i", "int"),), "text", str(tmp_path / "none")))
    run(double, "invalidate metadata new_db.t")
    assert run(double, "select count(*) from new_db.t") == [(0,)]
