"""Nothing that was started in a directory's name outlives the process that began it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devtools.sweeper import MARK, kill_processes_of, processes_of
from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")

# Starts a process that starts another one, in a session of its own, and says so.
GRANDPARENT = f"""
import os, subprocess, sys, time
from pathlib import Path
from devtools.sweeper import Sweeper

sweeper = Sweeper(Path(sys.argv[1]))
child = "import subprocess; subprocess.run(['sleep', '600'], start_new_session=True)"
environment = {{**os.environ, {MARK!r}: sys.argv[1] + "/below"}}
subprocess.Popen([sys.executable, "-c", child], env=environment, start_new_session=True)
print("started", flush=True)
time.sleep(600)
"""


def wait_for(directory: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(processes_of(directory)) != count:
        assert time.monotonic() < deadline, processes_of(directory)
        time.sleep(0.02)


@pytest.fixture
def marked(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, MARK: str(tmp_path)}


def test_grandchildren_are_killed_when_the_first_process_is(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GRANDPARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as first:
        assert first.stdout is not None
        first.stdout.readline()
        wait_for(tmp_path, 2)
        first.kill()
    wait_for(tmp_path, 0)


def test_processes_of_other_directories_are_left_alone(tmp_path: Path, marked: dict[str, str]) -> None:
    with subprocess.Popen(["sleep", "600"], env={**marked, MARK: f"{tmp_path}-other"}, cwd=tmp_path) as other:
        wait_for(Path(f"{tmp_path}-other"), 1)
        kill_processes_of(tmp_path)
        assert other.poll() is None
        other.kill()


def test_killing_ends_what_belongs_to_the_directory(tmp_path: Path, marked: dict[str, str]) -> None:
    with subprocess.Popen(["sleep", "600"], env=marked) as process:
        wait_for(tmp_path, 1)
        kill_processes_of(tmp_path)
        assert process.wait(timeout=30) < 0
