"""Impala's own totals of raw and of final, asked of a coordinator and compared with Spark's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Optional

import duckdb
import pytest

from devtools.impala_double import DROP, ImpalaDouble, InMemoryCatalog, Refuse, TableInfo
from tests.support.fakes import run_record
from tests.support.refreshers import ATTEMPTS, address, checked, config, received, refresher
from tests.support.totals import SUMS, asked_of_final, asked_of_raw, grouped, one_more, raw
from traffic_aggr.errors import GuardError, ImpalaMismatchError, ImpalaUnavailableError, ReconciliationError
from traffic_aggr.hive.catalog import TableFacts
from traffic_aggr.hive.layout import RowFormat
from traffic_aggr.hive.partitions import Partition, partitions_of_month
from traffic_aggr.hive.sql import TableName
from traffic_aggr.restate import witness
from traffic_aggr.run.record import Day, DayTotals, RunRecord
from traffic_aggr.run.record_json import record_from_json, record_to_json
from traffic_aggr.run.totals import Totals
from traffic_aggr.traffic.columns import COSTS, FINAL_COLUMNS, RAW_COLUMNS
from traffic_aggr.traffic.job import TRAFFIC

FIRST, SECOND = Partition("2021-04-01"), Partition("2021-04-02")
RAW, FINAL = TableName("mnaas", "raw"), TableName("mnaas", "final")
FACTS = TableFacts(RAW, "EXTERNAL", "hive", "/raw", (), ("partition_date",), RowFormat("", "", "", {}))
REFRESH_FIRST = f"REFRESH {RAW} PARTITION (partition_date='{FIRST}')"

CDRS = [
    " data ",
    "DATA",
    "Voice",
    "SMS",
    "sms",
    "MMS",
    "",
    None,
    "VO\u0130CE",  # a dotted capital I
    "vo\u0131ce",  # a dotless small i
    "\u017fms",  # a long s
    "voice\t",
    "\u00a0data",
]
"""Call types of raw's rows: two of data, one of voice, two of SMS."""

USAGE: dict[str, Any] = {
    "bytes": 2 * 1023,
    "voice_secs": 61,
    "sms": 2,
    **{name: len(CDRS) * Decimal(f"{number}.000001") for number, name in enumerate(COSTS, 1)},
}
RAW_TOTALS = raw(**USAGE, rows=len(CDRS))
FINAL_TOTALS = grouped(**USAGE, rows=1, cdrs=7)


@pytest.fixture
def tables(catalog: InMemoryCatalog, tmp_path: Path) -> InMemoryCatalog:
    """``mnaas.raw`` and ``mnaas.final``, Parquet, with the rows of ``CDRS`` and their one group on the first day."""
    for name, columns in (("raw", RAW_COLUMNS[:-1]), ("final", FINAL_COLUMNS)):
        fields = tuple((column.name, column.type.lower()) for column in columns)
        catalog.create("mnaas", name, TableInfo(fields, "parquet", str(tmp_path), ("partition_date",)))
    add_raw(catalog, tmp_path / "raw-1", FIRST)
    add_final(catalog, tmp_path / "final-1", FIRST)
    return catalog


def add_raw(
    catalog: InMemoryCatalog,
    directory: Path,
    day: Partition,
    calltypes: Sequence[Optional[str]] = CDRS,
    size: int = 1023,
) -> Path:
    """A day of raw, its columns in another order than the table's; the file."""
    types = ", ".join("(NULL::VARCHAR)" if each is None else f"('{each}')" for each in calltypes)
    costs = ", ".join(f"{number}.000001::DECIMAL(18,6) AS {name}" for number, name in enumerate(COSTS, 1))
    file = write(
        directory,
        f"SELECT 'x' AS another, {costs}, 61::BIGINT AS retailduration, {size}::BIGINT AS bytes, t.calltype"
        f" FROM (VALUES {types}) t(calltype)",
    )
    catalog.locations["mnaas", "raw"][day] = str(directory)
    return file


def add_final(catalog: InMemoryCatalog, directory: Path, day: Partition, **changed: str) -> Path:
    """A day of final of one row; ``changed`` are expressions for some of its columns."""
    values = {
        "data_usage_in_kb": f"{USAGE['bytes']} * 0.0009765625",
        "voice_usage_in_secs": "61",
        "sms_usage": "2",
        "noofcdrids": "7",
        **{name: str(USAGE[name]) for name in COSTS},
        **changed,
    }
    columns = (
        f"CAST({values.get(column.name, 'NULL')} AS {_type(column.type)}) AS {column.name}" for column in FINAL_COLUMNS
    )
    catalog.locations["mnaas", "final"][day] = str(directory)
    return write(directory, f"SELECT {', '.join(columns)}")


def _type(kind: str) -> str:
    return "VARCHAR" if kind == "STRING" else kind


def write(directory: Path, rows: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "part-0"
    duckdb.sql(f"COPY ({rows}) TO '{file}' (FORMAT parquet)")
    return file


def more(totals: Totals, name: str) -> Totals:
    return one_more(totals, name, Decimal("0.000001") if name in COSTS else 1)


def record_of(raw: Optional[Totals] = RAW_TOTALS, final: Optional[Totals] = FINAL_TOTALS) -> RunRecord:
    return run_record(days={FIRST: Day("home", "kept")}, totals={FIRST: DayTotals(raw, None, None, final)})


def prove_raw(double: ImpalaDouble, record: RunRecord, facts: TableFacts = FACTS, **changes: Any) -> None:
    saved: list[RunRecord] = []
    try:
        witness.prove_raw(
            refresher(config(address(double), **changes)), record, facts, list(record.totals), saved.append
        )
    finally:
        assert saved == [record]


def prove_final(double: ImpalaDouble, record: RunRecord) -> None:
    witness.prove_final(refresher(config(address(double))), record, FINAL, lambda saved: None)


# Raw


def test_raw_that_both_read_alike_is_asked_for_once(start_impala: Any, tables: InMemoryCatalog) -> None:
    double, record = start_impala(), record_of()

    prove_raw(double, record)

    assert received(double) == [asked_of_raw(RAW, [FIRST])]
    seen = record.totals[FIRST].impala_raw
    assert seen is not None
    assert {name: seen[name] for name in ("rows", *SUMS)} == {"rows": len(CDRS), **USAGE}
    assert [(sent["sql"], sent["attempts"], sent["outcome"]) for sent in record.impala] == [
        (asked_of_raw(RAW, [FIRST]), 1, "ok")
    ]


@pytest.mark.parametrize("name", ["rows", *SUMS])
def test_raw_that_differs_in_any_total_is_refused_after_a_refresh_of_its_day(
    start_impala: Any, tables: InMemoryCatalog, tmp_path: Path, name: str
) -> None:
    add_raw(tables, tmp_path / "raw-2", SECOND, ["Data"])
    costs = {cost: Decimal(f"{number}.000001") for number, cost in enumerate(COSTS, 1)}
    record = record_of(more(RAW_TOTALS, name))
    record.totals[SECOND] = DayTotals(raw(bytes=1023, rows=1, **costs))
    double = start_impala()

    with pytest.raises(ReconciliationError) as refused:
        prove_raw(double, record)

    asked = asked_of_raw(RAW, [FIRST, SECOND])
    spark, impala = more(RAW_TOTALS, name)[name], RAW_TOTALS[name]
    assert refused.value.exit_code == 3
    assert f"Spark and Impala read mnaas.raw differently: {FIRST} {name}: raw {spark}, raw in Impala {impala}." in str(
        refused.value
    )
    assert f"SHOW FILES IN mnaas.raw PARTITION (partition_date='{FIRST}')" in str(refused.value)
    assert received(double) == [sent["sql"] for sent in record.impala] == [asked, REFRESH_FIRST, asked]


def test_raw_rows_that_spark_does_not_see_at_all_are_noticed(start_impala: Any, tables: InMemoryCatalog) -> None:
    with pytest.raises(ReconciliationError, match=f"{FIRST} rows: raw 0, raw in Impala {len(CDRS)}"):
        prove_raw(start_impala(), record_of(raw()))


def test_a_sum_beyond_63_bits_does_not_wrap(start_impala: Any, tables: InMemoryCatalog, tmp_path: Path) -> None:
    add_raw(tables, tmp_path / "raw-1", FIRST, size=2**62)
    prove_raw(start_impala(), record_of(raw(**{**USAGE, "bytes": 2**63}, rows=len(CDRS))))


@pytest.mark.parametrize("moved", [False, True], ids=["a file is new", "the partition has moved"])
def test_raw_that_impala_has_not_heard_of_yet_is_refreshed(
    start_impala: Any, tables: InMemoryCatalog, tmp_path: Path, moved: bool
) -> None:
    double = start_impala()
    add_raw(tables, tmp_path / "raw-1", FIRST, ["Data"])
    refresher(config(address(double))).query(f"SELECT COUNT(*) FROM {RAW}")
    if moved:
        add_raw(tables, tmp_path / "elsewhere", FIRST)
    else:
        add_raw(tables, tmp_path / "raw-1" / "more", SECOND, CDRS[:1] + CDRS[2:])
        del tables.locations["mnaas", "raw"][SECOND]
    record = record_of()

    prove_raw(double, record)

    assert [sent["sql"] for sent in record.impala][1:-1] == [REFRESH_FIRST]


def test_raw_whose_files_were_replaced_is_refreshed(start_impala: Any, tables: InMemoryCatalog, tmp_path: Path) -> None:
    double = start_impala()
    add_raw(tables, tmp_path / "raw-1", FIRST, ["Data"])
    refresher(config(address(double))).query(f"SELECT COUNT(*) FROM {RAW}")
    add_raw(tables, tmp_path / "raw-1", FIRST)
    record = record_of()

    prove_raw(double, record)

    assert [sent["sql"] for sent in record.impala][1:-1] == [f"REFRESH {RAW}"]
    assert record.impala[0]["outcome"].startswith("rejected: ")


def test_raw_that_impala_does_not_know_as_a_table_is_made_known(start_impala: Any, tables: InMemoryCatalog) -> None:
    info, places = tables.infos["mnaas", "raw"], tables.locations["mnaas", "raw"]
    tables.drop("mnaas", "raw")
    double, record = start_impala(), record_of()
    tables.create("mnaas", "raw", info).update(places)

    prove_raw(double, record)

    assert f"INVALIDATE METADATA {RAW}" in received(double)


def test_raw_that_is_not_partitioned_by_day_alone_is_refreshed_as_a_table(
    start_impala: Any, tables: InMemoryCatalog
) -> None:
    double = start_impala()
    facts = dataclasses.replace(FACTS, partition_columns=("partition_date", "hour"))
    with pytest.raises(ReconciliationError):
        prove_raw(double, record_of(raw()), facts)
    assert received(double)[1:-1] == [f"REFRESH {RAW}"]


def test_many_days_are_asked_for_by_the_hundred_and_refreshed_together(
    start_impala: Any, tables: InMemoryCatalog
) -> None:
    days = [day for month in range(1, 5) for day in partitions_of_month(f"2022-{month:02}").partitions]
    record = run_record(totals={day: DayTotals(raw(rows=1)) for day in days})
    double = start_impala()
    with pytest.raises(ReconciliationError, match=f"and {len(days) - 5} more"):
        prove_raw(double, record)
    asked = [asked_of_raw(RAW, days[:100]), asked_of_raw(RAW, days[100:])]
    assert received(double) == [*asked, f"INVALIDATE METADATA {RAW}", *asked]


@pytest.mark.parametrize("refused", ["SELECT", "REFRESH"])
def test_raw_that_impala_may_not_read_or_refresh_is_refused(
    start_impala: Any, tables: InMemoryCatalog, refused: str
) -> None:
    double = start_impala()
    no = f"AuthorizationException: User 'etl' does not have privileges to execute '{refused}' on: {RAW}"
    double.plan("ExecuteStatement", Refuse(no), times=None, when=lambda statement: statement.startswith(refused))
    with pytest.raises(GuardError, match=f"Impala cannot confirm the totals of {RAW}: .*{no}") as guard:
        prove_raw(double, record_of(raw()))
    assert guard.value.exit_code == 3
    assert "SELECT and REFRESH" in guard.value.hint


def test_the_record_keeps_a_question_that_is_never_answered_with_its_attempts(
    start_impala: Any, tables: InMemoryCatalog
) -> None:
    double, record = start_impala(), record_of()
    double.plan("ExecuteStatement", DROP, times=None)
    with pytest.raises(ImpalaUnavailableError):
        prove_raw(double, record)
    assert [(sent["attempts"], sent["outcome"][:7]) for sent in record.impala] == [(ATTEMPTS, "failed:")]


# check


TABLES = "{database: mnaas, raw: raw, final: final}"


def check(double: ImpalaDouble, tmp_path: Path, settings: str = "") -> list[str]:
    """What check says of the coordinator, one of the two totals a line, after that of the session."""
    session, *totals = checked(tmp_path, f"{{hosts: ['{address(double)}'], sync_ddl: false{settings}}}", TABLES)
    assert str(session) == f"ok    Impala {address(double)}"
    return [str(each) for each in totals]


def test_check_has_impala_plan_the_queries_of_both_totals(
    start_impala: Any, tables: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    assert check(double, tmp_path) == [f"ok    Impala's totals of {RAW}", f"ok    Impala's totals of {FINAL}"]
    assert received(double) == [
        f"EXPLAIN {query}" for query in (asked_of_raw(RAW, [FIRST]), asked_of_final(FINAL, [FIRST]))
    ]


def test_check_asks_for_no_totals_that_no_run_asks_for(
    start_impala: Any, tables: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    assert check(double, tmp_path, ", verify: false, verify_raw: false") == []
    assert received(double) == []


def test_check_finds_a_table_that_impala_may_not_read(
    start_impala: Any, tables: InMemoryCatalog, tmp_path: Path
) -> None:
    double = start_impala()
    no = f"AuthorizationException: User 'etl' does not have privileges to execute 'SELECT' on: {RAW}"
    double.plan("ExecuteStatement", Refuse(no), times=None, when=lambda statement: str(RAW) in statement)
    raw, final = check(double, tmp_path)
    assert raw.startswith(f"FAIL  Impala's totals of {RAW}: ")
    assert no in raw
    assert final.startswith("ok ")


def test_check_finds_a_column_that_impala_lacks(start_impala: Any, tables: InMemoryCatalog, tmp_path: Path) -> None:
    info = tables.infos["mnaas", "raw"]
    columns = tuple(column for column in info.columns if column[0] != "retailduration")
    tables.create("mnaas", "raw", dataclasses.replace(info, columns=columns))
    raw, _ = check(start_impala(), tmp_path)
    assert raw.startswith(f"FAIL  Impala's totals of {RAW}: ")
    assert "retailduration" in raw


def test_check_leaves_a_table_that_impala_does_not_know_yet_to_the_run(
    start_impala: Any, catalog: InMemoryCatalog, tmp_path: Path
) -> None:
    catalog.drop("mnaas", "final")
    assert check(start_impala(), tmp_path) == [f"ok    Impala's totals of {table}" for table in (RAW, FINAL)]


# Final


def test_final_that_both_read_alike_is_proven(start_impala: Any, tables: InMemoryCatalog) -> None:
    double, record = start_impala(), record_of()

    prove_final(double, record)

    assert received(double) == [sent["sql"] for sent in record.impala] == [asked_of_final(FINAL, [FIRST])]
    found = record.totals[FIRST].impala
    assert found is not None
    assert {name: found[name] for name in SUMS} == USAGE
    assert (found.rows, found["cdrs"]) == (1, 7)


@pytest.mark.parametrize("name", ["rows", "cdrs", *SUMS])
def test_final_that_differs_in_any_total_fails_the_run(start_impala: Any, tables: InMemoryCatalog, name: str) -> None:
    record = record_of(final=more(FINAL_TOTALS, name))
    with pytest.raises(
        ImpalaMismatchError, match=rf"Impala does not see what was loaded: {FIRST} {name}: final "
    ) as failed:
        prove_final(start_impala(), record)
    assert failed.value.exit_code == 1
    assert ";" not in failed.value.message


def test_a_fraction_of_a_byte_is_a_difference(start_impala: Any, tables: InMemoryCatalog, tmp_path: Path) -> None:
    kilobytes = f"{USAGE['bytes']} * 0.0009765625 + 0.0000000001"
    add_final(tables, tmp_path / "final-1", FIRST, data_usage_in_kb=kilobytes)
    record = record_of()
    with pytest.raises(ImpalaMismatchError, match=r"bytes: final 2046, impala 2046\.0000001024"):
        prove_final(start_impala(), record)
    assert record_from_json(record_to_json(record), "run.json", TRAFFIC).totals == record.totals


def test_bytes_keep_every_digit_that_kilobytes_have(start_impala: Any, tables: InMemoryCatalog, tmp_path: Path) -> None:
    for directory in ("final-1", "final-1/second", "final-1/third"):
        add_final(tables, tmp_path / directory, FIRST, data_usage_in_kb="999999999999999999.9990234375")
    tables.locations["mnaas", "final"][FIRST] = str(tmp_path / "final-1")
    others = {name: 3 * value for name, value in USAGE.items() if name != "bytes"}
    final = grouped(**others, rows=3, cdrs=21, bytes=3 * (1024 * 10**18 - 1))

    prove_final(start_impala(), record_of(final=final))


def test_a_day_that_impala_has_no_rows_of_counts_as_zero(start_impala: Any, tables: InMemoryCatalog) -> None:
    del tables.locations["mnaas", "final"][FIRST]
    prove_final(start_impala(), record_of(final=grouped()))
