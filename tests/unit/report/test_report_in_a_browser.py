"""The report in Chromium: it fits wide and narrow screens, prints, and has nothing to complain about."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html import escape, unescape
from pathlib import Path

import pytest

from tests.support.reported_runs import succeeded
from tests.support.totals import grouped, raw, usage
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.report.index import render_index
from traffic_aggr.report.page import render_report
from traffic_aggr.run.breakdown import Breakdown, Part
from traffic_aggr.run.record import DayTotals

SCHEMES = ("dark", "light")
"""In the order of Chromium's numbers for them."""


@pytest.fixture
def chromium(tmp_path: Path) -> list[str]:
    program = shutil.which("chromium")
    if program is None:
        assert os.environ.get("TRAFFIC_AGGR_REQUIRE_BROWSER") != "1", "no chromium, though it is required"
        pytest.skip("chromium is not installed")
    return [program, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]


@pytest.fixture
def axe() -> str:
    """The accessibility checker as JavaScript."""
    package = importlib.util.find_spec("axe_core_python")
    if package is None or package.origin is None:
        pytest.skip("axe-core-python is not installed: it needs Python 3.10")
    return Path(package.origin).with_name("axe.min.js").read_text("utf-8").replace("</script>", "<\\/script>")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The report of a month with long names in it."""
    record = succeeded(notes=["x" * 300], skipped_lines=["line 3: " + "WARN/" * 60], partitions_source="/data/" * 40)
    for number in range(1, 31):
        old = grouped(bytes=number * 10**12, voice_secs=60, rows=31 - number, cdrs=10**9)
        new = grouped(bytes=10**13, sms=number, rows=30, cdrs=10**9)
        day = Partition(f"2021-04-{number:02d}")
        record.totals[day] = DayTotals(raw(rows=10**9), new, old, new)
    part = Part("Customer " * 9, usage(bytes=10**12), usage(bytes=10**13))
    on_a_day = replace(part, partition="2021-04-01")
    record.breakdown = {
        "customer": Breakdown([part, part], 12, part, [on_a_day] * 3),
        "late_calldate": Breakdown([part]),
    }
    path = tmp_path / "report.html"
    path.write_text(render_report(record, keep_days=7), encoding="utf-8")
    return path


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    return done.stdout


def answer(chromium: list[str], page: Path, width: int, script: str) -> str:
    """What ``script`` returns, of the page in a frame ``width`` pixels wide, which it has as ``page``."""
    # A window of Chromium has at least 500 pixels, a frame in it as many as it is told.
    screen = page.with_name("screen.html")
    screen.write_text(
        f"<script>function answer(page) {{ {script} }}</script>"
        f'<iframe width={width} height=800 style="border:0" srcdoc="{escape(page.read_text("utf-8"))}"'
        ' onload="document.title = answer(this.contentDocument)"></iframe>',
        encoding="utf-8",
    )
    dom = run(*chromium, "--hide-scrollbars", "--window-size=1400,900", "--dump-dom", screen.as_uri())
    found = re.search("<title>(.*?)</title>", dom, re.DOTALL)
    assert found is not None, dom
    return unescape(found.group(1))


LABELS_OVER_BARS = """
const bars = [...page.querySelectorAll("svg rect")].map(bar => bar.getBoundingClientRect());
const texts = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
let labels = 0;
const over = [];
while (texts.nextNode()) {
  const text = texts.currentNode;
  if (!text.data.trim() || text.parentElement.closest("svg")) continue;
  labels += 1;
  const range = page.createRange();
  range.selectNodeContents(text);
  const boxes = [...range.getClientRects()];
  if (boxes.some(a => bars.some(b => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)))
    over.push(text.data);
}
return JSON.stringify([bars.length, labels, over]);
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_no_wider_than_the_screen(chromium: list[str], page: Path, width: int) -> None:
    assert answer(chromium, page, width, "return page.documentElement.scrollWidth") == str(width)


@pytest.mark.parametrize("width", [1280, 390])
def test_no_label_lies_over_a_bar(chromium: list[str], page: Path, width: int) -> None:
    bars, labels, over = json.loads(answer(chromium, page, width, LABELS_OVER_BARS))
    assert bars > 100
    assert labels > 100
    assert over == []


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("which", ["report", "index"])
def test_axe_finds_no_fault_with_a_page(
    chromium: list[str], page: Path, axe: str, tmp_path: Path, which: str, scheme: str
) -> None:
    record = succeeded(error="an error")
    index = render_index("traffic_adhoc_aggr", [record], 1, {"usage_trend": ["2021-04"]})
    html = page.read_text("utf-8") if which == "report" else index
    ask = "axe.run(document).then(found => { document.title = JSON.stringify(found.violations.map(each => each.id)) })"
    checked = tmp_path / "checked.html"
    checked.write_text(html.replace("</body>", f"<script>{axe}</script><script>{ask}</script></body>"), "utf-8")
    preferred = f"--blink-settings=preferredColorScheme={SCHEMES.index(scheme)}"

    dom = run(*chromium, preferred, "--virtual-time-budget=60000", "--dump-dom", checked.as_uri())

    assert re.findall("<title>(.*?)</title>", dom)[0] == "[]"


def test_the_page_prints(chromium: list[str], page: Path, tmp_path: Path) -> None:
    run(*chromium, "--enable-logging=stderr", f"--print-to-pdf={tmp_path / 'report.pdf'}", page.as_uri())
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
