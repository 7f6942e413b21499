"""The commands around a run, and the mail that it sends."""

from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from devtools.impala_double import ImpalaDouble
from tests.support.mail_server import Desk, text_of
from tests.support.warehouse import LISTED, Job
from traffic_aggr.host.holder import Holder
from traffic_aggr.host.lock import FileLock


def test_a_table_that_another_config_is_at_work_on_is_left_to_it_without_a_word_to_the_desk(job: Job) -> None:
    directory = job.create_final()
    (job.home / "status").write_text("MNAAS_job_status=Success\n")
    before = job.content(LISTED)
    holder = Holder.this_process("20210504T020200Z-0a1b2c", "run", "2021-05-04T02:02:00+00:00")

    with FileLock(str(directory / ".traffic_aggr" / "lock"), holder):
        refused = job("run")

    assert refused.code == 75
    assert "held by run 20210504T020200Z-0a1b2c" in refused.err
    assert job.content(LISTED) == before
    assert job.status()["MNAAS_job_status"] == "Success"
    assert not (job.home / "alerts.jsonl").exists()
    assert (job.record()["outcome"], job.record()["exit_code"]) == ("refused", 75)


@pytest.mark.quick
def test_one_ticket_is_mailed_for_an_incident_and_a_notice_when_it_is_over(job: Job, desk: Desk) -> None:
    job.create_final()
    assert job("run", "--dates", "2021-04-04").code == 3
    assert job("run", "--dates", "2021-04-04").code == 3

    (ticket,) = desk.mails
    assert "FAILED at preflight" in ticket["Subject"]
    text = text_of(ticket)
    assert "raw has no rows for 2021-04-04" in text
    assert "nothing was touched, old data is in place" in text
    assert f"traffic-aggr run --dates 2021-04-04 --config {job.home / 'config.yaml'}\r\n" in text
    assert job.status()["MNAAS_email_sdp_created"] == "Yes"

    assert job("run").code == 0

    assert len(desk.mails) == 2
    assert "RECOVERED" in desk.mails[1]["Subject"]
    assert job.status()["MNAAS_email_sdp_created"] == "No"
    assert not (job.home / "alerts.jsonl").exists()


@pytest.mark.quick
def test_check_says_a_line_for_each_thing_that_a_run_needs(job: Job, impala: ImpalaDouble, desk: Desk) -> None:
    job.create_final()
    job.use_impala(impala)

    result = job("check")

    assert result.code == 0, result.out
    lines = result.out.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    for thing in (
        "config",
        "partition list",
        "state.dir",
        "logs.dir",
        "Impala 127.0.0.1",
        "SMTP",
        "Spark",
        "metastore",
    ):
        assert any(thing in line for line in lines), thing


def test_check_shows_all_failures_at_once(job: Job) -> None:
    job.settings["impala"] = {"enabled": True, "hosts": ["127.0.0.1:1"], "retry": {"attempts": 1}}
    job.settings["tables"] = {"raw": "no_such_table"}
    (job.home / "partitions.txt").write_text("nonsense\n")

    result = job("check")

    assert result.code == 2
    failures = [line for line in result.out.splitlines() if line.startswith("FAIL")]
    assert len(failures) == 3
    for thing in ("line 1 'nonsense'", "127.0.0.1:1", "no_such_table"):
        assert any(thing in line for line in failures), thing


@pytest.mark.quick
def test_history_status_and_report_tell_of_a_run(job: Job) -> None:
    job.create_final()
    (told,) = json.loads(job("run", "--json").out)["runs"]
    run_id = job.record()["run_id"]
    assert told["run_id"] == run_id
    assert told["verdict"].endswith("raw, staging and final agree on every day.")

    (run,) = json.loads(job("history", "--json").out)

    assert (run["version"], run["run_id"], run["outcome"], run["partitions"]) == (1, run_id, "success", len(LISTED))
    assert run["rows"] == len(job.sources.expected())
    status = json.loads(job("status", "--json").out)
    assert status["last_run"]["run_id"] == run_id
    assert status["lock_holder"] is None
    report = job.home / "state" / "runs" / run_id / "report.html"
    index = report.parent.parent / "index.html"
    assert f"<a href='{run_id}/report.html'>" in index.read_text()
    assert index.stat().st_mode & 0o077 == 0
    report.unlink()
    assert job("report").out.strip() == str(report)
    assert "raw, staging and final agree on every day" in report.read_text()


def test_recover_has_nothing_to_do_after_a_run_that_ended(job: Job) -> None:
    job.create_final()
    assert job("run").code == 0

    result = job("recover")

    assert result.code == 0
    assert "nothing to recover" in result.out


def test_no_secret_is_found_in_anything_that_a_run_writes(
    job: Job, impala: ImpalaDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.create_final()
    monkeypatch.setenv("IMPALA_PASSWORD", "s3cr3t-of-impala")
    job.use_impala(impala, auth={"mechanism": "PLAIN", "user": "etl", "password": {"env": "IMPALA_PASSWORD"}})

    result = job("run")

    assert result.code == 1, "the double speaks no SASL here"
    written = [path for path in job.home.rglob("*") if path.is_file()]
    assert any(path.name == "run.json" for path in written)
    assert not [path for path in written if b"s3cr3t-of-impala" in path.read_bytes()]
    assert "s3cr3t-of-impala" not in result.out + result.err
    assert "s3cr3t-of-impala" not in str(job.spark.sparkContext.getConf().getAll())


def test_monitoring_hears_of_every_run_and_of_runs_alone(job: Job, impala: ImpalaDouble) -> None:
    job.create_final()
    job.use_impala(impala)
    job.settings["metrics"] = {"textfile": str(job.home / "traffic_aggr.prom")}

    def told() -> dict[str, float]:
        families = text_string_to_metric_families((job.home / "traffic_aggr.prom").read_text())
        return {sample.name[len("traffic_aggr_") :]: sample.value for each in families for sample in each.samples}

    assert job("run").code == 0

    record, good = job.record(), told()
    totals = record["totals"].values()
    assert good["last_run_exit_code"] == 0
    assert good["last_success_timestamp_seconds"] == good["last_run_end_timestamp_seconds"] > 0
    assert good["last_run_restated_partitions"] == good["last_run_differing_partitions"] == len(LISTED)
    assert good["last_run_loaded_rows"] == sum(day["final_after"]["rows"] for day in totals) > 0
    assert good["last_run_usage_difference_bytes"] == sum(
        abs(day["raw"]["bytes"] - day.get("final_before", {"bytes": 0})["bytes"]) for day in totals
    )
    assert good["last_run_impala_attempts"] == good["last_run_impala_statements"] == len(record["impala"]) > 0
    assert good["last_run_unreconciled_partitions"] == 0

    assert job("run", "--dates", "2021-04-04").code == 3

    bad = told()
    assert bad["last_run_exit_code"] == 3
    assert bad["last_run_restated_partitions"] == 0
    assert bad["last_success_timestamp_seconds"] == good["last_success_timestamp_seconds"]

    assert job("rollback", record["run_id"]).code == 0
    assert told() == bad

    assert job("run").code == 0
    assert told()["last_success_timestamp_seconds"] > good["last_success_timestamp_seconds"]


def test_a_ticket_that_was_mailed_later_is_open_like_one_that_was_mailed_at_once(job: Job, desk: Desk) -> None:
    job.create_final()
    with_mail = job.settings.pop("notify")
    assert job("run", "--dates", "2021-04-04").code == 3
    assert job.status()["MNAAS_email_sdp_created"] == "No"
    job.settings["notify"] = with_mail

    assert job("alerts", "--resend").out == "mailed 1 alert, 0 left\n"

    assert job.status()["MNAAS_email_sdp_created"] == "Yes"
    assert job("run", "--dates", "2021-04-04").code == 3
    assert job("run").code == 0
    ticket, recovery = desk.mails
    assert "FAILED at preflight" in ticket["Subject"]
    assert "RECOVERED" in recovery["Subject"]
    assert ticket["Message-ID"] in recovery["In-Reply-To"].split()
    assert recovery["In-Reply-To"] == recovery["References"]


def test_a_ticket_for_a_failure_that_is_over_opens_none(job: Job, desk: Desk) -> None:
    job.create_final()
    with_mail = job.settings.pop("notify")
    assert job("run", "--dates", "2021-04-04").code == 3
    assert job("run").code == 0
    job.settings["notify"] = with_mail

    assert job("alerts", "--resend").code == 0

    assert job.status()["MNAAS_email_sdp_created"] == "No"
