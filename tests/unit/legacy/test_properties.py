"""From the old Bash properties to a configuration; nothing in them is run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.paths import SAMPLES
from traffic_aggr.cli.main import main
from traffic_aggr.errors import InputError
from traffic_aggr.legacy.bash_properties import read_properties
from traffic_aggr.legacy.bash_variables import UNKNOWN, Properties
from traffic_aggr.legacy.properties import import_properties

SAMPLE = SAMPLES / "Aggr.properties"


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
        ("x=log$(date +_%F)", f"log{UNKNOWN}"),
        ("x=`hostname`.log", f"{UNKNOWN}.log"),
        ('x="$(cat $(ls))"', UNKNOWN),
        ("x=$(cat <<EOF\nit's )\nEOF\n).log", f"{UNKNOWN}.log"),
        ("x=$(date # it's\n)", UNKNOWN),
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
    assert "its keys are missing here" in read(tmp_path, ". /gone/other\nx=1\n").notes[0]


def test_files_that_source_each_other_come_to_an_end(tmp_path: Path) -> None:
    assert "is not there" in read(tmp_path, f". {tmp_path}/job.properties\nx=1\n").notes[0]


def test_what_is_no_assignment_is_noted_and_left_out(tmp_path: Path) -> None:
    found = read(tmp_path, "x=1\ntouch /tmp/x\n")
    assert found.values["x"].value == "1"
    assert found.notes == ["job.properties line 2 is not an assignment and was not read"]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("if true; then\nx=1; y=2\nfi", "line 2: `if` was not read; it assigns x, y"),
        ("if true; then\nx=1", "line 2: `if` was not read; it assigns x"),
        ("case $HOME in a|b) x=1;; esac", "line 2: `case` was not read; it assigns x"),
        ("for x in 1 2; do :; done", "line 2: `for` was not read; it assigns x"),
        ("[ -d /app ] && x=1", "line 2: x is assigned under a condition; it was not read"),
        ("[ -d /app ] || { x=1; }", "line 2: what follows && or || was not read; it assigns x"),
        ("x=(1 2)", "line 2: x is an array; it was not read"),
        ("x[1]=2", "line 2: x is an array; it was not read"),
        ("x=${#HOME}", "line 2: ${#HOME} was not understood"),
        ("x=${HOME%/*}", "line 2: ${HOME%/*} was not understood"),
        ("x=$$", "line 2: $$ was not understood"),
        ("x=~other/a", "line 2: ~other was not understood"),
        ("declare -i x=1+1", "line 2: declare -i x was not understood"),
    ],
)
def test_a_value_that_only_bash_can_tell_is_none_and_noted(tmp_path: Path, text: str, note: str) -> None:
    found = read(tmp_path, f"x=before\n{text}\n", HOME="/home/me")
    assert UNKNOWN in found.values["x"].value
    assert f"job.properties {note}" in found.notes


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("f() {\n x=1\n}", "line 2: function f was not read; it assigns x"),
        ("( x=1 )", "line 2: a subshell was not read; it assigns x"),
        ("readonly x\nx=1", "line 3: x is readonly, so that Bash would not assign it; this was not read"),
        ("x=1 /bin/true", "line 2 is not an assignment and was not read"),
        ("return\nx=1", "line 2: `return` ends the file; what follows was not read"),
        ("y='a\nx=1", "line 2: ' has no end; what follows was not read"),
    ],
)
def test_an_assignment_that_has_no_effect_is_noted(tmp_path: Path, text: str, note: str) -> None:
    found = read(tmp_path, f"x=before\n{text}\n")
    assert found.values["x"].value == "before"
    assert f"job.properties {note}" in found.notes


# ---- Bash itself says what the values are

NAMES = "abcdxyz"


def told_by_bash(path: Path) -> dict[str, str]:
    names = " ".join(NAMES)
    show = f'. "$1"; printf "\\0"; for n in {names}; do [ -n "${{!n+s}}" ] && printf "%s=%s\\0" "$n" "${{!n}}"; done'
    environment = {"HOME": "/home/me", "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    made = subprocess.run(
        ["bash", "-c", show, "bash", path], env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    said = made.stdout.decode().split("\0")[1:-1]
    return dict(each.split("=", 1) for each in said)


def told_by_us(path: Path) -> dict[str, str]:
    return {name: found.value for name, found in read_properties(path, {"HOME": "/home/me"}).values.items()}


@pytest.mark.parametrize(
    "text",
    [
        "a=1; b=2",
        "a=1 b=2 c=$a",
        "a=one\\\ntwo",
        'a="one\\\ntwo"',
        "a='one\\\ntwo'",
        "export \\\n a=1 \\\n b=2",
        "declare -r a=1\ndeclare -x b='2 3'\nreadonly c=3\ntypeset -rx d=4",
        "export a b=c\na=1",
        "export 'a=1 2' \"b=$HOME\" -n c=3",
        ': ${a:=5}\nb=${c:=6}/${c}\nd=; : "${d:=7 8}"; x=; y=${x=9}',
        "a=1; a+=2; b+=3",
        "cat <<EOF\na=1\nEOF\nb=2",
        "cat <<-EOF\n\ta=1\n\tEOF\nb=2",
        "cat <<'EOF'\na=$x\nEOF\nb=2",
        'cat <<"E O"\na=1\nE O\nb=2',
        "cat <<\\EOF\na=1\nEOF\nb=2",
        "cat <<A <<B\na=1\nA\nb=2\nB\nc=3",
        "cat <<<a=1\nb=2",
        "a='one\ntwo'\nb=\"three\n\nc=4\"",
        "a=$'tab\\there\\n\\x41\\101\\u00e9\\\\\\q\\''",
        'a=$"hello"',
        "a=1 # b=2\nb=1#b\nc='x # y' # it's",
        "set -a\na=1\nset +a",
        "a=~/conf; b=~:~/x; c='~'; d=x~",
        "a=1 && b=2 || c=3\ntrue || d=4",
        "a=1 &&\n # why\n b=2",
        "{ a=1; b=2; }",
        "( a=1 ); b=2 | cat; c=3 & d=4",
        "a=1 >/dev/null b=2 2>&1\n>/dev/null c=3",
        "a=1; unset a HOME; b=${a:-gone}$HOME",
        'a=${x:-\'q }r\'}; b="${x:-"q r"}"; c="${x:-\'q\'}"; d=${x:-${y:-deep}}',
        "a=${x:+no}b${HOME:+yes}${HOME+y}${x-d}; x=; b=${x-d}${x:-d}",
        "a=x\\ y\\;z; b=\"\\$x \\\\ \\\" \\q\"; c='it'\"'\"'s'",
        "a=*; b=[x]; c={1,2}; d=$/b; x==1; y=b=c",
        "[[ a < b && c > d ]]; a=2\nf() { b=1; }\nfunction f { b=1; }\nfunction f() (\nb=1\n)\nc=3",
        "x='a b'; a=$x; b=$x$x; export c=$x; d=é",
        "a=1\nreturn\nb=2",
        "a=\\",
    ],
)
def test_what_bash_itself_makes_of_the_file_is_what_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "job.properties"
    path.write_text(text)
    assert told_by_us(path) == told_by_bash(path)


WORDS = st.lists(
    st.sampled_from(
        [
            *("u", "#", "=", "~", "é", "\\ ", "'g h'", "$'\\t'", '"i $x j"', '"${y:-k}"'),
            *("$a", "${b}", "${c:-d e}", "${d:=f}", "${x:+${y=z}}"),
        ]
    ),
    max_size=4,
).map("".join)
COMMANDS = st.tuples(
    st.sampled_from(["", "\\\n", "c=$a ", "export \\\n", "declare -x ", ": ", "cat <<a\nb=1\na\n", "# "]),
    st.sampled_from([f"{name}{operator}" for name in NAMES for operator in ("=", "+=")]),
    WORDS,
    st.sampled_from(["\n", "; ", " # it's\n", " && ", ";\n\n"]),
).map("".join)


@given(commands=st.lists(COMMANDS, min_size=1, max_size=6))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_file_assigns_has_the_value_that_bash_gives_it(tmp_path: Path, commands: list[str]) -> None:
    path = tmp_path / "job.properties"
    path.write_text("x=1\n" + "".join(commands) + "\n:\n")
    ours = told_by_us(path)
    assert {name: value for name, value in ours.items() if UNKNOWN not in value} == {
        name: value for name, value in told_by_bash(path).items() if UNKNOWN not in ours.get(name, "")
    }


# ---- what is no properties file


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it assigns nothing"),
        (b"# a comment\n\n", "it assigns nothing"),
        (b"dbname=" + b"${a:-" * 10_000, "it nests too deeply"),
        (b"\x7fELF\0dbname=mnaas\n", "it is binary"),
        (b"tables:\n  database: mnaas\n", "it assigns nothing"),
        (b'{"dbname": "mnaas",\n "a": 1}\n', "it assigns nothing"),
        (b'<?xml version="1.0"?>\n<a dbname="mnaas"/>\n', "it is XML or HTML"),
        (b"environment: x\nOTHER=1\n", "has none of the old job's keys, such as dbname"),
    ],
    ids=["empty", "comments", "deep", "binary", "YAML", "JSON", "XML", "of another program"],
)
def test_a_file_that_is_no_properties_file_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, why: str
) -> None:
    (tmp_path / "file").write_bytes(content)
    assert main(["import-properties", str(tmp_path / "file"), "-o", str(tmp_path / "new.yaml")]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n"), why in said.err) == ("", 1, True)
    assert not (tmp_path / "new.yaml").exists()


def test_a_sourced_file_that_cannot_be_read_is_noted(tmp_path: Path) -> None:
    (tmp_path / "common").symlink_to(tmp_path / "common")
    assert "its keys are missing here" in read(tmp_path, f"x=1\n. {tmp_path}/common\n").notes[0]


def test_a_value_with_a_part_that_only_bash_can_tell_is_not_taken(tmp_path: Path) -> None:
    made = import_properties(
        read(tmp_path, "MNAAS_Traffic_AdhocPartitions_Daily_Uniq_FileName=/old/days_$(date +%F)\ndbname=mnaas\n")
    )
    assert "partitions" not in yaml.safe_load(made.yaml) or not yaml.safe_load(made.yaml)["partitions"]
    assert "only Bash can tell its value: set partitions.file by hand" in str(made.fates[0])


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
