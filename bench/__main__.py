"""
Times the job and its peers, in turns, as whole processes. ``--write`` puts the results into ``docs/performance.md``.

    python -m bench --rows 10000000 --days 10 --rounds 3 --write peers
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from bench import data as bench_data
from bench.contenders import CONTENDERS, ROOT, Contender, environment
from bench.data import Data
from bench.measure import CommandError, Cost, cost
from bench.page import Line, picture, table, write_block
from bench.warehouse import HEAP
from traffic_aggr.units import counted

NAMES = [contender.name for contender in CONTENDERS]
PAGE = ROOT / "docs" / "performance.md"
BLOCKS = ("peers", "month")


def main() -> int:
    arguments = _arguments()
    contenders = [each for each in CONTENDERS if each.name in arguments.only]
    rounds, copies = counted(arguments.rounds, "round"), arguments.copies
    sizes = f"{counted(arguments.rows * copies, 'row')} in {counted(arguments.days * copies, 'day')}"
    print(f"{sizes}, {rounds}", flush=True)
    data = bench_data.made(arguments.rows, arguments.days, arguments.files_per_day)
    if copies > 1:
        data = bench_data.copied(data, copies)
    right = bench_data.totals(data.final)
    home = Path(tempfile.mkdtemp(prefix="bench-", dir=arguments.home))
    lines: list[Line] = []
    load = os.getloadavg()[0]
    try:
        for each in contenders:
            each.prepare(home / each.name, data)
        costs: dict[str, list[Cost]] = {each.name: [] for each in contenders}
        for number in range(1, arguments.rounds + 1):
            for each in contenders:
                found = timed(each, home / each.name, data, right)
                costs[each.name].append(found)
                print(
                    f"round {number}  {each.title:38}{found.wall:8.1f} s {found.cpu:8.1f} CPU s"
                    f" {found.memory / 1024**3:6.2f} GiB",
                    flush=True,
                )
            lines = [_line(each, costs[each.name]) for each in contenders]
            if arguments.write:  # after each round, so that a benchmark that is ended keeps those before
                _write(arguments.write, lines, [*_facts(data, load, number, contenders), *machine()], data.rows)
    except CommandError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print()
    print("\n".join(table(lines, data.rows)))
    if arguments.write:
        print(f"\nwrote {PAGE.relative_to(ROOT)}")
    return 0


def _write(block: str, lines: Sequence[Line], facts: Sequence[str], cdrs: int) -> None:
    words = ", ".join(f"{line.title} {line.wall:.0f} s" for line in lines)
    file = PAGE.with_name(f"{PAGE.stem}-{block}.svg")
    shown = ["", *table(lines, cdrs), "", f"![{words}]({file.name})"]
    write_block(PAGE, block, [*(f"- {fact}" for fact in facts), *shown])
    file.write_text(picture(lines), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Times the job and its peers on the same data.")
    parser.add_argument("--rows", type=int, default=3_000_000, help="raw rows in all (default 3 million)")
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--files-per-day", type=int, default=3)
    parser.add_argument("--copies", type=int, default=1, help="how often these days follow each other, all in all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--home", default=tempfile.gettempdir(), help="where their tables lie meanwhile")
    parser.add_argument("--write", choices=BLOCKS, help=f"the table in docs/{PAGE.name} that gets the result")
    return parser.parse_args()


def timed(contender: Contender, home: Path, data: Data, right: str) -> Cost:
    """Runs a contender once. Raises CommandError when it fails or its rows are wrong."""
    found = cost(contender.command(home, data), home / "output.log", environment())
    refuse_wrong_totals(contender, home, right)
    return found


def refuse_wrong_totals(contender: Contender, home: Path, right: str) -> None:
    """Raises CommandError when the rows that a contender has left are wrong."""
    if bench_data.totals(contender.result(home)) != right:
        raise CommandError(f"the totals of {contender.title} are not those of the others")


def _line(contender: Contender, costs: Sequence[Cost]) -> Line:
    return Line(
        contender.title,
        statistics.median(each.wall for each in costs),
        min(each.wall for each in costs),
        max(each.wall for each in costs),
        statistics.median(each.cpu for each in costs),
        max(each.memory for each in costs),
    )


def _facts(data: Data, load: float, rounds: int, contenders: Sequence[Contender]) -> list[str]:
    size = f"{data.bytes_of_raw() / 1024**3:.1f} GiB of Parquet"
    pins = [(ROOT / name).read_text() for name in ("constraints-spark4.txt", "bench/requirements.txt")]
    packages = "|".join(name for each in contenders for name in each.packages)
    peers = [found for pin in pins for found in re.findall(rf"^((?:{packages})==\S+)", pin, re.MULTILINE)]
    return [
        f"{counted(data.rows, 'CDR')} in {counted(data.days, 'day')}, {size}; "
        + (f"medians of {rounds} rounds, in turns" if rounds > 1 else "one round"),
        f"load of the machine before them: {load:.1f}; driver's heap {HEAP}",
        *([f"peers: {', '.join(peers).replace('==', ' ')}"] if packages else []),
    ]


def machine() -> list[str]:
    """Returns a line on the machine and the versions of the software."""
    described = [line.partition(": ") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    model = next((value for key, _, value in described if key.startswith("model name")), platform.machine())
    return [f"{os.cpu_count()} cores ({model}); Python {platform.python_version()}, pyspark {version('pyspark')}"]


if __name__ == "__main__":
    sys.exit(main())
