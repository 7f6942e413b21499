"""
How the job's cost grows with rows, days and files.

    python -m bench.growth --write
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import data as bench_data
from bench.__main__ import PAGE, machine
from bench.contenders import CONTENDERS, environment
from bench.measure import CommandError, Cost, cost
from bench.page import write_block
from traffic_aggr.runrecord import RunRecord, seconds_between

ROWS, DAYS, FILES = 1_000_000, 10, 3
CASES = (
    (30_000, DAYS, FILES),
    (ROWS, DAYS, FILES),
    (10 * ROWS, DAYS, FILES),
    (ROWS, 10 * DAYS, FILES),
    (ROWS, 100 * DAYS, 1),
    (ROWS, DAYS, 1),
    (ROWS, DAYS, 200),
)
"""Rows in all, days, files a day."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.growth", description=__doc__.strip().splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"put the result into docs/{PAGE.name}")
    arguments = parser.parse_args()
    lines = [
        "| rows | days | files a day | seconds | before drop | drop | stage | load | CPU seconds | peak GB |",
        f"|{' --- |' * 10}",
    ]
    print("\n".join(lines), flush=True)
    for rows, days, files in CASES:
        try:
            lines.append(_line(rows, days, files))
        except CommandError as exc:
            print(f"bench: {exc}", file=sys.stderr)
            return 1
        print(lines[-1], flush=True)
    if arguments.write:
        write_block(PAGE, "growth", [*(f"- {fact}" for fact in machine()), "", *lines])
    return 0


def _line(rows: int, days: int, files: int) -> str:
    ours = next(each for each in CONTENDERS if each.name == "swap")
    data = bench_data.made(rows, days, files)
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        ours.prepare(home / "ours", data)
        found = cost(ours.command(home / "ours", data), home / "output.log", environment())
        if bench_data.totals(ours.result(home / "ours")) != bench_data.totals(data.final):
            raise CommandError("the totals are wrong")
        (record,) = (home / "ours" / "state" / "runs").glob("*/run.json")
        times = _times(RunRecord.from_json(record.read_text(), str(record)))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return _row(rows, days, files, found, times)


def _times(record: RunRecord) -> Sequence[float]:
    """Seconds before drop, and of each step."""
    steps = [seconds_between(step.started, step.ended or step.started) for step in record.steps]
    return [seconds_between(record.started, record.steps[0].started), *steps]


def _row(rows: int, days: int, files: int, found: Cost, times: Sequence[float]) -> str:
    cells = [f"{rows:,}", f"{days:,}", str(files), f"{found.wall:.1f}", *(f"{each:.1f}" for each in times)]
    return f"| {' | '.join([*cells, f'{found.cpu:.0f}', f'{found.memory / 1024**3:.1f}'])} |"


if __name__ == "__main__":
    sys.exit(main())
