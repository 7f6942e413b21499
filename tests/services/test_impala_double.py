from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Optional

import duckdb
import pytest
from impala.error import HiveServer2Error, OperationalError
from thrift.transport.TTransport import TTransportException

from devtools.impala_double import LOSE_ANSWER, EndIn, InMemoryCatalog, Refuse, TableInfo
from devtools.impala_double.catalog import local_path, path_of
from tests.support.impala_session import run

REFRESH = "REFRESH mnaas.final"
COUNT = "SELECT COUNT(*) FROM mnaas.final"
DAYS = "SELECT partition_date, COUNT(*) FROM mnaas.final GROUP BY partition_date"


def day(catalog: InMemoryCatalog, directory: Path, value: str, lines: int) -> Path:
    """Add to ``mnaas.final`` a partition of so many lines, in ``directory``; returns its one file."""
    file = write(directory, lines)
    catalog.locations["mnaas", "final"][value] = str(directory)
    return file


def write(directory: Path, lines: int) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "part-0"
    file.write_text("".join(f"{number};1.5\n" for number in range(lines)))
    return file


# What REFRESH and INVALIDATE METADATA make it see


def test_a_table_is_loaded_at_its_first_use(start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path) -> None:
    double = start_impala()
    day(catalog, tmp_path / "a", "2021-04-01", 3)
    assert run(double, DAYS) == [("2021-04-01", 3)]


def test_an_added_partition_is_not_seen_before_a_refresh(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    assert run(double, COUNT) == [(0,)]
    day(catalog, tmp_path / "a", "2021-04-01", 3)
    assert run(double, COUNT) == [(0,)]
    assert run(double, REFRESH, COUNT) == [(3,)]


def test_a_dropped_partition_is_seen_until_a_refresh(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    day(catalog, tmp_path / "a", "2021-04-01", 3)
    run(double, COUNT)
    catalog.locations["mnaas", "final"].clear()
    assert run(double, COUNT) == [(3,)]
    assert run(double, REFRESH, COUNT) == [(0,)]


def test_a_query_fails_when_a_file_that_it_knows_is_gone(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    file = day(catalog, tmp_path / "a", "2021-04-01", 3)
    run(double, COUNT)
    file.unlink()
    with pytest.raises(OperationalError, match=rf"Disk I/O error.*Failed to open HDFS file file:{file}"):
        run(double, COUNT)


def test_a_query_fails_when_a_file_that_it_knows_has_changed(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    day(catalog, tmp_path / "a", "2021-04-01", 3)
    run(double, COUNT)
    write(tmp_path / "a", 4)
    with pytest.raises(OperationalError, match="could only read"):
        run(double, COUNT)


def test_a_query_of_another_day_does_not_mind_a_missing_file(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    file = day(catalog, tmp_path / "a", "2021-04-01", 3)
    day(catalog, tmp_path / "b", "2021-04-02", 2)
    run(double, COUNT)
    file.unlink()
    assert run(double, f"{COUNT} WHERE partition_date = '2021-04-02'") == [(2,)]


def test_a_table_refresh_notices_changed_files_where_they_were(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    day(catalog, tmp_path / "a", "2021-04-01", 3)
    run(double, COUNT)
    write(tmp_path / "a", 4)
    assert run(double, REFRESH, COUNT) == [(4,)]


def test_a_table_refresh_keeps_the_location_of_a_known_partition(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    day(catalog, tmp_path / "a", "2021-04-01", 3)
    run(double, COUNT)
    day(catalog, tmp_path / "b", "2021-04-01", 5)
    assert run(double, REFRESH, COUNT) == [(3,)]


def test_a_table_refresh_of_a_table_not_yet_loaded_loads_it(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    run(double, REFRESH)
    day(catalog, tmp_path / "a", "2021-04-01", 3)
    assert run(double, COUNT) == [(0,)]


def test_a_partition_refresh_takes_the_present_location(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    day(catalog, tmp_path / "a", "2021-04-01", 3)
    day(catalog, tmp_path / "c", "2021-04-02", 1)
    run(double, COUNT)
    day(catalog, tmp_path / "b", "2021-04-01", 5)
    day(catalog, tmp_path / "d", "2021-04-02", 2)
    run(double, f"{REFRESH} PARTITION (partition_date='2021-04-01')")
    assert run(double, DAYS) == [("2021-04-01", 5), ("2021-04-02", 1)]


def test_a_refresh_of_several_partitions_takes_their_present_locations(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala(version="5.0.0")
    for number, value in enumerate(("2021-04-01", "2021-04-02", "2021-04-03")):
        day(catalog, tmp_path / f"old-{number}", value, 1)
    run(double, COUNT)
    for number, value in enumerate(("2021-04-01", "2021-04-02", "2021-04-03")):
        day(catalog, tmp_path / f"new-{number}", value, 5)
    run(double, f"{REFRESH} PARTITION (partition_date='2021-04-01') PARTITION (partition_date='2021-04-03')")
    assert run(double, DAYS) == [("2021-04-01", 5), ("2021-04-02", 1), ("2021-04-03", 5)]


def test_before_version_5_a_refresh_of_several_partitions_is_a_syntax_error(start_impala: Any) -> None:
    with pytest.raises(HiveServer2Error, match="Syntax error"):
        run(start_impala(version="4.5.2"), f"{REFRESH} PARTITION (a='1') PARTITION (a='2')")


def test_it_says_its_version(start_impala: Any) -> None:
    assert run(start_impala(version="4.5.2"), "SELECT version()") == [
        ("impalad version 4.5.2-RELEASE RELEASE (build 0000000)",)
    ]


def test_a_partition_refresh_hears_of_a_new_partition(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    run(double, COUNT)
    day(catalog, tmp_path / "a", "2021-04-01", 3)
    assert run(double, f"{REFRESH} PARTITION (partition_date='2021-04-01')", COUNT) == [(3,)]


def test_a_partition_refresh_accepts_in_silence_a_partition_that_the_metastore_lacks(start_impala: Any) -> None:
    double = start_impala()
    run(double, f"{REFRESH} PARTITION (partition_date='2021-04-01')")
    assert run(double, DAYS) == []


def test_a_partition_refresh_forgets_a_partition_that_was_dropped(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    day(catalog, tmp_path / "a", "2021-04-01", 3)
    run(double, COUNT)
    catalog.locations["mnaas", "final"].clear()
    assert run(double, f"{REFRESH} PARTITION (partition_date='2021-04-01')", COUNT) == [(0,)]


def test_a_partition_refresh_names_the_partition_column(start_impala: Any) -> None:
    with pytest.raises(HiveServer2Error, match="Partition column 'calldate' not found"):
        run(start_impala(), f"{REFRESH} PARTITION (calldate='2021-04-01')")


def test_invalidated_metadata_is_loaded_anew_at_the_next_use(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    day(catalog, tmp_path / "a", "2021-04-01", 3)
    run(double, COUNT, "INVALIDATE METADATA mnaas.final")
    day(catalog, tmp_path / "b", "2021-04-01", 5)
    assert run(double, COUNT) == [(5,)]


def test_an_unpartitioned_table_takes_its_present_location_at_a_refresh(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    columns = (("msisdn", "string"), ("kb", "bigint"))
    catalog.create("mnaas", "flat", TableInfo(columns, "text", str(tmp_path / "a"), serde={"field.delim": ";"}))
    double = start_impala()
    write(tmp_path / "a", 3)
    write(tmp_path / "b", 5)
    assert run(double, "SELECT COUNT(*) FROM mnaas.flat") == [(3,)]
    catalog.create("mnaas", "flat", TableInfo(columns, "text", str(tmp_path / "b"), serde={"field.delim": ";"}))
    assert run(double, "SELECT COUNT(*) FROM mnaas.flat") == [(3,)]
    assert run(double, "REFRESH mnaas.flat", "SELECT COUNT(*) FROM mnaas.flat") == [(5,)]


# Tables it does not know


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("REFRESH mnaas.new", "AnalysisException: Table does not exist: mnaas.new"),
        ("REFRESH mnaas.new PARTITION (partition_date='2021-04-01')", "Table does not exist: mnaas.new"),
        ("SELECT COUNT(*) FROM mnaas.new", "AnalysisException: Could not resolve table reference: 'mnaas.new'"),
    ],
)
def test_a_table_made_after_the_start_is_unknown(
    start_impala: Any, catalog: InMemoryCatalog, statement: str, answer: str
) -> None:
    double = start_impala()
    catalog.create("mnaas", "new", catalog.infos["mnaas", "final"])
    with pytest.raises(HiveServer2Error, match=answer):
        run(double, statement)


@pytest.mark.parametrize("statement", ["INVALIDATE METADATA mnaas.new", "INVALIDATE METADATA"])
def test_invalidate_metadata_makes_a_table_known(start_impala: Any, catalog: InMemoryCatalog, statement: str) -> None:
    double = start_impala()
    catalog.create("mnaas", "new", catalog.infos["mnaas", "final"])
    assert run(double, statement, "SELECT COUNT(*) FROM mnaas.new") == [(0,)]


def test_a_table_that_nobody_knows_cannot_be_invalidated(start_impala: Any) -> None:
    with pytest.raises(HiveServer2Error, match=r"Table not found: mnaas\.new"):
        run(start_impala(), "INVALIDATE METADATA mnaas.new")


def test_a_dropped_table_cannot_be_refreshed_but_invalidated(start_impala: Any, catalog: InMemoryCatalog) -> None:
    double = start_impala()
    run(double, COUNT)
    catalog.drop("mnaas", "final")
    with pytest.raises(HiveServer2Error, match="no longer exists in the Hive MetaStore"):
        run(double, REFRESH)
    run(double, "INVALIDATE METADATA mnaas.final")
    with pytest.raises(HiveServer2Error, match="Could not resolve table reference"):
        run(double, COUNT)


# Data files


def test_hidden_and_empty_files_are_not_data(start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path) -> None:
    day(catalog, tmp_path / "a", "2021-04-01", 3)
    for name in ("_SUCCESS", ".part-0.crc", "part-2.tmp", "part-2.COPYING"):
        (tmp_path / "a" / name).write_text("not data\n")
    (tmp_path / "a" / "part-1").touch()
    for hidden in (".traffic_aggr", "_temporary/0"):
        write(tmp_path / "a" / hidden, 5)
    assert run(start_impala(), COUNT) == [(3,)]


def test_files_in_sub_directories_are_data(start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path) -> None:
    day(catalog, tmp_path / "_run" / "a", "2021-04-01", 3)
    write(tmp_path / "_run" / "a" / "HIVE_UNION_SUBDIR_1" / "deeper", 2)
    double = start_impala()
    assert run(double, COUNT) == [(5,)]
    write(tmp_path / "_run" / "a" / "HIVE_UNION_SUBDIR_2", 4)
    assert run(double, COUNT) == [(5,)]
    assert run(double, REFRESH, COUNT) == [(9,)]


def test_a_partition_without_a_directory_is_empty(start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path) -> None:
    catalog.locations["mnaas", "final"]["2021-04-01"] = str(tmp_path / "absent")
    assert run(start_impala(), COUNT) == [(0,)]


@pytest.mark.parametrize(
    ("serde", "text", "expected"),
    [
        ({"field.delim": ";"}, "a;1.5\nb;\\N\nc;0.0000000001\n", Decimal("1.5000000001")),
        ({"field.delim": ";", "serialization.null.format": "NULL"}, "a;NULL\nb;2\n", Decimal(2)),
        ({"field.delim": ";"}, "a;x;7\nb;2\n", Decimal(2)),
        ({"field.delim": ";", "escape.delim": "\\"}, "a\\;x;7\nb;2\n", Decimal(9)),
        ({}, "a\x011\nb\x012\n", Decimal(3)),
        ({"field.delim": ";"}, "short\nb;not a number\n", None),
        ({"field.delim": ";"}, "no;1\nend;2", Decimal(3)),
    ],
    ids=["null", "its own null", "a delimiter in a value", "escaped", "default delimiter", "no number", "no last end"],
)
def test_text_is_read_as_the_serde_says(
    start_impala: Any,
    catalog: InMemoryCatalog,
    tmp_path: Path,
    serde: dict[str, str],
    text: str,
    expected: Optional[Decimal],
) -> None:
    info = TableInfo((("n", "string"), ("kb", "decimal(28,10)")), "text", str(tmp_path), ("partition_date",), serde)
    catalog.create("mnaas", "final", info)
    day(catalog, tmp_path / "a", "2021-04-01", 0).write_text(text)
    rows = text.count("\n") + (not text.endswith("\n"))
    assert run(start_impala(), "SELECT COUNT(*), SUM(kb) FROM mnaas.final") == [(rows, expected)]


def test_parquet_columns_are_found_by_position(start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path) -> None:
    columns = (("n", "string"), ("usage_kb", "decimal(28,10)"), ("calls", "bigint"))
    parts = catalog.create("mnaas", "p", TableInfo(columns, "parquet", str(tmp_path), ("partition_date",)))
    for name, first in (("a", 0), ("b", 10)):
        (tmp_path / name).mkdir()
        numbers = "'x' AS n, (r + 0.0000000001)::DECIMAL(28,10) AS another, r AS calls"
        rows = f"SELECT {numbers} FROM range({first}, {first + 3}) t(r)"
        duckdb.sql(f"COPY ({rows}) TO '{tmp_path / name / 'f.parquet'}'")
        parts[f"2021-04-{first:02}"] = str(tmp_path / name)
    answer = run(start_impala(), "SELECT SUM(usage_kb), SUM(calls), COUNT(*) FROM mnaas.p")
    assert answer == [(Decimal("36.0000000006"), 36, 6)]


@pytest.mark.parametrize(
    ("options", "total"), [({}, 20), ({"PARQUET_FALLBACK_SCHEMA_RESOLUTION": "name"}, 10)], ids=["position", "name"]
)
def test_parquet_columns_are_found_by_name_where_a_query_option_says_so(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path, options: dict[str, str], total: int
) -> None:
    columns = (("calls", "bigint"), ("late", "bigint"))
    parts = catalog.create("mnaas", "p", TableInfo(columns, "parquet", str(tmp_path), ("partition_date",)))
    duckdb.sql(f"COPY (SELECT 20::BIGINT AS more, 10::BIGINT AS CALLS) TO '{tmp_path / 'f.parquet'}' (FORMAT parquet)")
    parts["2021-04-01"] = str(tmp_path)
    assert run(start_impala(), "SELECT SUM(calls) FROM mnaas.p", options=options) == [(total,)]


def test_a_parquet_column_that_a_file_lacks_is_null(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    columns = (("calls", "bigint"), ("added", "bigint"))
    parts = catalog.create("mnaas", "p", TableInfo(columns, "parquet", str(tmp_path), ("partition_date",)))
    duckdb.sql(f"COPY (SELECT 1::BIGINT AS calls) TO '{tmp_path / 'f.parquet'}' (FORMAT parquet)")
    parts["2021-04-01"] = str(tmp_path)
    assert run(start_impala(), "SELECT COUNT(*), SUM(added) FROM mnaas.p") == [(1, None)]


@pytest.mark.parametrize(
    ("kind", "stored"),
    [("int", "1::BIGINT"), ("bigint", "'1'"), ("string", "1"), ("decimal(18,6)", "1::DECIMAL(18,4)")],
)
def test_a_parquet_column_of_another_type_fails_the_query(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path, kind: str, stored: str
) -> None:
    parts = catalog.create("mnaas", "p", TableInfo((("n", kind),), "parquet", str(tmp_path), ("partition_date",)))
    duckdb.sql(f"COPY (SELECT {stored} AS n) TO '{tmp_path / 'f.parquet'}' (FORMAT parquet)")
    parts["2021-04-01"] = str(tmp_path)
    with pytest.raises(OperationalError, match="has an incompatible Parquet schema for column 'n'"):
        run(start_impala(), "SELECT COUNT(COALESCE(n, n)) FROM mnaas.p")


def test_a_damaged_parquet_file_fails_the_query(start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path) -> None:
    parts = catalog.create("mnaas", "p", TableInfo((), "parquet", str(tmp_path), ("partition_date",)))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f.parquet").write_text("PAR1 and so on")
    parts["2021-04-01"] = str(tmp_path / "a")
    with pytest.raises(OperationalError, match="Disk I/O error"):
        run(start_impala(), "SELECT COUNT(*) FROM mnaas.p")


@pytest.mark.parametrize(
    ("uri", "quoted", "path"),
    [
        ("/a/b", False, "/a/b"),
        ("file:/a/b", False, "/a/b"),
        ("file:///a/b", True, "/a/b"),
        ("file:/a%20b", True, "/a b"),
        ("file:/a%20b", False, "/a%20b"),
    ],
)
def test_a_location_is_a_local_path(uri: str, quoted: bool, path: str) -> None:
    assert local_path(uri, quoted=quoted) == path


def test_a_location_elsewhere_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a local file: s3a://n/a"):
        local_path("s3a://n/a", quoted=False)


@pytest.mark.parametrize(
    ("uri", "quoted", "path"),
    [
        ("hdfs://n:1/a%20b", True, "hdfs://n:1/a b"),
        ("hdfs://n:1/a%20b", False, "hdfs://n:1/a%20b"),
        ("file:/a%20b", True, "/a b"),
    ],
)
def test_a_location_on_hdfs_keeps_its_host(uri: str, quoted: bool, path: str) -> None:
    assert path_of(uri, quoted=quoted) == path


def test_a_table_on_an_hdfs_that_was_not_told_of_is_not_loaded(start_impala: Any, catalog: InMemoryCatalog) -> None:
    catalog.locations["mnaas", "final"]["2021-04-01"] = "hdfs://n:1/a"
    with pytest.raises(HiveServer2Error, match=r"TableLoadingException.*hdfs://n:1/a is on HDFS"):
        run(start_impala(), COUNT)


# Statements


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        (
            "SELECT partition_date, COUNT(*) AS rows_seen, SUM(data_usage_in_kb) usage FROM mnaas.final "
            "WHERE partition_date IN ('2021-04-01', '2021-04-09') GROUP BY partition_date",
            [("2021-04-01", 3, Decimal("4.5"))],
        ),
        ("select sum(`data_usage_in_kb`), `partition_date` from `mnaas`.`final`\n group by `partition_date` order by "
         "partition_date;", [(Decimal("4.5"), "2021-04-01"), (Decimal("3.0"), "2021-04-02")]),
        ('SELECT COUNT(1) FROM MNAAS.Final WHERE partition_date = "2021-04-02"', [(2,)]),
        ("SELECT COUNT(*), SUM(data_usage_in_kb) FROM mnaas.final WHERE partition_date = 'x'", [(0, None)]),
        ("SELECT 1", [(1,)]),
        ("SHOW TABLES IN mnaas", [("final",)]),
    ],
)  # fmt: skip
def test_a_query_is_answered(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path, statement: str, rows: list[Any]
) -> None:
    day(catalog, tmp_path / "a", "2021-04-01", 3)
    day(catalog, tmp_path / "b", "2021-04-02", 2)
    day(catalog, tmp_path / "c", "2021-04-03", 0)
    assert run(start_impala(), statement) == rows


def test_lower_knows_ascii_alone_and_trim_takes_the_space_alone(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    texts = ["Voice ", " VOICE", "VO\u0130CE", "VO\u0131CE", "voice\t", "\u00a0voice", "\u017fms", "\\N"]
    day(catalog, tmp_path / "a", "2021-04-01", 0).write_text("".join(f"{text};1\n" for text in texts))
    counted = "COUNT(CASE WHEN LOWER(TRIM(msisdn)) = 'voice' THEN 1 END)"
    assert run(start_impala(), f"SELECT {counted}, COUNT(msisdn) FROM mnaas.final") == [(2, 7)]


def test_a_sum_of_bigints_wraps_and_one_of_decimals_does_not(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    info = TableInfo((("n", "bigint"),), "text", str(tmp_path), ("partition_date",))
    catalog.create("mnaas", "final", info)
    day(catalog, tmp_path / "a", "2021-04-01", 0).write_text(f"{2**62}\n{2**62}\n")
    sums = "SELECT SUM(n), SUM(CAST(n AS DECIMAL(38,0))) FROM mnaas.final"
    assert run(start_impala(), sums) == [(-(2**63), Decimal(2**63))]


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("REFRSH mnaas.final", "ParseException: Syntax error"),
        ("SELECT UPPER(msisdn) FROM mnaas.final", "Could not resolve column/field reference: 'upper'"),
        ("SELECT COUNT(* FROM mnaas.final", "ParseException: Syntax error"),
        ("SELECT * FROM mnaas.final", "ParseException: Syntax error"),
        ("DROP TABLE mnaas.final", "ParseException: Syntax error"),
        ("SELECT SUM(nope) FROM mnaas.final", "Could not resolve column/field reference: 'nope'"),
        ("SELECT SUM(msisdn) FROM mnaas.final", "SUM requires a numeric parameter"),
        ("SELECT COUNT(*) FROM mnaas.final WHERE msisdn = 'a'", "Could not resolve column/field reference: 'msisdn'"),
        ("SELECT partition_date, COUNT(*) FROM mnaas.final", "missing from GROUP BY clause"),
    ],
)
def test_a_wrong_statement_is_refused(start_impala: Any, statement: str, answer: str) -> None:
    with pytest.raises(HiveServer2Error, match=answer):
        run(start_impala(), statement)


# What it keeps, and what it can be told


def test_each_statement_is_kept_with_its_options_and_session(start_impala: Any) -> None:
    double = start_impala()
    run(double, REFRESH, COUNT, options={"SYNC_DDL": "true"})
    run(double, REFRESH)
    first, second, third = double.journal.statements
    assert (first.sql, first.options) == (REFRESH, {"SYNC_DDL": "true"})
    assert (third.sql, third.options) == (REFRESH, {})
    assert first.session == second.session != third.session


def test_closed_sessions_and_operations_are_not_open(start_impala: Any) -> None:
    double = start_impala()
    run(double, REFRESH, COUNT)
    assert not double.journal.open_sessions
    assert not double.journal.open_operations


def test_a_fault_happens_as_often_as_planned_and_where_it_fits(start_impala: Any) -> None:
    double = start_impala()
    double.plan("ExecuteStatement", Refuse("not today"), times=2, when=lambda statement: "REFRESH" in statement)
    run(double, "SELECT 1")
    for _ in range(2):
        with pytest.raises(HiveServer2Error, match="not today"):
            run(double, REFRESH)
    run(double, REFRESH)


def test_faults_can_be_cleared(start_impala: Any) -> None:
    double = start_impala()
    double.plan("ExecuteStatement", Refuse("not today"), times=None)
    double.clear_faults()
    run(double, REFRESH)


def test_a_lost_answer_does_not_undo_the_statement(start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path) -> None:
    double = start_impala()
    run(double, COUNT)
    day(catalog, tmp_path / "a", "2021-04-01", 3)
    double.plan("ExecuteStatement", LOSE_ANSWER)
    with pytest.raises(TTransportException):
        run(double, REFRESH)
    assert run(double, COUNT) == [(3,)]


def test_a_state_and_its_message_can_be_told(start_impala: Any) -> None:
    double = start_impala()
    double.plan("GetOperationStatus", EndIn("ERROR_STATE", "Memory limit exceeded"))
    with pytest.raises(OperationalError, match="Memory limit exceeded"):
        run(double, REFRESH)


def test_it_can_refuse_connections_and_come_back_on_the_same_port(start_impala: Any) -> None:
    double = start_impala()
    port = double.port
    double.refuse()
    with pytest.raises(TTransportException, match="Could not connect"):
        run(double, REFRESH)
    double.listen()
    run(double, REFRESH)
    assert double.port == port


def test_it_takes_a_user_by_the_password(start_impala: Any) -> None:
    double = start_impala(users={"etl": "right"})
    run(double, REFRESH, auth_mechanism="PLAIN", user="etl", password="right")
    assert len(double.journal.statements) == 1
