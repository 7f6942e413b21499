"""What is read is what lies there: files of raw, lookups and old days, at any depth; or the run is refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from tests.support.oracle import expected_rows
from tests.support.warehouse import LISTED, RAW, UNLISTED, Job, snapshot
from traffic_aggr.hive import footers
from traffic_aggr.hive.catalog import HiveCatalog
from traffic_aggr.hive.schema import Column
from traffic_aggr.traffic.columns import COUNTRY_LOOKUP_COLUMNS, RAW_COLUMNS

FIRST, SECOND, THIRD = LISTED
UNION = "HIVE_UNION_SUBDIR_1"
COUNTRIES, ORGANISATIONS = "country_lookup", "org_details"


def own_raw(job: Job) -> Path:
    """Raw over a copy of its files: a directory a day, with two files each."""
    directory = job.home / "raw"
    shutil.copytree(job.sources.root / "raw", directory)
    for day in LISTED:
        point(job, day, directory / f"partition_date={day}")
    return directory


def point(job: Job, day: str, directory: Path) -> None:
    table = f"{job.database}.{RAW}"
    job.spark.sql(f"ALTER TABLE {table} PARTITION (partition_date='{day}') SET LOCATION 'file:{directory}'")


def own_lookup(job: Job, name: str, below: str = "") -> Path:
    """A lookup over a copy of its files in a directory ``below`` the table's; the table's."""
    directory = job.home / name
    shutil.copytree(job.sources.root / name, directory / below, ignore=shutil.ignore_patterns("_*", ".*"))
    job.spark.sql(f"ALTER TABLE {job.database}.{name} SET LOCATION 'file:{directory}'")
    return directory


def day_of(raw: Path, day: str = FIRST) -> Path:
    return raw / f"partition_date={day}"


def parquet_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.parquet"))


def move_below(directory: Path, name: str = UNION, count: int = 1) -> None:
    (directory / name).mkdir(parents=True)
    for file in parquet_files(directory)[:count]:
        file.rename(directory / name / file.name)


def rewrite(file: Path, columns: str) -> None:
    """Replaces a Parquet file by one with other ``columns`` of it."""
    other = file.with_name("other")
    duckdb.execute(
        f"COPY (SELECT {columns} FROM read_parquet('{file}', hive_partitioning = false)) TO '{other}' (FORMAT parquet)"
    )
    other.rename(file)
    forget_checksum(file)


def forget_checksum(file: Path) -> None:
    file.with_name(f".{file.name}.crc").unlink(missing_ok=True)


# ---- read


def raw_in_sub_directories(job: Job) -> None:
    raw = own_raw(job)
    move_below(day_of(raw))
    move_below(day_of(raw, SECOND), f"{UNION}/k=1")
    move_below(day_of(raw, SECOND), "HIVE_UNION_SUBDIR_2/a b%20c")
    directory = job.home / "else where%25" / "x=y"
    shutil.move(day_of(raw, THIRD), directory)
    move_below(directory)
    point(job, THIRD, directory)


def raw_with_hidden_files_odd_names_and_links(job: Job) -> None:
    raw = own_raw(job)
    for name in (".hidden", "_hidden", ".a/b", "_a/b", f"{UNION}/_a/b", f"{UNION}/.x.crc", "_metadata", "_SUCCESS"):
        (day_of(raw) / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(parquet_files(day_of(raw))[0], day_of(raw) / name)
    one, two = parquet_files(day_of(raw, SECOND))
    one.rename(one.with_name("000000_0_copy_1"))
    two.rename(two.with_name("a b%2F=é; isDirectory=x, y"))
    away, linked = job.home / "away", day_of(raw, THIRD)
    shutil.move(linked, away)
    linked.mkdir()
    move_below(away)
    (linked / "000000_0").symlink_to(parquet_files(away)[0])
    (linked / UNION).symlink_to(away / UNION)


def lookups_in_sub_directories(job: Job) -> None:
    directory = own_lookup(job, COUNTRIES, UNION)
    shutil.copytree(directory / UNION, directory / ".traffic_aggr" / "run" / "staged")
    own_lookup(job, ORGANISATIONS, f"{UNION}/a")


def lookups_below_what_looks_like_a_partition_beside_hidden_and_empty_files(job: Job) -> None:
    own_lookup(job, COUNTRIES, "country=Nowhere")
    directory = own_lookup(job, ORGANISATIONS, "orgname=Nobody")
    (directory / "_hidden").write_text("1,Hidden,H\n")
    (directory / ".traffic_aggr").mkdir()
    (directory / ".traffic_aggr" / "rows").write_text("1,Hidden,H\n")
    (directory / "000000_0").touch()


READ = [
    raw_in_sub_directories,
    raw_with_hidden_files_odd_names_and_links,
    lookups_in_sub_directories,
    lookups_below_what_looks_like_a_partition_beside_hidden_and_empty_files,
]


@pytest.mark.parametrize("prepare", READ, ids=lambda each: each.__name__)
def test_every_visible_file_is_read_once(job: Job, prepare: Callable[[Job], None]) -> None:
    job.create_final()
    prepare(job)

    result = job("run")

    assert result.code == 0, result.err
    assert job.rows() == job.sources.expected()
    assert {each["files"] for each in job.record()["inputs"].values()} == {2}


@pytest.mark.parametrize("kind", ["parquet", "text"])
def test_an_old_day_in_a_sub_directory_is_counted_and_restated(job: Job, kind: str) -> None:
    directory = job.create_final(kind)
    before = job("plan", "--json").out
    old = directory / f"partition_date={FIRST}"
    files = [each for each in old.iterdir() if each.is_file()]
    (old / UNION).mkdir()
    for file in files:
        file.rename(old / UNION / file.name)

    planned = job("plan", "--json")
    result = job("run")

    assert old_rows(planned.out) == old_rows(before)
    assert result.code == 0, result.err
    assert job.rows() == job.sources.expected()
    assert job("rollback", job.record()["run_id"]).code == 0, "which compares the old rows again"


def old_rows(document: str) -> list[object]:
    return [day["final_before"] and day["final_before"]["rows"] for day in json.loads(document)["days"].values()]


def test_a_column_that_some_files_of_a_day_lack_is_null_there(job: Job) -> None:
    job.create_final()
    raw, with_nulls = own_raw(job), job.home / "with_nulls"
    shutil.copytree(raw, with_nulls)
    rewrite(parquet_files(day_of(with_nulls))[0], "* REPLACE (NULL::BIGINT AS bytes)")
    rewrite(parquet_files(day_of(raw))[0], "* EXCLUDE (bytes)")

    result = job("run")

    assert result.code == 0, result.err
    root = job.sources.root
    expected = expected_rows(with_nulls, root / ORGANISATIONS, root / COUNTRIES, LISTED)
    assert job.rows() == sorted((row[:-1] for row in expected), key=repr)
    assert f"{FIRST} file:{parquet_files(day_of(raw))[0]} has no column bytes, like 1 of 2 files" in result.err


# ---- refused


def acid(table: str, columns: Sequence[Column], partitioned: str = "") -> Callable[[Job], None]:
    """Makes a source table anew as the metastore allows transactions on it: ORC in buckets."""
    fields = ", ".join(f"{column.name} {column.type}" for column in columns if column.name not in partitioned)

    def prepare(job: Job) -> None:
        job.spark.sql(f"DROP TABLE {job.database}.{table}")
        job.spark.sql(
            f"CREATE TABLE {job.database}.{table} ({fields}) {partitioned} CLUSTERED BY ({columns[0].name}) "
            f"INTO 2 BUCKETS STORED AS ORC TBLPROPERTIES ('transactional'='true')"
        )

    return prepare


def raw_file(change: Callable[[Path], object]) -> Callable[[Job], None]:
    """Changes one of the two files of raw's first day."""
    return lambda job: (change(parquet_files(day_of(own_raw(job)))[0]), None)[1]


def raw_columns(columns: str) -> Callable[[Job], None]:
    return raw_file(lambda file: rewrite(file, columns))


def raw_below(name: str) -> Callable[[Job], None]:
    return lambda job: move_below(day_of(own_raw(job)), name)


def delta_in_a_lookup(job: Job) -> None:
    own_lookup(job, ORGANISATIONS, "base_0000007/bucket")


def base_in_a_partitioned_lookup(job: Job) -> None:
    """A lookup by country, of which one country was written by an ACID transaction."""
    table, directory = f"{job.database}.{COUNTRIES}", job.home / COUNTRIES
    job.spark.sql(f"DROP TABLE {table}")
    job.spark.sql(
        f"CREATE TABLE {table} (mcc STRING) PARTITIONED BY (country STRING) STORED AS PARQUET"
        f" LOCATION 'file:{directory}'"
    )
    for country, mcc in (("India", "404"), ("France", "208")):
        job.spark.sql(f"INSERT INTO {table} PARTITION (country='{country}') VALUES ('{mcc}')")
    move_below(directory / "country=India", "base_0000007")


def delta_lake(job: Job) -> None:
    (own_lookup(job, COUNTRIES) / "_delta_log").mkdir()


def shared_raw(job: Job) -> None:
    point(job, SECOND, day_of(own_raw(job)))


def nested_raw(job: Job) -> None:
    raw = own_raw(job)
    shutil.move(day_of(raw, SECOND), day_of(raw) / "second")
    point(job, SECOND, day_of(raw) / "second")


def unlisted_raw_below_a_listed_day(job: Job) -> None:
    raw = own_raw(job)
    (day_of(raw) / "other").mkdir()
    table = f"{job.database}.{RAW}"
    job.spark.sql(
        f"ALTER TABLE {table} ADD PARTITION (partition_date='{UNLISTED[1]}') LOCATION 'file:{day_of(raw)}/other'"
    )


def columns_in_two_spellings(job: Job) -> None:
    file = parquet_files(day_of(own_raw(job)))[0]
    job.spark.conf.set("spark.sql.caseSensitive", "true")
    try:
        frame = job.spark.read.parquet(f"file:{file}")
        frame.selectExpr("*", "bytes AS Bytes").coalesce(1).write.parquet(f"file:{job.home}/twice")
    finally:
        job.spark.conf.unset("spark.sql.caseSensitive")
    parquet_files(job.home / "twice")[0].rename(file)
    forget_checksum(file)


def a_day_without_a_column(job: Job) -> None:
    for file in parquet_files(day_of(own_raw(job))):
        rewrite(file, "* EXCLUDE (calltype)")


def lookup_of_another_type(job: Job) -> None:
    rewrite(parquet_files(own_lookup(job, COUNTRIES))[0], "404 AS mcc, * EXCLUDE (mcc)")


def damaged_old_day(job: Job) -> None:
    old = job.home / "a ware house" / "final" / f"partition_date={FIRST}"
    parquet_files(old)[0].write_bytes(b"PAR1 and then nothing")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


WRITTEN = [
    *((type_, "5") for type_ in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "DOUBLE", "FLOAT", "DECIMAL(9,2)")),
    *((type_, "5") for type_ in ("DECIMAL(9,6)", "DECIMAL(12,2)", "DECIMAL(18,6)", "DECIMAL(18,4)", "DECIMAL(38,6)")),
    *(("UTINYINT", "250"), ("USMALLINT", "65000"), ("UINTEGER", "4000000000"), ("UBIGINT", "18000000000000000000")),
    *((type_, "'2021-04-01 23:30:00'") for type_ in ("TIMESTAMP", "TIMESTAMP_MS", "TIMESTAMP_NS", "DATE")),
    *(("TIMESTAMPTZ", "'2021-04-01 23:30:00+00'"), ("TIME", "'23:30:00'"), ("VARCHAR", "'x'"), ("BLOB", "'x'")),
    *(("UUID", "'97441787-aac1-4d0d-80ae-f6db1aab121f'"), ("BOOLEAN", "true")),
]
DECLARED = ("smallint", "int", "bigint", "decimal(18,6)", "decimal(12,2)", "string", "timestamp")
ACID = "is an ACID table"
BY_DAY = "PARTITIONED BY (partition_date STRING)"
TRANSACTION = rf"{FIRST} file:.*/{{}}/part-.* was written by an ACID transaction"
CASES = [
    pytest.param(acid(RAW, RAW_COLUMNS, BY_DAY), f"{RAW} .*{ACID}", id="raw-acid"),
    pytest.param(acid(COUNTRIES, COUNTRY_LOOKUP_COLUMNS), f"{COUNTRIES} .*{ACID}", id="lookup-acid"),
    pytest.param(raw_below("delta_0000001_0000001_0000"), TRANSACTION.format("delta_0000001_0000001_0000"), id="delta"),
    pytest.param(
        delta_in_a_lookup, "base_0000007/bucket/rows.txt was written by an ACID transaction", id="base-lookup"
    ),
    pytest.param(
        base_in_a_partitioned_lookup,
        "country=India file:.*/base_0000007/.* was written by an ACID transaction",
        id="base-partitioned",
    ),
    pytest.param(delta_lake, f"{COUNTRIES} .*_delta_log", id="delta-lake"),
    pytest.param(
        raw_file(lambda file: file.rename(file.with_name("x.tmp"))), f"{FIRST} .*x.tmp is read by Hive", id="tmp"
    ),
    pytest.param(
        raw_file(lambda file: file.rename(file.with_name("x._COPYING_"))),
        f"{RAW} .*{FIRST} .*x._COPYING_ of [0-9,]+ bytes is not in Spark's scan",
        id="copying",
    ),
    pytest.param(
        raw_file(lambda file: file.rename(file.with_name("_x=1"))),
        f"{RAW} .*_x=1 of .* in Spark's scan alone",
        id="hidden",
    ),
    pytest.param(
        raw_columns("* REPLACE (NULL::TIMESTAMP_NS AS calldate, NULL::BIGINT AS tcl_secs_id)"),
        rf"{FIRST} file:.*\.parquet: column tcl_secs_id is int64 .*, and INT in the table; "
        rf"{FIRST} file:.*\.parquet: column calldate is int64 \(TIMESTAMP\(NANOS,false\)\), and TIMESTAMP in the table",
        id="types",
    ),
    pytest.param(shared_raw, f"belongs to partition_date={FIRST} and to partition_date={SECOND}", id="shared"),
    pytest.param(nested_raw, f"second belongs to partition_date={SECOND} and to partition_date={FIRST}", id="nested"),
    pytest.param(unlisted_raw_below_a_listed_day, f"other belongs to partition_date={UNLISTED[1]} and", id="unlisted"),
    pytest.param(raw_file(lambda file: file.write_bytes(b"")), f"{FIRST} file:.* is empty", id="empty"),
    pytest.param(raw_file(cut), f"{FIRST} file:.* cannot be read as Parquet", id="cut"),
    pytest.param(
        raw_file(lambda file: file.write_text("cdrid;bytes\n1;2\n")),
        f"{FIRST} file:.* cannot be read as Parquet",
        id="text",
    ),
    pytest.param(columns_in_two_spellings, f"{FIRST} file:.*: column bytes is there 2 times", id="twice"),
    pytest.param(a_day_without_a_column, f"{FIRST} file:.* has no file with a column calltype", id="missing"),
    pytest.param(lookup_of_another_type, f"{COUNTRIES} .* column mcc is int32 .*, and STRING in the table", id="mcc"),
    pytest.param(damaged_old_day, f"{FIRST} file:.* cannot be read as Parquet", id="old-day"),
]


@pytest.mark.parametrize(("prepare", "message"), CASES)
def test_what_spark_does_not_read_as_it_lies_there_is_refused_before_anything_is_touched(
    job: Job, prepare: Callable[[Job], None], message: str
) -> None:
    job.create_final()
    prepare(job)
    before = snapshot(job)

    result = job("run")

    last = result.err.strip().splitlines()[-1]
    assert result.code == 3, last
    assert re.search(message, last), last
    assert "Exception" not in last
    assert "nothing was touched" in last
    assert snapshot(job) == before
    assert job.record()["changes"] == []


def test_the_types_that_are_accepted_are_read_rightly(job: Job) -> None:
    """Each declared type over each type that DuckDB writes: what the rule lets pass, Spark reads as DuckDB does."""
    read, refused = 0, 0
    for number, (type_, value) in enumerate(WRITTEN):
        path = job.home / f"{number}.parquet"
        duckdb.execute(f"COPY (SELECT ({value})::{type_} AS c UNION ALL SELECT NULL) TO '{path}'")
        for declared in DECLARED:
            scan = SimpleNamespace(catalog=HiveCatalog(job.spark))
            frame = job.spark.read.schema(f"c {declared}").parquet(f"file:{path}")
            index = frame._jdf.queryExecution().optimizedPlan().collectLeaves().apply(0).relation().location()
            ((_, columns),) = footers._footers(scan.catalog, index)
            assert columns is not None
            if list(footers.problems_of(columns, {"c": declared}, widens=footers._widens(scan))):
                refused += 1
                continue
            found = {row[0] for row in frame.selectExpr("cast(c AS string)").collect()}
            wanted = {
                row[0]
                for row in job.spark.sql(
                    f"SELECT cast(cast('{value.strip(chr(39))}' AS {declared}) AS string)"
                ).collect()
            }
            assert found == {None, *wanted}, (type_, declared)
            read += 1

    assert read >= 15
    assert refused > 100


def test_a_plan_names_the_guard_that_would_refuse_files(job: Job) -> None:
    job.create_final()
    raw_below("delta_1_1")(job)

    assert job("plan").out.startswith("Would be refused (unread_files): ")
