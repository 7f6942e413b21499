"""Input that is wrong is told in one line, with its exit code, before anything is touched."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.warehouse import LISTED, RAW, UNLISTED, Job, snapshot
from traffic_aggr.traffic.columns import FINAL_COLUMNS


def drop_raw(job: Job) -> None:
    job.create_final()
    job.spark.sql(f"DROP TABLE {job.database}.{RAW}")


def drop_a_lookup(job: Job) -> None:
    job.create_final()
    job.spark.sql(f"DROP TABLE {job.database}.country_lookup")


def narrow_final(job: Job) -> None:
    job.spark.sql(f"CREATE TABLE {job.final.quoted} (customernumber STRING) PARTITIONED BY (partition_date STRING)")


def unpartitioned_final(job: Job) -> None:
    job.spark.sql(f"CREATE TABLE {job.final.quoted} (customernumber STRING)")


def acid_final(job: Job) -> None:
    fields = ", ".join(f"{column.name} {column.type}" for column in FINAL_COLUMNS)
    job.spark.sql(
        f"CREATE TABLE {job.final.quoted} ({fields}) PARTITIONED BY (partition_date STRING) "
        "CLUSTERED BY (customernumber) INTO 2 BUCKETS STORED AS ORC TBLPROPERTIES ('transactional'='true')"
    )


def view_as_final(job: Job) -> None:
    job.spark.sql(f"CREATE VIEW {job.final.quoted} AS SELECT 1 AS one")


def repeated_organisation(job: Job) -> None:
    job.create_final()
    job.spark.sql(f"DROP TABLE {job.database}.org_details")
    job.spark.sql(
        f"CREATE TABLE {job.database}.org_details STORED AS PARQUET AS "
        "SELECT bigint(2) orgno, 'Two' orgname UNION ALL SELECT 2, NULL"
    )


def repeated_country(job: Job) -> None:
    job.create_final()
    job.spark.sql(f"DROP TABLE {job.database}.country_lookup")
    job.spark.sql(
        f"CREATE TABLE {job.database}.country_lookup STORED AS PARQUET AS "
        "SELECT '404' mcc, 'A' country UNION ALL SELECT ' 404 ', 'B'"
    )


def organisation_named(name: str) -> Callable[[Job], None]:
    def prepare(job: Job) -> None:
        job.create_final("text")
        job.spark.sql(f"DROP TABLE {job.database}.org_details")
        job.spark.sql(
            f"CREATE TABLE {job.database}.org_details STORED AS PARQUET AS SELECT bigint(1) orgno, '{name}' orgname"
        )

    return prepare


def unlisted_partition_in_a_listed_directory(job: Job) -> None:
    directory = job.create_final()
    job.spark.sql(
        f"ALTER TABLE {job.final.quoted} PARTITION (partition_date='{UNLISTED[0]}') "
        f"SET LOCATION 'file:{directory}/partition_date={LISTED[0]}'"
    )


def parquet_final(job: Job) -> None:
    job.create_final()


def settings(section: str, **values: Any) -> Callable[[Job], None]:
    def prepare(job: Job) -> None:
        job.create_final()
        job.settings[section] = values

    return prepare


def no_final(job: Job) -> None:
    job.settings["tables"] = {"create_missing": False}


def partition_list(content: bytes) -> Callable[[Job], None]:
    def prepare(job: Job) -> None:
        job.create_final()
        (job.home / "partitions.txt").write_bytes(content)

    return prepare


def status_flag(value: str) -> Callable[[Job], None]:
    def prepare(job: Job) -> None:
        job.create_final()
        (job.home / "status").write_text(f"MNAAS_Daily_ProcessStatusFlag={value}\n")

    return prepare


CASES = [
    pytest.param(
        unlisted_partition_in_a_listed_directory, (), 3, f"{UNLISTED[0]} in .*={LISTED[0]}", id="shared-directory"
    ),
    pytest.param(drop_raw, (), 2, f"there is no table .*{RAW}", id="no-raw"),
    pytest.param(drop_a_lookup, (), 2, "there is no table .*country_lookup", id="no-lookup"),
    pytest.param(no_final, (), 2, "there is no table .*traffic_aggr_adhoc .*create_missing is false", id="no-final"),
    pytest.param(narrow_final, (), 2, "has no column tcl_secs_id", id="final-lacks-columns"),
    pytest.param(unpartitioned_final, (), 2, "is partitioned by nothing", id="final-not-partitioned"),
    pytest.param(acid_final, (), 3, "it is an ACID table", id="acid"),
    pytest.param(view_as_final, (), 3, "it is a view", id="view", marks=pytest.mark.quick),
    pytest.param(repeated_organisation, (), 3, "org_details has more than one row for orgno 2", id="org-twice"),
    pytest.param(repeated_country, (), 3, "country_lookup has more than one row for mcc 404", id="country-twice"),
    pytest.param(
        organisation_named("Semi;colon"), (), 3, "customername .*Semi;colon", id="delimiter", marks=pytest.mark.quick
    ),
    pytest.param(organisation_named("Two\\nlines"), (), 3, "customername", id="line-break"),
    pytest.param(organisation_named("\\\\N"), (), 3, "customername", id="null-marker"),
    pytest.param(
        parquet_final, ("--dates", "2021-04-03..2021-04-05"), 3, "no rows for 2021-04-04, 2021-04-05", id="empty-source"
    ),
    pytest.param(
        settings("audit", max_change_pct=0.5), (), 3, "usage would change by more than 0.5 %", id="large-change"
    ),
    pytest.param(parquet_final, ("--partitions", "/nowhere/list"), 2, "/nowhere/list cannot be read", id="no-list"),
    pytest.param(
        partition_list(b"2021-04-01\n2021-02-30\nDROP TABLE x\n"),
        (),
        2,
        "line 2 .*line 3",
        id="bad-list",
        marks=pytest.mark.quick,
    ),
    pytest.param(partition_list(b"# nothing\n"), (), 2, "lists no days", id="empty-list"),
    pytest.param(settings("partitions", max_per_run=2), (), 2, "names 3 days, more than 2", id="long-list"),
    pytest.param(status_flag("7"), (), 2, "is '7', not 0, 1, 2 or 3", id="bad-flag"),
]


@pytest.mark.parametrize(("prepare", "arguments", "code", "message"), CASES)
def test_wrong_input_is_refused_before_anything_is_touched(
    job: Job, prepare: Callable[[Job], None], arguments: tuple[str, ...], code: int, message: str
) -> None:
    prepare(job)
    before = snapshot(job)

    result = job("run", *arguments)

    assert result.code == code, result.err
    last = result.err.strip().splitlines()[-1]
    assert re.search(message, last), last
    assert "Traceback" not in result.err
    assert snapshot(job) == before
    assert job.status()["MNAAS_job_status"] == "Failure"
    assert job.record()["exit_code"] == code
    assert (job.home / "alerts.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize("prepare", [acid_final, view_as_final])
def test_a_plan_names_the_guard_even_where_there_is_nothing_to_plan(job: Job, prepare: Callable[[Job], None]) -> None:
    prepare(job)

    told, document = job("plan"), job("plan", "--json")

    assert (told.code, document.code) == (0, 0)
    assert told.out.startswith("Would be refused (foreign_table): ")
    (refusal,) = json.loads(document.out)["refusals"]
    assert refusal["guard"] == "foreign_table"
    assert refusal["message"] in told.out


def test_a_space_takes_the_place_of_a_delimiter_where_the_config_says_so(job: Job) -> None:
    organisation_named("Semi;colon")(job)
    job.settings["tables"] = {"delimiter_in_text": "space"}

    result = job("run")

    assert result.code == 0, result.err
    names = {row.customername for row in job.final_rows().select("customername").distinct().collect()}
    assert "Semi colon" in names


def test_a_day_that_is_refused_is_told_in_plan_log_history_and_mail(job: Job) -> None:
    job.create_final()
    days = f"{LISTED[2]}..{UNLISTED[1]}"
    counts = "2 days listed: 1 to restate, 1 refused; the run is refused by empty_source"

    assert job("plan", "--dates", days).out.splitlines()[0] == f"{counts}."
    failed = job("run", "--dates", days)

    assert failed.code == 3
    assert f"plan: drop -> stage -> load; {counts}\n" in failed.err
    assert "  refused (1 refused, 1 unchanged): empty_source: " in job("history").out
    assert json.loads(job("history", "--json").out)[0]["days"]["refused"] == 1
    mail = json.loads((job.home / "alerts.jsonl").read_text())["body"].splitlines()
    told = mail.index("  2 days listed: 1 refused, 1 unchanged")
    assert mail[told - 1].endswith(f", 2 days {LISTED[2]}..{UNLISTED[1]}")
    assert mail[told + 1 : told + 3] == [f"  {LISTED[2]}: no data, as before", f"  {UNLISTED[1]}: refused, as before"]


def test_a_listed_day_without_raw_rows_keeps_its_old_data_where_the_config_says_so(job: Job) -> None:
    job.create_final()
    job.settings["partitions"] = {"empty_source": "keep"}
    before = job.content(UNLISTED)

    result = job("run", "--dates", f"{LISTED[2]}..{UNLISTED[1]}")

    assert result.code == 0, result.err
    assert job.content(UNLISTED) == before
    assert list(job.record()["days"]) == [LISTED[2]]
    assert "2 days listed: 1 restated, 1 kept\nraw = staging = final (Impala not asked) on 1 day\n" in result.out


def test_a_listed_day_without_raw_rows_is_cleared_where_the_config_says_so_and_comes_back_by_rollback(job: Job) -> None:
    job.create_final()
    job.settings["partitions"] = {"empty_source": "clear"}
    before = job.content(UNLISTED)

    result = job("run", "--dates", f"{LISTED[2]}..{UNLISTED[1]}")

    assert result.code == 0, result.err
    assert UNLISTED[1] not in job.partitions()
    assert job("rollback", job.record()["run_id"]).code == 0
    assert job.content(UNLISTED) == before


def test_a_day_is_not_cleared_while_partition_discovery_would_bring_it_back(job: Job) -> None:
    job.create_final()
    job.settings["partitions"] = {"empty_source": "clear"}
    job.settings["publish"] = {"mode": "swap"}
    job.spark.sql(f"ALTER TABLE {job.final.quoted} SET TBLPROPERTIES ('discover.partitions'='TRUE')")
    before = snapshot(job)

    refused = job("run", "--dates", f"{LISTED[2]}..{UNLISTED[1]}")

    assert refused.code == 3
    assert re.search(rf"discover.partitions=true, .* old data of {UNLISTED[1]}, ", refused.err), refused.err
    assert snapshot(job) == before
    assert "refuses to clear days" in job("check").out
    assert job("run", "--dates", LISTED[2]).code == 0, "nothing is cleared"
    job.spark.sql(f"ALTER TABLE {job.final.quoted} SET TBLPROPERTIES ('discover.partitions'='false')")
    assert job("run", "--dates", UNLISTED[1]).code == 0
    assert UNLISTED[1] not in job.partitions()


@pytest.mark.parametrize("kind", ["parquet", "text"])
def test_a_list_of_days_without_raw_rows_alone_can_be_cleared(job: Job, kind: str) -> None:
    job.create_final(kind)
    job.settings["partitions"] = {"empty_source": "clear"}

    result = job("run", "--dates", UNLISTED[1])

    assert result.code == 0, result.err
    assert "1 day listed: 1 cleared\nno rows in raw and final (Impala not asked) on 1 day\n" in result.out
    assert UNLISTED[1] not in job.partitions()
    assert UNLISTED[0] in job.partitions()


def test_a_list_that_leaves_nothing_to_restate_is_done(job: Job) -> None:
    job.create_final()
    job.settings["partitions"] = {"empty_source": "keep"}

    result = job("run", "--dates", UNLISTED[1])

    assert result.code == 0, result.err
    assert "nothing to restate" in result.err
    assert result.out.startswith("nothing to restate (1 day listed: 1 kept)\nreport: ")
    assert job.record()["changes"] == []


def test_a_text_value_with_a_delimiter_is_no_harm_to_a_parquet_table(job: Job) -> None:
    job.create_final()
    job.spark.sql(f"DROP TABLE {job.database}.org_details")
    job.spark.sql(
        f"CREATE TABLE {job.database}.org_details STORED AS PARQUET AS SELECT bigint(1) orgno, 'Semi;colon' orgname"
    )

    assert job("run").code == 0


def test_one_incident_opens_one_ticket_and_success_closes_it(job: Job) -> None:
    job.create_final()
    (job.home / "partitions.txt").write_text("nonsense\n")
    (job.home / "status").write_text("MNAAS_email_sdp_created=Yes\nOTHER=kept\n")

    assert job("run").code == 2

    assert not (job.home / "alerts.jsonl").exists(), "the ticket is out already"
    (job.home / "partitions.txt").write_text("\n".join(LISTED))
    assert job("run").code == 0
    recovery = json.loads((job.home / "alerts.jsonl").read_text())
    assert recovery["kind"] == "recovery"
    assert "  3 days listed: 3 restated\n" in recovery["body"]
    assert job.status()["MNAAS_email_sdp_created"] == "No"
    assert job.status()["OTHER"] == "kept"
