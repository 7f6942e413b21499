"""
The days to restate: one partition, upstream jobs' partition list, and command-line ranges.

The rules are in ``domain.md`` ("Partition list").
"""

from __future__ import annotations

import calendar
import codecs
import datetime
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from traffic_aggr.errors import PartitionListError
from traffic_aggr.text import shown
from traffic_aggr.units import counted, data_volume

PARTITION_COLUMN = "partition_date"
"""The partition column of the tables: a day, ``yyyy-MM-dd``."""

MAX_LINES = 1_000_000
MAX_BYTES = 64 * 1024 * 1024
MAX_VALUE_BYTES = 4096
MAX_DAYS_IN_RANGE = 100_000
NAMED_BAD_LINES = 20
KEPT_SKIPPED_LINES = 100

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COLUMN_PREFIX = f"{PARTITION_COLUMN}="
_BLANKS = " \t\r"
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


class Partition(str):
    """
    A day as the tables name it: ``yyyy-MM-dd``, a real calendar date in ASCII digits.

    Raises ``PartitionListError`` for any other text.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Partition:
        wrong = _wrong_with_day(text)
        if wrong:
            raise PartitionListError(f"'{shown(text)}' is {wrong}", hint="Write a day as 2021-04-01")
        return super().__new__(cls, text)

    @property
    def directory(self) -> str:
        """The name of its directory below a table's root."""
        return f"{_COLUMN_PREFIX}{self}"

    @property
    def day(self) -> datetime.date:
        """The day as a date."""
        return datetime.date.fromisoformat(self)


@dataclass(frozen=True)
class SkippedLine:
    """A log line that an upstream tool left in the list."""

    number: int
    text: str


@dataclass(frozen=True)
class PartitionList:
    """
    The days of a run in the order given, without repeats.

    ``skipped`` holds the first hundred WARN lines, and ``skipped_total`` counts all of them. ``repeated`` names each
    day that was listed more than once. ``source`` says where the list came from.
    """

    partitions: tuple[Partition, ...]
    skipped: tuple[SkippedLine, ...] = ()
    repeated: tuple[Partition, ...] = ()
    source: str = ""
    skipped_total: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the days joined by newlines: equal for lists that mean the same run."""
        return hashlib.sha256("\n".join(self.partitions).encode("ascii")).hexdigest()


def parse_partition_list(stream: BinaryIO, source: str) -> PartitionList:
    """
    Reads a list, which may be empty, in bounded memory whatever ``stream`` holds.

    Ignores a UTF-8 byte order mark at the start. Raises ``PartitionListError`` for bad lines, naming up to 20 with
    their numbers and counting the rest. Also raises it for more than ``MAX_LINES`` lines or ``MAX_BYTES`` bytes, and
    reads no further.
    """
    lines = _Lines(stream)
    days: list[Partition] = []
    skipped: list[SkippedLine] = []
    skipped_total = 0
    bad = _BadLines()
    for line in lines:
        if not line.is_utf8:
            bad.add(line, "not UTF-8")
        elif line.has_warning:
            skipped_total += 1
            if len(skipped) < KEPT_SKIPPED_LINES:
                skipped.append(SkippedLine(line.number, shown(line.text.strip(_BLANKS), 200)))
        elif line.text.strip(_BLANKS).startswith("#"):
            continue
        elif line.is_cut:
            bad.add(line, f"longer than {data_volume(MAX_VALUE_BYTES)}")
        else:
            value = line.text.strip(_BLANKS)
            if not value:
                continue
            value = value[len(_COLUMN_PREFIX) :] if value.startswith(_COLUMN_PREFIX) else value
            wrong = _wrong_with_day(value)
            if wrong:
                bad.add(line, wrong)
            else:
                days.append(Partition(value))
    if lines.stopped:
        raise PartitionListError(
            f"{source} is not a partition list: reading stopped after {lines.stopped}{bad.after_stop()}",
            hint="Give a list with one day per line, such as 2021-04-01",
        )
    if bad.total:
        raise PartitionListError(
            f"{source} has {counted(bad.total, 'bad line')}: {bad}",
            hint="Fix or remove them: each line is one day, such as 2021-04-01",
        )
    return _without_repeats(days, source, tuple(skipped), skipped_total)


def partitions_between(text: str) -> PartitionList:
    """
    The days of ``A..B``, both included, or the single day ``A``.

    Raises ``PartitionListError`` when an end is not a day, when B comes before A, or when the range has more than
    ``MAX_DAYS_IN_RANGE`` days.
    """
    source = f"--dates {shown(text)}"
    first_text, dots, last_text = text.partition("..")
    try:
        first = Partition(first_text.strip())
        last = Partition(last_text.strip()) if dots else first
    except PartitionListError as exc:
        raise PartitionListError(
            f"{source}: {exc.message}", hint="Write --dates 2021-04-01..2021-04-30, or a single day"
        ) from exc
    days = (last.day - first.day).days + 1
    if days < 1:
        raise PartitionListError(f"{source}: the last day comes before the first", hint=f"Write {last}..{first}")
    if days > MAX_DAYS_IN_RANGE:
        raise PartitionListError(
            f"{source}: {counted(days, 'day')} are more than {MAX_DAYS_IN_RANGE:,}", hint="Check the years"
        )
    return PartitionList(partitions=_days_from(first.day, days), source=source)


def partitions_of_month(text: str) -> PartitionList:
    """The days of a month given as ``YYYY-MM``. Raises ``PartitionListError`` for any other text."""
    source = f"--month {shown(text)}"
    month = text.strip()
    if _wrong_with_day(f"{month}-01"):
        raise PartitionListError(f"{source}: not a month", hint="Write --month 2021-04")
    first = Partition(f"{month}-01").day
    days = calendar.monthrange(first.year, first.month)[1]
    return PartitionList(partitions=_days_from(first, days), source=source)


def _wrong_with_day(text: str) -> str:
    """What is wrong with a day; empty if nothing is."""
    if not _DAY.fullmatch(text):
        return "not a day"
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return "not a real date"
    return ""


def _days_from(first: datetime.date, days: int) -> tuple[Partition, ...]:
    start = first.toordinal()
    return tuple(Partition(datetime.date.fromordinal(number).isoformat()) for number in range(start, start + days))


def _without_repeats(
    days: list[Partition], source: str, skipped: tuple[SkippedLine, ...], skipped_total: int
) -> PartitionList:
    seen: set[Partition] = set()
    repeated: dict[Partition, None] = {}
    for day in days:
        if day in seen:
            repeated[day] = None
        seen.add(day)
    return PartitionList(tuple(dict.fromkeys(days)), skipped, tuple(repeated), source, skipped_total)


@dataclass(frozen=True)
class _Line:
    """
    One line of the stream.

    ``text`` holds at most its first ``MAX_VALUE_BYTES`` bytes; the rest was only checked for UTF-8 and WARN.
    """

    number: int
    text: str
    is_utf8: bool
    has_warning: bool
    is_cut: bool


class _Lines:
    """
    The lines of a stream, holding at most ``MAX_VALUE_BYTES`` of one at a time.

    ``stopped`` names the limit at which reading stopped; it is empty if none was reached.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._bytes_read = 0
        self.stopped = ""

    def __iter__(self) -> Iterator[_Line]:
        number = 0
        while True:
            piece = self._piece()
            if not piece:
                return
            if number == MAX_LINES:
                self.stopped = counted(MAX_LINES, "line")
                return
            number += 1
            if number == 1 and piece.startswith(codecs.BOM_UTF8):
                piece = piece[len(codecs.BOM_UTF8) :]
            yield self._rest_of_line(number, piece)
            if self.stopped:
                return

    def _piece(self) -> bytes:
        if self._bytes_read >= MAX_BYTES:
            # One more byte tells a list of exactly this size from a longer one.
            self.stopped = data_volume(MAX_BYTES) if self._stream.read(1) else ""
            return b""
        piece = self._stream.readline(MAX_VALUE_BYTES)
        self._bytes_read += len(piece)
        return piece

    def _rest_of_line(self, number: int, head: bytes) -> _Line:
        # Bytes that are not UTF-8 become lone surrogates, which no valid UTF-8 decodes to.
        decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        text = ""
        tail = ""
        is_utf8 = True
        has_warning = False
        is_cut = False
        for index, piece in enumerate(self._pieces(head)):
            decoded = decoder.decode(piece, final=piece.endswith(b"\n"))
            is_utf8 = is_utf8 and not _NOT_UTF8.search(decoded)
            has_warning = has_warning or "WARN" in tail + decoded
            tail = decoded[-3:]
            is_cut = index > 0
            text = text if is_cut else decoded.rstrip("\n")
        unfinished_character = decoder.getstate()[0]
        is_utf8 = is_utf8 and not unfinished_character
        return _Line(number, text, is_utf8, has_warning, is_cut)

    def _pieces(self, head: bytes) -> Iterator[bytes]:
        piece = head
        while piece:
            yield piece
            piece = b"" if piece.endswith(b"\n") else self._piece()


class _BadLines:
    """Describes the first 20 bad lines and counts them all."""

    def __init__(self) -> None:
        self.total = 0
        self._named: list[str] = []

    def add(self, line: _Line, wrong: str) -> None:
        self.total += 1
        if len(self._named) < NAMED_BAD_LINES:
            text = line.text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            self._named.append(f"line {line.number} '{shown(text.strip(_BLANKS))}' is {wrong}")

    def __str__(self) -> str:
        more = self.total - len(self._named)
        return "; ".join(self._named) + (f"; and {more} more" if more else "")

    def after_stop(self) -> str:
        return f", with {counted(self.total, 'bad line')} until there: {self}" if self.total else ""
