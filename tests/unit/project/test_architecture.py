"""Rules about imports that no single module can keep."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support.paths import ROOT


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_imports_go_down_only_and_the_core_is_free_of_spark_and_impala() -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    found = python(code)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("package", ["pyspark", "py4j", "impala", "thrift"])
def test_the_command_line_starts_without(package: str) -> None:
    # Who imports it first is in the trace of whatever fails here.
    code = f"import sys; sys.modules[{package!r}] = None; import traffic_aggr.cli.main"
    found = python(code)
    assert found.returncode == 0, found.stderr


def test_importing_the_command_line_starts_no_thread_and_writes_nothing() -> None:
    code = "import threading, traffic_aggr.cli.main; assert threading.active_count() == 1"
    found = python(code)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


ENGINE = ("restate", "run", "report", "impala", "hive", "host")
OF_TRAFFIC = "call type|calltype|cdr|countr|customer|mcc|organisation|sms|tcl_secs|telecom|voice|whole_sale"


@pytest.mark.parametrize("room", ENGINE)
def test_the_engine_knows_nothing_of_traffic(room: str) -> None:
    files = [path for path in (ROOT / "traffic_aggr" / room).iterdir() if path.suffix in (".py", ".html")]
    assert files
    known = {path.name: words for path in files if (words := re.findall(OF_TRAFFIC, path.read_text().lower()))}
    assert known == {}
