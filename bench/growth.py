"""
Measures how the job's cost grows with rows, days and files.

    python -m bench.growth --write
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import data as bench_data
from bench.__main__ import PAGE, machine, timed
from bench.contenders import CONTENDERS
from bench.data import Data
from bench.measure import CommandError, Cost
from bench.page import write_block
from traffic_aggr.run.record import RunRecord, seconds_between
from traffic_aggr.run.record_json import record_from_json
from traffic_aggr.traffic.job import TRAFFIC

ROWS, DAYS, FILES = 1_000_000, 10, 3
CASES = (
    (30_000, DAYS, FILES, 0),
    (30_000, DAYS, FILES, 10_000),
    (ROWS, DAYS, FILES, 0),
    (10 * ROWS, DAYS, FILES, 0),
    (ROWS, 10 * DAYS, FILES, 0),
    (ROWS, 100 * DAYS, 1, 0),
    (ROWS, DAYS, 1, 0),
    (ROWS, DAYS, 200, 0),
)
"""Rows in all, days, files per day, other partitions of raw and of the final table."""

HEADS = (
    "rows",
    "days",
    "files a day",
    "other partitions",
    "seconds",
    "before stage",
    "stage",
    "load",
    "CPU seconds",
    "peak GiB",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.growth", description=__doc__.strip().splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"put the result into docs/{PAGE.name}")
    arguments = parser.parse_args()
    lines = [f"| {' | '.join(HEADS)} |", f"|{' --- |' * len(HEADS)}"]
    print("\n".join(lines), flush=True)
    for rows, days, files, others in CASES:
        try:
            lines.append(_line(bench_data.made(rows, days, files), others))
        except CommandError as exc:
            print(f"bench: {exc}", file=sys.stderr)
            return 1
        print(lines[-1], flush=True)
    if arguments.write:
        write_block(PAGE, "growth", [*(f"- {fact}" for fact in machine()), "", *lines])
    return 0


def _line(data: Data, others: int) -> str:
    ours = next(each for each in CONTENDERS if each.name == "swap")
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        home = Path(directory, ours.name)
        ours.prepare(home, data, others)
        found = timed(ours, home, data, bench_data.totals(data.final))
        (path,) = (home / "state" / "runs").glob("*/run.json")
        record = record_from_json(path.read_text(), str(path), TRAFFIC)
    return row(data, others, found, record)


def row(data: Data, others: int, found: Cost, record: RunRecord) -> str:
    """Returns a line of the table with the cells of ``HEADS``. A run in ``swap`` mode has the steps stage and load."""
    steps = [seconds_between(step.started, step.ended or step.started) for step in record.steps]
    times = [found.wall, seconds_between(record.started, record.steps[0].started), *steps, found.cpu]
    sizes = [f"{size:,}" for size in (data.rows, data.days, data.files_per_day, others)]
    cells = [*sizes, *(f"{time:.1f}" for time in times), f"{found.memory / 1024**3:.1f}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
