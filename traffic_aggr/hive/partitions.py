"""
The days or months to restate: one partition, upstream jobs' partition list, and command-line ranges.

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

MAX_LINES = 1_000_000
MAX_BYTES = 64 * 1024 * 1024
MAX_VALUE_BYTES = 4096
MAX_DAYS_IN_RANGE = 100_000
NAMED_BAD_LINES = 20
KEPT_SKIPPED_LINES = 100

_LENGTHS = {"day": len("yyyy-MM-dd"), "month": len("yyyy-MM")}
_EXAMPLES = {"day": "2021-04-01", "month": "2021-04"}
_FORMS = {length: unit for unit, length in _LENGTHS.items()}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BLANKS = " \t\r"
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


class Partition(str):
    """
    A day, ``yyyy-MM-dd``, or a month, ``yyyy-MM``, as the tables name it: real and in ASCII digits.

    ``column`` is the partition column. Raises ``PartitionListError`` for any other text.
    """

    __slots__ = ("column",)
    column: str

    def __new__(cls, text: str, column: str = "partition_date") -> Partition:
        _refuse_other_than(_FORMS.get(len(text), "day"), text)
        made = super().__new__(cls, text)
        made.column = column
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # for copies
        return str(self), self.column

    @property
    def directory(self) -> str:
        """The name of its directory below a table's root."""
        return f"{self.column}={self}"

    @property
    def days(self) -> tuple[datetime.date, datetime.date]:
        """Its first day and its last."""
        if len(self) == _LENGTHS["day"]:
            day = datetime.date.fromisoformat(self)
            return day, day
        first = datetime.date.fromisoformat(f"{self}-01")
        return first, first.replace(day=calendar.monthrange(first.year, first.month)[1])


@dataclass(frozen=True)
class PartitionColumn:
    """The one column by which a table is partitioned, and the ``unit`` of its values: ``day`` or ``month``."""

    name: str
    unit: str = "day"

    def __post_init__(self) -> None:
        if self.unit not in _LENGTHS:
            raise ValueError(f"{self.unit} is no unit of partitions: use {' or '.join(_LENGTHS)}")

    @property
    def length(self) -> int:
        """The characters of a value."""
        return _LENGTHS[self.unit]

    @property
    def title(self) -> str:
        """The unit as the head of a column."""
        return self.unit.capitalize()

    @property
    def example(self) -> str:
        """A value, for hints."""
        return _EXAMPLES[self.unit]

    def partition(self, text: str) -> Partition:
        """The partition of that name. Raises ``PartitionListError`` when it is not of this unit."""
        _refuse_other_than(self.unit, text)
        return Partition(text, self.name)

    def around(self, finer: str) -> Partition:
        """The partition that a day or month lies in: a month's, or the same."""
        return self.partition(finer[: self.length])

    def counted(self, number: int) -> str:
        """``3 days``, ``1 month``."""
        return counted(number, self.unit)


PARTITION_DATE = PartitionColumn("partition_date")
"""The partition column of the old job's tables."""


@dataclass(frozen=True)
class SkippedLine:
    """A log line that an upstream tool left in the list."""

    number: int
    text: str


@dataclass(frozen=True)
class PartitionList:
    """
    The days or months of a run in the order given, without repeats.

    ``skipped`` holds the first hundred WARN lines, and ``skipped_total`` counts all of them. ``repeated`` names each
    partition that was listed more than once. ``source`` says where the list came from.
    """

    partitions: tuple[Partition, ...]
    skipped: tuple[SkippedLine, ...] = ()
    repeated: tuple[Partition, ...] = ()
    source: str = ""
    skipped_total: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the partitions joined by newlines: equal for lists that mean the same run."""
        return hashlib.sha256("\n".join(self.partitions).encode("ascii")).hexdigest()


def parse_partition_list(stream: BinaryIO, source: str, column: PartitionColumn = PARTITION_DATE) -> PartitionList:
    """
    Reads a list of ``column``'s values, which may be empty, in bounded memory whatever ``stream`` holds.

    Ignores a UTF-8 byte order mark at the start. Raises ``PartitionListError`` for bad lines, naming up to 20 with
    their numbers and counting the rest. Also raises it for more than ``MAX_LINES`` lines or ``MAX_BYTES`` bytes, and
    reads no further.
    """
    lines = _Lines(stream)
    prefix = f"{column.name}="
    listed: list[Partition] = []
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
            value = value[len(prefix) :] if value.startswith(prefix) else value
            wrong = _wrong_with(value, column.unit)
            if wrong:
                bad.add(line, wrong)
            else:
                listed.append(column.partition(value))
    if lines.stopped:
        raise PartitionListError(
            f"{source} is not a partition list: reading stopped after {lines.stopped}{bad.after_stop()}",
            hint=f"Give a list with one {column.unit} per line, such as {column.example}",
        )
    if bad.total:
        raise PartitionListError(
            f"{source} has {counted(bad.total, 'bad line')}: {bad}",
            hint=f"Fix or remove them: each line is one {column.unit}, such as {column.example}",
        )
    return _without_repeats(listed, source, tuple(skipped), skipped_total)


def partitions_between(text: str, column: PartitionColumn = PARTITION_DATE) -> PartitionList:
    """
    The days of ``A..B``, both included, or the single day ``A``; with a ``column`` of months, those that they touch.

    Raises ``PartitionListError`` when an end is not a day, when B comes before A, or when the range has more than
    ``MAX_DAYS_IN_RANGE`` days.
    """
    source = f"--dates {shown(text)}"
    first_text, dots, last_text = text.partition("..")
    try:
        first = PARTITION_DATE.partition(first_text.strip())
        last = PARTITION_DATE.partition(last_text.strip()) if dots else first
    except PartitionListError as exc:
        raise PartitionListError(
            f"{source}: {exc.message}", hint="Write --dates 2021-04-01..2021-04-30, or a single day"
        ) from exc
    days = (last.days[1] - first.days[0]).days + 1
    if days < 1:
        raise PartitionListError(f"{source}: the last day comes before the first", hint=f"Write {last}..{first}")
    if days > MAX_DAYS_IN_RANGE:
        raise PartitionListError(
            f"{source}: {counted(days, 'day')} are more than {MAX_DAYS_IN_RANGE:,}", hint="Check the years"
        )
    return PartitionList(partitions=_around_days(first.days[0], days, column), source=source)


def partitions_of_month(text: str, column: PartitionColumn = PARTITION_DATE) -> PartitionList:
    """
    The days of a month given as ``YYYY-MM``; with a ``column`` of months, that month.

    Raises ``PartitionListError`` for any other text.
    """
    source = f"--month {shown(text)}"
    month = text.strip()
    if _wrong_with(month, "month"):
        raise PartitionListError(f"{source}: not a month", hint="Write --month 2021-04")
    first, last = Partition(month).days
    return PartitionList(partitions=_around_days(first, (last - first).days + 1, column), source=source)


def _refuse_other_than(unit: str, text: str) -> None:
    wrong = _wrong_with(text, unit)
    if wrong:
        hint = f"Write a {unit} as {_EXAMPLES[unit]}"
        raise PartitionListError(f"'{shown(text)}' is {wrong}", hint=hint)


def _wrong_with(text: str, unit: str) -> str:
    """What is wrong with a day or month; empty if nothing is."""
    day = text if unit == "day" else f"{text}-01"
    if not _DATE.fullmatch(day):
        return f"not a {unit}"
    try:
        datetime.date.fromisoformat(day)
    except ValueError:
        return "not a real date" if unit == "day" else "not a real month"
    return ""


def _around_days(first: datetime.date, days: int, column: PartitionColumn) -> tuple[Partition, ...]:
    start = first.toordinal()
    each = (datetime.date.fromordinal(number).isoformat() for number in range(start, start + days))
    return tuple(dict.fromkeys(column.around(day) for day in each))


def _without_repeats(
    listed: list[Partition], source: str, skipped: tuple[SkippedLine, ...], skipped_total: int
) -> PartitionList:
    seen: set[Partition] = set()
    repeated: dict[Partition, None] = {}
    for partition in listed:
        if partition in seen:
            repeated[partition] = None
        seen.add(partition)
    return PartitionList(tuple(dict.fromkeys(listed)), skipped, tuple(repeated), source, skipped_total)


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
