"""The benchmark: that it counts what it should, writes where it may, and that its contenders come to the same rows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import growth
from bench.data import Data
from bench.measure import Cost
from bench.page import Line, picture, table, write_block
from tests.support.fakes import run_record
from tests.support.paths import ROOT
from traffic_aggr.run.record import StepRecord

BUSY = "import time; end = time.process_time() + {seconds}\nwhile time.process_time() < end: pass"
MIB = 1024**2


def measured(script: str, tmp_path: Path) -> str:
    """What ``cost`` says of ``script``; asked in a process of its own, since it waits for all children there are."""
    program = (
        "import sys; from pathlib import Path; from bench.measure import cost\n"
        "found = cost([sys.executable, '-c', sys.argv[1]], Path(sys.argv[2]))\n"
        "print(found.wall, found.cpu, found.memory)"
    )
    command = [sys.executable, "-c", program, script, str(tmp_path / "log")]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout


def test_an_orphan_is_waited_for_and_counted(tmp_path: Path) -> None:
    orphan = BUSY.format(seconds=1)
    script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {orphan!r}])"
    wall, cpu, _ = map(float, measured(script, tmp_path).split())
    assert wall >= 1
    assert cpu >= 1


def test_memory_is_that_of_all_processes_at_once(tmp_path: Path) -> None:
    hold = "import time; held = b'x' * (100 * 1024 ** 2); time.sleep(2)"
    script = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {hold!r}])\n{hold}; child.wait()"
    *_, memory = measured(script, tmp_path).split()
    assert 200 * MIB < int(memory) < 400 * MIB


def test_a_command_that_fails_is_no_time(tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from bench.measure import cost; cost(['false'], Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "log")], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert "CommandError: false ended with 1" in done.stderr


LINES = [Line("traffic_aggr, swap", 10, 9, 12, 20, 2 * 1024**3), Line("a < b", 20, 19, 21.5, 44, 1024**3)]


def test_ratios_are_to_the_first(tmp_path: Path) -> None:
    assert table(LINES, 10_000_000)[2:] == [
        "| traffic_aggr, swap | 10.0 | 9.0 to 12.0 | 1.00 | 20 | 0.6 | 2.0 |",
        "| a < b | 20.0 | 19.0 to 21.5 | 2.00 | 44 | 1.2 | 1.0 |",
    ]


def test_the_picture_is_xml_and_has_words() -> None:
    root = ElementTree.fromstring(picture(LINES))
    assert root.findtext("{*}title") == "traffic_aggr, swap 10 s; a < b 20 s"


def test_a_block_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    marks = [f"<!-- {word} of what `python -m bench` made: x -->" for word in ("begin", "end")]
    page.write_text("\n".join(["before", *marks, "after"]))
    for lines in (["old"], ["new", "er"]):
        write_block(page, "x", lines)
    assert page.read_text() == "\n".join(["before", marks[0], "new", "er", marks[1], "after"])


def test_the_page_has_a_place_for_what_is_made(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text((ROOT / "docs" / "performance.md").read_text())
    for name in ("peers", "growth"):
        write_block(page, name, ["x"])


def test_a_line_of_growth_has_a_cell_for_each_head(tmp_path: Path) -> None:
    record = run_record(
        started="2021-05-01T02:00:00.000+00:00",
        steps=[
            StepRecord("stage", "2021-05-01T02:00:10.000+00:00", "2021-05-01T02:00:30.000+00:00"),
            StepRecord("load", "2021-05-01T02:00:30.000+00:00", "2021-05-01T02:00:35.500+00:00"),
        ],
    )
    line = growth.row(Data(tmp_path, 30_000, 10, 3), 2_000, Cost(40.0, 70.0, 2 * 1024**3), record)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert len(cells) == len(growth.HEADS)
    assert cells == ["30,000", "10", "3", "2,000", "40.0", "10.0", "20.0", "5.5", "70.0", "2.0"]


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.thorough
def test_contenders_come_to_the_same_rows(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--rows", "3000", "--days", "3", "--rounds", "1", "--home", str(tmp_path)]
    only = ["--only", "swap", "hand_written"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "BENCH_HEAP": "1g"}
    done = subprocess.run(
        [*command, *only], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=540, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("round 1") == 2
