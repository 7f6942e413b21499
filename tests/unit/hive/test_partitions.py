from __future__ import annotations

import copy
import datetime
import hashlib
import io
import pickle
import tracemalloc

import pytest

from traffic_aggr.errors import PartitionListError
from traffic_aggr.hive import partitions
from traffic_aggr.hive.partitions import (
    PARTITION_DATE,
    Partition,
    PartitionColumn,
    SkippedLine,
    parse_partition_list,
    partitions_between,
    partitions_of_month,
)

MONTH = PartitionColumn("month", "month")


def parse(content: bytes):
    return parse_partition_list(io.BytesIO(content), "days.txt")


def problems_of(content: bytes) -> str:
    with pytest.raises(PartitionListError) as caught:
        parse(content)
    assert caught.value.exit_code == 2
    return str(caught.value)


class Endless(io.RawIOBase):
    """A stream that never ends, made of one piece over and over; counts what was taken from it."""

    def __init__(self, piece: bytes) -> None:
        self.piece = piece
        self.taken = 0

    def readline(self, size: int = -1) -> bytes:
        assert 0 < size <= 65536, "an unbounded read"
        self.taken += len(self.piece)
        return self.piece[:size]

    def read(self, size: int = -1) -> bytes:
        assert 0 < size <= 65536, "an unbounded read"
        return self.piece[:size]


def test_a_partition_knows_its_directory_and_its_day():
    day = Partition("2021-04-01")
    assert day == "2021-04-01"
    assert day.directory == "partition_date=2021-04-01"
    assert day.days == (datetime.date(2021, 4, 1), datetime.date(2021, 4, 1))


@pytest.mark.parametrize("column", [PARTITION_DATE, MONTH], ids=["day", "month"])
def test_a_partition_survives_copying(column):
    partition = column.partition(column.example)
    for copied in (pickle.loads(pickle.dumps(partition)), copy.deepcopy(partition)):
        assert (copied, copied.directory) == (partition, partition.directory)


def test_a_month_knows_its_directory_and_its_days():
    month = MONTH.partition("2024-02")
    assert month.directory == "month=2024-02"
    assert month.days == (datetime.date(2024, 2, 1), datetime.date(2024, 2, 29))


@pytest.mark.parametrize("text", ["2021-04-01", "2021-13", "2021-00", "2021-4", "0000-01", "April", ""])
def test_other_texts_are_no_month(text):
    with pytest.raises(PartitionListError, match="Write a month as 2021-04"):
        MONTH.partition(text)


def test_a_day_is_no_partition_by_month_and_a_month_none_by_day():
    with pytest.raises(PartitionListError, match="Write a day as 2021-04-01"):
        PARTITION_DATE.partition("2021-04")


@pytest.mark.parametrize(("column", "around"), [(PARTITION_DATE, "2021-04-30"), (MONTH, "2021-04")])
def test_a_day_lies_in_one_partition(column, around):
    assert column.around("2021-04-30") == around


def test_a_list_of_months_is_read_as_one_of_days():
    found = parse_partition_list(io.BytesIO(b"month=2021-05\n\n# late\n2021-04\n2021-05\n"), "list", MONTH)
    assert found.partitions == ("2021-05", "2021-04")
    assert found.repeated == ("2021-05",)
    with pytest.raises(PartitionListError, match="each line is one month, such as 2021-04"):
        parse_partition_list(io.BytesIO(b"2021-04-01\n"), "list", MONTH)


def test_dates_and_month_choose_the_months_that_they_touch():
    assert partitions_between("2021-04-30..2021-06-01", MONTH).partitions == ("2021-04", "2021-05", "2021-06")
    assert partitions_of_month("2021-04", MONTH).partitions == ("2021-04",)


def test_partitions_are_counted_by_their_unit():
    assert (PARTITION_DATE.counted(2), MONTH.counted(1), MONTH.title) == ("2 days", "1 month", "Month")
    with pytest.raises(ValueError, match="week is no unit"):
        PartitionColumn("week", "week")


NOT_DAYS = [
    pytest.param("", id="nothing"),
    pytest.param("2021-4-1", id="one digit"),
    pytest.param("20210401", id="no dashes"),
    pytest.param("01-04-2021", id="another order"),
    pytest.param("2021-02-29", id="no leap year"),
    pytest.param("2021-04-31", id="no such day"),
    pytest.param("0000-01-01", id="year zero"),
    pytest.param("2021-04-01T00:00", id="with a time"),
    pytest.param("2021-04-01 2021-04-02", id="two on a line"),
    pytest.param("٢٠٢١-٠٤-٠١", id="digits of another script"),
    pytest.param("2021-04-01' OR '1'='1", id="SQL"),
    pytest.param("partition_date=", id="prefix alone"),
    pytest.param("partition_date=partition_date=2021-04-01", id="prefix twice"),
    pytest.param("Partition_Date=2021-04-01", id="prefix in capitals"),
    pytest.param("2021-04-01 # first", id="comment behind it"),
    pytest.param("2021-04-01\u00a0", id="blank that is no blank"),
    pytest.param("2021-04-01\x00", id="NUL"),
    pytest.param("2021-04-01\r2021-04-02", id="carriage return inside"),
]


@pytest.mark.parametrize("text", NOT_DAYS)
def test_other_texts_are_no_partition(text):
    with pytest.raises(PartitionListError):
        Partition(text)


@pytest.mark.parametrize("text", [case for case in NOT_DAYS if case.values[0]])
def test_a_list_with_another_line_is_refused_with_its_number(text):
    assert "line 2 " in problems_of(f"2021-04-01\n{text}\n2021-04-03\n".encode())


def test_the_days_keep_their_order():
    assert parse(b"2021-04-03\n2021-04-01\n2021-04-02").partitions == ("2021-04-03", "2021-04-01", "2021-04-02")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"2021-04-01", id="no newline at the end"),
        pytest.param(b"2021-04-01\r\n", id="Windows line end"),
        pytest.param(b" \t2021-04-01 \t\n", id="blanks around"),
        pytest.param(b"partition_date=2021-04-01\n", id="named as a directory"),
        pytest.param(b"\n \n\r\n2021-04-01\n\n", id="blank lines"),
        pytest.param("# für April\n  # more\n2021-04-01\n".encode(), id="comments"),
        pytest.param(b"\xef\xbb\xbf2021-04-01\n", id="byte order mark"),
        pytest.param(b"#" + b"x" * 10_000 + b"\n2021-04-01\n", id="long comment"),
    ],
)
def test_a_day_is_found_in(line):
    assert parse(line).partitions == ("2021-04-01",)


def test_repeats_are_dropped_and_named_once():
    found = parse(b"2021-04-02\n2021-04-01\n2021-04-02\npartition_date=2021-04-02\n")
    assert found.partitions == ("2021-04-02", "2021-04-01")
    assert found.repeated == ("2021-04-02",)


def test_lines_with_WARN_are_skipped_and_kept_for_the_report():  # noqa: N802
    found = parse(b"2021-04-01\n21/04/01 WARN NativeCodeLoader: \x1b[31mno\r\n2021-04-02\n")
    assert found.partitions == ("2021-04-01", "2021-04-02")
    assert found.skipped == (SkippedLine(2, "21/04/01 WARN NativeCodeLoader: \\x1b[31mno"),)
    assert found.skipped_total == 1


def test_a_skipped_line_is_cut_to_200_characters():
    assert len(parse(b"WARN " + b"x" * 500).skipped[0].text) == 200


@pytest.mark.parametrize("at", [4090, 4093, 4094, 4095, 4096, 9000])
def test_WARN_is_found_wherever_it_stands_in_a_long_line(at):  # noqa: N802
    assert parse(b"x" * at + b"WARN" + b"y" * 9000 + b"\n2021-04-01\n").partitions == ("2021-04-01",)


def test_a_character_across_two_pieces_of_a_long_line_is_utf8():
    assert parse(b"# " + b"x" * 4093 + "é".encode() + b"\n2021-04-01\n").partitions == ("2021-04-01",)


def test_of_many_skipped_lines_a_hundred_are_kept_and_all_counted():
    found = parse(b"WARN\n" * 500)
    assert len(found.skipped) == 100
    assert found.skipped_total == 500


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xff\n", id="a wrong byte"),
        pytest.param(b"WARN \xff\n", id="in a WARN line"),
        pytest.param(b"# \xff\n", id="in a comment"),
        pytest.param(b"\xc3", id="half a character at the end"),
        pytest.param(b"# " + b"x" * 9000 + b"\xff\n", id="far into a line"),
        pytest.param("2021-04-01\n".encode("utf-16"), id="UTF-16"),
    ],
)
def test_bytes_that_are_not_utf8_are_a_bad_line(content):
    assert "line 1 " in problems_of(content)


def test_twenty_bad_lines_are_named_and_the_rest_counted():
    message = problems_of(b"bad\n" * 57)
    assert "57 bad lines" in message
    assert message.count("line ") == 21  # twenty, and "each line is one day" in the hint
    assert "line 20 " in message
    assert "and 37 more" in message


def test_a_bad_line_is_shown_on_one_short_line():
    message = problems_of(b"\x1b[2Jdrop table\x85\xe2\x80\xa8" + b"x" * 5000)
    assert message.isprintable()
    assert len(message) < 400


def test_an_empty_list_is_no_error():
    assert parse(b"# nothing today\n\n").partitions == ()


@pytest.mark.parametrize("piece", [b"x" * 4096, b"2021-04-01\n", b"#\n", b"\0" * 4096, b"WARN \n"])
def test_an_endless_list_is_refused_in_bounded_memory(piece, monkeypatch):
    monkeypatch.setattr(partitions, "MAX_LINES", 5_000)
    monkeypatch.setattr(partitions, "MAX_BYTES", 1024 * 1024)
    stream = Endless(piece)
    tracemalloc.start()
    try:
        with pytest.raises(PartitionListError, match="reading stopped after"):
            parse_partition_list(stream, "days.txt")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert stream.taken <= 2 * 1024 * 1024
    assert peak < 1024 * 1024


def test_a_list_of_exactly_the_bound_is_read(monkeypatch):
    content = b"2021-04-01\n2021-04-02\n"
    monkeypatch.setattr(partitions, "MAX_BYTES", len(content))
    monkeypatch.setattr(partitions, "MAX_LINES", 2)
    assert len(parse(content).partitions) == 2


def test_the_digest_is_of_the_days_alone():
    expected = hashlib.sha256(b"2021-04-01\n2021-04-02").hexdigest()
    assert parse(b"# x\n2021-04-01\nWARN\n partition_date=2021-04-02\n").digest == expected
    assert partitions_between("2021-04-01..2021-04-02").digest == expected
    assert parse(b"2021-04-02\n2021-04-01\n").digest != expected


def test_the_source_is_named_in_errors():
    assert problems_of(b"x").startswith("days.txt ")


def test_a_range_includes_both_ends():
    found = partitions_between("2021-02-27..2021-03-02")
    assert found.partitions == ("2021-02-27", "2021-02-28", "2021-03-01", "2021-03-02")


def test_a_single_day_is_a_range():
    assert partitions_between("2021-04-01").partitions == ("2021-04-01",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "2021-04-01..",
        "..2021-04-01",
        "2021-04-02..2021-04-01",
        "2021-04-01...2021-04-02",
        "0001-01-01..9999-12-31",
    ],
)
def test_other_ranges_are_refused(text):
    with pytest.raises(PartitionListError, match="--dates"):
        partitions_between(text)


@pytest.mark.parametrize(
    ("month", "last"), [("2021-04", "2021-04-30"), ("2024-02", "2024-02-29"), ("1900-02", "1900-02-28")]
)
def test_a_month_has_all_its_days(month, last):
    found = partitions_of_month(month).partitions
    assert (found[0], found[-1], len(found)) == (f"{month}-01", last, int(last[-2:]))


@pytest.mark.parametrize("text", ["", "2021", "2021-13", "2021-00", "2021-4", "April", "2021-04-01"])
def test_other_months_are_refused(text):
    with pytest.raises(PartitionListError, match="--month"):
        partitions_of_month(text)


def test_a_list_as_upstream_writes_it_is_read():
    found = parse(
        b"2021-04-01\n2021-04-02\r\n\n# re-sent by mediation on the 3rd\npartition_date=2021-04-03\n"
        b"26/11/23 02:00:01 WARN util.NativeCodeLoader: Unable to load native-hadoop library\n"
        b"2021-04-02\n  2021-04-04  \n2021-04-05"
    )
    assert found.partitions == tuple(f"2021-04-0{day}" for day in range(1, 6))
    assert [line.number for line in found.skipped] == [6]
    assert found.repeated == ("2021-04-02",)
