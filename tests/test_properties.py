"""From the old Bash properties to a configuration; nothing in them is run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from traffic_aggr.bash_properties import COMMAND, Properties, read_properties
from traffic_aggr.cli import main
from traffic_aggr.errors import InputError
from traffic_aggr.properties import import_properties

SAMPLE = Path(__file__).parent / "samples" / "Aggr.properties"


def read(tmp_path: Path, text: str, **environment: str) -> Properties:
    path = tmp_path / "job.properties"
    path.write_text(text)
    return read_properties(path, environment)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("x=plain", "plain"),
        ("  export x=plain  ", "plain"),
        ("x=", ""),
        ("x=a#b # a comment", "a#b"),
        ("x='single $y \"quoted\"'", 'single $y "quoted"'),
        ('x="double $y ${y} \\$y \\"q\\""', 'double Y Y $y "q"'),
        ("x=$y/${y}/a\\ b", "Y/Y/a b"),
        ("x='a'\"b\"c", "abc"),
        ("x=${unset:-a default}", "a default"),
        ("x=log$(date +_%F)", f"log{COMMAND}"),
        ("x=`hostname`.log", f"{COMMAND}.log"),
        ('x="$(cat $(ls))"', COMMAND),
        ("x=$", "$"),
    ],
)
def test_a_value_is_what_bash_would_make_of_it(tmp_path: Path, line: str, value: str) -> None:
    found = read(tmp_path, f"y=Y\n{line}\n")
    assert found.values["x"].value == value
    assert found.notes == []


def test_nothing_is_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    read(tmp_path, f"x=$(touch {trap})\ny=`touch {trap}`\ntouch {trap}\n: > {trap}\n")
    assert not trap.exists()


def test_what_the_files_do_not_assign_comes_from_the_environment_or_is_noted(tmp_path: Path) -> None:
    found = read(tmp_path, "x=$HOME/a\ny=$NOWHERE/b\n", HOME="/home/me")
    assert (found.values["x"].value, found.values["y"].value) == ("/home/me/a", "/b")
    assert found.notes == ["job.properties line 2: $NOWHERE is not set here; it was left out"]


def test_a_sourced_file_is_read_where_it_is_or_beside(tmp_path: Path) -> None:
    (tmp_path / "common").write_text("x=1\n")
    assert read(tmp_path, f". {tmp_path}/common\n").values["x"].value == "1"
    found = read(tmp_path, "source /gone/common\n")
    assert found.values["x"].value == "1"
    assert "/gone/common is not there; read" in found.notes[0]
    assert "its keys are missing here" in read(tmp_path, ". /gone/other\n").notes[0]


def test_files_that_source_each_other_come_to_an_end(tmp_path: Path) -> None:
    assert "is not there" in read(tmp_path, f". {tmp_path}/job.properties\nx=1\n").notes[0]


def test_what_is_no_assignment_is_noted_and_left_out(tmp_path: Path) -> None:
    found = read(tmp_path, "if true; then\nx=1; y=2\n")
    assert found.values["x"].value == "1"
    assert found.notes == [
        "job.properties line 1 is no assignment and was not read",
        "job.properties line 2: what follows the value of x was not understood",
    ]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone cannot be read"):
        read_properties(tmp_path / "gone", {})


def test_the_configuration_has_what_the_old_keys_said() -> None:
    made = import_properties(read_properties(SAMPLE, {}))
    document = yaml.safe_load(made.yaml)
    assert document["job"] == {"script_name": "Old_Aggr.sh"}
    assert document["tables"] == {
        "database": "mnaas",
        "final": "traffic_aggr_adhoc",
        "staging": "traffic_aggr_adhoc_inter",
    }
    assert document["partitions"] == {"file": "/opt/old/conf/days"}
    assert document["impala"] == {"hosts": ["impala.example.com:21051"]}
    assert document["state"] == {"status_file": "/opt/old/conf/Status File"}
    assert document["logs"] == {"dir": "/opt/old/logs"}
    assert document["notify"] == {
        "from": "warehouse@example.com",
        "ticket_to": ["desk@example.com"],
        "cc": ["dev@example.com", "ops@example.com"],
        "smtp": {"host": "localhost"},
    }


def test_every_old_key_is_told_what_became_of_it_and_no_secret_shows() -> None:
    read_in = read_properties(SAMPLE, {})
    made = import_properties(read_in)
    assert [fate.name for fate in made.fates] == list(read_in.values)
    fates = {fate.name: fate for fate in made.fates}
    assert fates["dbname"].successor == "tables.database"
    assert fates["CLASSPATHVAR"].successor is None
    assert "--partitions FILE" in fates["MNAAS_Traffic_AdhocPartitions_Daily_Uniq_FileName_Apr_mismatch"].remark
    assert "a secret" in fates["ora_passwordMOVE"].remark
    assert "made-up" not in made.yaml + "".join(map(str, made.fates)) + "".join(made.notes)


def test_the_command_writes_a_new_file_that_check_can_go_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new.yaml"
    assert main(["import-properties", str(SAMPLE), "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert f"check --config {out}" in said.out
    assert 'dbname -> tables.database: "mnaas"' in said.err
    assert main(["status", "--config", str(out)]) == 2
    missing = capsys.readouterr().err
    assert "state.dir" in missing
    assert "state.lock_file" in missing
    assert "notify.alert_file" in missing
    assert main(["import-properties", str(SAMPLE), "-o", str(out)]) == 2
    assert "File exists" in capsys.readouterr().err


def test_without_a_file_the_configuration_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import-properties", str(SAMPLE)]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["tables"]["database"] == "mnaas"
