"""The metrics file: read as Prometheus reads it, and never worth a run."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.fakes import RUN_ID, run_record
from tests.support.totals import grouped, raw, seen
from traffic_aggr.cli.main import main
from traffic_aggr.config.load import load_config
from traffic_aggr.files.local import LocalFiles
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.host.edge import Edge, EdgeNode
from traffic_aggr.host.holder import Holder
from traffic_aggr.host.lock import FileLock
from traffic_aggr.host.metrics import render_metrics, write_metrics
from traffic_aggr.host.notify import Notifier
from traffic_aggr.restate.journal import RunJournal
from traffic_aggr.restate.probes import probe_metrics
from traffic_aggr.run.record import Day, DayTotals, Outcome, Publication, RunRecord
from traffic_aggr.run.record_json import record_from_json, record_to_json
from traffic_aggr.run.store import RecordStore
from traffic_aggr.traffic.job import TRAFFIC

FIRST, SECOND, THIRD = Partition("2021-04-01"), Partition("2021-04-02"), Partition("2021-04-03")
ENDED = 1_620_094_020.5  # 2021-05-04T02:07:00.500Z
CONFIG = """
partitions: {file: days, max_per_run: 3}
impala: {enabled: false}
state: {dir: state, status_file: status, lock_file: lock}
logs: {dir: logs}
notify: {smtp: {host: null}, alert_file: alerts.jsonl}
metrics: {textfile: traffic_aggr.prom}
"""


def totals(before: int, after: int, **sums: int) -> DayTotals:
    new = grouped(bytes=after, rows=40, cdrs=90, source_rows=100, **sums)
    return DayTotals(
        raw=raw(bytes=after, rows=100, cdrs=90, distinct_cdrs=80, **sums),
        staging=new,
        final_before=grouped(bytes=before, rows=7),
        final_after=replace(new, source_rows=None),
        impala=seen(40, bytes=after),
    )


def succeeded(**values: Any) -> RunRecord:
    """A run of three days: one with 1000 bytes too few, one that was right, one that lacked a message."""
    return run_record(
        **{
            "ended": "2021-05-04T02:07:00.500+00:00",
            "outcome": Outcome.SUCCESS,
            "exit_code": 0,
            "publication": Publication.PUBLISHED,
            "days": {day: Day("home", "kept") for day in (FIRST, SECOND, THIRD)},
            "totals": {FIRST: totals(500, 1500), SECOND: totals(700, 700), THIRD: totals(900, 900, sms=1)},
            "impala": [{"sql": "REFRESH a", "attempts": 3}, {"sql": "REFRESH b", "attempts": 1}],
            **values,
        }
    )


def failed(publication: Publication = Publication.RESTORED, **values: Any) -> RunRecord:
    return succeeded(**{"outcome": Outcome.FAILED, "exit_code": 1, "publication": publication, **values})


def read(text: str) -> dict[str, float]:
    """Each metric's value by its name without the prefix, all of one job."""
    found = {}
    for family in text_string_to_metric_families(text):
        (sample,) = family.samples
        assert family.type == "gauge"
        assert family.documentation
        assert set(sample.labels) == {"job_name"}
        assert sample.name.startswith("traffic_aggr_")
        found[sample.name[len("traffic_aggr_") :]] = sample.value
    return found


def metrics_of(record: RunRecord) -> dict[str, float]:
    """As the edge node would tell them, which may have the record from another host."""
    record = record_from_json(record_to_json(record), "a record", TRAFFIC)
    return read(render_metrics(record, record, "job"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "traffic_aggr.prom"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a configuration, which the environment names."""
    (tmp_path / "job.yaml").write_text(CONFIG)
    monkeypatch.setenv("TRAFFIC_AGGR_CONFIG", str(tmp_path / "job.yaml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, record: RunRecord, job_name: str = "job") -> dict[str, float]:
    write_metrics(path, job_name, record, record)
    return read(path.read_text())


def warned(caplog: pytest.LogCaptureFixture) -> str:
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    return line


def test_a_success_is_told_in_numbers() -> None:
    assert metrics_of(succeeded()) == {
        "last_success_timestamp_seconds": ENDED,
        "last_run_start_timestamp_seconds": ENDED - 300.5,
        "last_run_end_timestamp_seconds": ENDED,
        "last_run_duration_seconds": 300.5,
        "last_run_exit_code": 0,
        "last_run_restated_partitions": 3,
        "last_run_loaded_rows": 120,
        "last_run_unsettled_partitions": 0,
        "last_run_differing_partitions": 2,
        "last_run_usage_difference_bytes": 1000,
        "last_run_unreconciled_partitions": 0,
        "last_run_impala_statements": 2,
        "last_run_impala_attempts": 4,
    }


def test_a_run_that_was_taken_back_has_loaded_nothing_and_still_tells_what_it_found_wrong() -> None:
    found = metrics_of(failed())
    assert (found["last_run_exit_code"], found["last_success_timestamp_seconds"]) == (1, 0)
    assert (found["last_run_restated_partitions"], found["last_run_loaded_rows"]) == (0, 0)
    assert (found["last_run_differing_partitions"], found["last_run_usage_difference_bytes"]) == (2, 1000)


def test_a_day_that_the_table_did_not_have_differs_by_all_its_usage() -> None:
    record = succeeded()
    record.set_totals(FIRST, replace(record.totals[FIRST], final_before=None))
    assert metrics_of(record)["last_run_usage_difference_bytes"] == 1500


@pytest.mark.parametrize(
    "disagreeing",
    [
        pytest.param({"staging": grouped(bytes=1, rows=40, cdrs=90, source_rows=100)}, id="staging"),
        pytest.param({"final_after": grouped(bytes=1500, rows=39, cdrs=90)}, id="final"),
        pytest.param({"impala": seen(39, bytes=1500)}, id="Impala"),
        pytest.param({"impala_raw": seen(99, bytes=1500)}, id="Impala's raw"),
    ],
)
def test_a_day_whose_stages_disagree_is_counted(disagreeing: dict[str, Any]) -> None:
    record = failed()
    record.totals[FIRST] = replace(record.totals[FIRST], **disagreeing)
    assert metrics_of(record)["last_run_unreconciled_partitions"] == 1


def test_a_day_that_was_cleared_is_no_disagreement() -> None:
    nothing = grouped()
    record = succeeded()
    record.totals[FIRST] = DayTotals(raw(), None, grouped(bytes=5, rows=1), nothing, seen())
    assert metrics_of(record)["last_run_unreconciled_partitions"] == 0


def test_a_cleared_day_that_raw_has_rows_of_is_counted() -> None:
    record = succeeded()
    record.totals[FIRST] = DayTotals(raw(rows=3), None, None, grouped(), seen())
    assert metrics_of(record)["last_run_unreconciled_partitions"] == 1


def test_a_run_that_found_nothing_out_has_zeros() -> None:
    least = run_record(outcome=Outcome.REFUSED, exit_code=2, ended="2021-05-04T02:02:01.000+00:00")
    found = metrics_of(least)
    assert found.pop("last_run_exit_code") == 2
    assert {name for name, value in found.items() if value} == {
        "last_run_start_timestamp_seconds",
        "last_run_end_timestamp_seconds",
        "last_run_duration_seconds",
    }


@pytest.mark.parametrize(
    ("publication", "days"), [(Publication.WITHDRAWN, 3), (Publication.RESTORING, 3), (Publication.RESTORED, 0)]
)
def test_days_that_wait_for_recovery_are_counted(publication: Publication, days: int) -> None:
    assert metrics_of(failed(publication))["last_run_unsettled_partitions"] == days


def test_days_of_a_run_that_died_before_are_counted() -> None:
    text = render_metrics(run_record(), failed(Publication.WITHDRAWN), "job")
    assert read(text)["last_run_unsettled_partitions"] == 3


@pytest.mark.parametrize(
    "name", ['a "quoted" one', "back\\slash", "C:\\new", "two\nlines", "Größe {x=1}", "trailing\\"]
)
def test_any_job_name_makes_a_label(name: str, path: Path) -> None:
    write(path, succeeded(), name)
    write(path, failed(), name)
    (family, *_) = text_string_to_metric_families(path.read_text())
    (sample,) = family.samples
    assert (sample.labels, sample.value) == ({"job_name": name}, ENDED)


def test_the_last_success_outlives_failures(path: Path) -> None:
    write(path, succeeded())
    for _ in range(2):
        found = write(path, failed(ended="2021-05-05T02:07:00.000+00:00"))
    assert found["last_success_timestamp_seconds"] == ENDED
    assert found["last_run_end_timestamp_seconds"] == 1_620_180_420


def test_the_success_of_another_job_is_none_of_this_one(path: Path) -> None:
    write(path, succeeded(), "other")
    assert write(path, failed())["last_success_timestamp_seconds"] == 0


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"# HELP traffic_aggr_x\n\n", id="comments"),
        pytest.param(b'traffic_aggr_last_success_timestamp_seconds{job_name="job"} NaN\n', id="no number"),
        pytest.param(b'traffic_aggr_last_success_timestamp_seconds{job_name="job"} 16\xff', id="torn"),
    ],
)
def test_a_damaged_file_is_replaced(left: bytes, path: Path) -> None:
    path.write_bytes(left)
    assert write(path, failed())["last_success_timestamp_seconds"] == 0


def test_node_exporter_may_read_it_whatever_the_umask_and_nothing_else_is_left(path: Path) -> None:
    before = os.umask(0o077)
    try:
        write(path, succeeded())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"node_reboot_required 1\n", b"\xff\x00\xfe", b"[remote]\nurl = x\n"])
def test_a_file_of_others_is_left_alone(content: bytes, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(content)
    write_metrics(path, "job", succeeded(), succeeded())
    assert path.read_bytes() == content
    assert "name another file in metrics.textfile" in warned(caplog)


@pytest.mark.parametrize("kind", ["directory", "pipe", "no directory", "full"])
def test_what_cannot_be_written_is_a_warning(kind: str, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "no directory":
        path = path.parent / "missing" / path.name
    else:
        path = Path("/proc/self") / path.name
    write_metrics(path, "job", succeeded(), succeeded())
    assert "the metrics could not be written" in warned(caplog)
    assert not (path.parent.parent / "missing").exists()


def test_a_record_with_times_that_are_none_is_a_warning(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_metrics(path, "job", succeeded(started="yesterday"), succeeded())
    assert "yesterday" in warned(caplog)


def test_a_run_that_failed_is_told_and_one_beside_another_is_not(home: Path) -> None:
    with FileLock(str(home / "lock"), Holder.this_process(RUN_ID, "run", "2021-05-04T02:02:00Z")):
        assert main(["run", "--month", "2021-04"]) == 75
    assert not (home / "traffic_aggr.prom").exists()

    assert main(["run", "--month", "2021-13"]) == 2

    found = read((home / "traffic_aggr.prom").read_text())
    (run,) = (home / "state" / "runs").glob("*/run.json")
    assert found["last_run_exit_code"] == json.loads(run.read_text())["exit_code"] == 2


def test_a_run_that_failed_before_it_settled_a_dead_one_counts_the_days_of_that(home: Path) -> None:
    RecordStore(str(home / "state"), LocalFiles(), TRAFFIC).save(
        run_record(publication=Publication.WITHDRAWN, days={FIRST: Day("/final/d", "/kept/d")})
    )
    assert main(["run", "--month", "2021-13"]) == 2
    assert read((home / "traffic_aggr.prom").read_text())["last_run_unsettled_partitions"] == 1


def test_a_run_in_the_cluster_is_told_from_its_record(home: Path) -> None:
    config = load_config(home / "job.yaml", {})
    store, textfile = RecordStore(config.state.dir, LocalFiles(), TRAFFIC), home / "traffic_aggr.prom"
    edge = EdgeNode(config, Notifier(config.notify, None, redact=str))
    journal = RunJournal(config, store, edge)

    journal.show_success(succeeded())
    assert read(textfile.read_text())["last_success_timestamp_seconds"] == ENDED
    journal.show_failure(failed(error="drop failed"))
    assert read(textfile.read_text())["last_run_exit_code"] == 1

    textfile.unlink()
    journal.leave_to_holder()
    RunJournal(config, store, Edge(0)).show_success(succeeded())
    journal.show_success(succeeded(command="rollback"))
    assert not textfile.exists()


@pytest.mark.usefixtures("no_user_name")
def test_a_record_of_a_user_without_a_name_has_the_number(home: Path) -> None:
    config = load_config(home / "job.yaml", {})
    store = RecordStore(config.state.dir, LocalFiles(), TRAFFIC)
    assert RunJournal(config, store, Edge(0)).new_record("run", {}, RUN_ID).user == str(os.getuid())


def test_check_warns_where_the_metrics_would_not_be_written(home: Path) -> None:
    config = load_config(home / "job.yaml", {})
    assert [str(each) for each in probe_metrics(config)] == [f"ok    metrics.textfile {home} can be written"]
    (home / "job.yaml").write_text(CONFIG.replace("traffic_aggr.prom", "missing/x.prom"))
    (finding,) = probe_metrics(load_config(home / "job.yaml", {}))
    assert str(finding).startswith(f"warn  metrics.textfile {home}/missing can be written: ")
    assert finding.error is None
