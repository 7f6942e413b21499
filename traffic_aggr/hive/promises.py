"""
What a table promises its readers, and whether the job keeps it: one function per rule.

Hive, Impala and Spark must all read from a written table what the job wrote. Spark must read from a source table what
Hive and Impala read there. The job refuses a table whose promises it does not keep before it touches anything;
docs/operations.md ("What a table may promise") lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from traffic_aggr.errors import GuardError
from traffic_aggr.hive.catalog import TableFacts
from traffic_aggr.hive.layout import PARQUET_SERDE, TEXT_SERDE, RowFormat, delimiter
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.schema import Column, declared_length


@dataclass(frozen=True)
class Problem:
    """A promise that the job does not keep: ``what`` is wrong, and the operator's ``remedy``."""

    what: str
    remedy: str


Rule = Callable[[TableFacts], Optional[Problem]]

_HIVE = "org.apache.hadoop.hive."
_TEXT_INPUT = "org.apache.hadoop.mapred.TextInputFormat"
_SEQUENCE_INPUT = "org.apache.hadoop.mapred.SequenceFileInputFormat"
_PARQUET = (PARQUET_SERDE, f"{_HIVE}ql.io.parquet.MapredParquetInputFormat")
_ORC = (f"{_HIVE}ql.io.orc.OrcSerde", f"{_HIVE}ql.io.orc.OrcInputFormat")
_WRITTEN_FORMATS = (
    _PARQUET,
    _ORC,
    (TEXT_SERDE, _TEXT_INPUT),
    (TEXT_SERDE, _SEQUENCE_INPUT),
    (f"{_HIVE}serde2.avro.AvroSerDe", f"{_HIVE}ql.io.avro.AvroContainerInputFormat"),
    (f"{_HIVE}serde2.columnar.LazyBinaryColumnarSerDe", f"{_HIVE}ql.io.RCFileInputFormat"),
)
"""Serde and input format: Hudi tables have Parquet's serde, but an input format that hides some of their files."""

_READ_FORMATS = (
    *_WRITTEN_FORMATS,
    (f"{_HIVE}serde2.columnar.ColumnarSerDe", f"{_HIVE}ql.io.RCFileInputFormat"),
    (f"{_HIVE}serde2.OpenCSVSerde", _TEXT_INPUT),
    (f"{_HIVE}serde2.RegexSerDe", _TEXT_INPUT),
)
_WRITTEN_PROVIDERS = ("hive", "parquet")
_READ_PROVIDERS = ("hive", "parquet", "orc")
_CODECS = ("uncompressed", "none", "snappy", "gzip", "lz4", "zstd")
_ENCRYPTION = ("parquet.encryption.", "orc.encrypt", "orc.mask")
_TEXT_KEYS = ("field.delim", "serialization.format", "escape.delim", "serialization.escape.crlf", "line.delim")
_NULL_MARKER, _DEFAULT_NULL_MARKER = "serialization.null.format", r"\N"
_LINE_ENDS = ("\n", r"\n", "10")
_READING_OPTIONS = (
    "basepath",
    "datetimerebasemode",
    "ignorecorruptfiles",
    "ignoremissingfiles",
    "int96rebasemode",
    "modifiedafter",
    "modifiedbefore",
    "pathglobfilter",
    "recursivefilelookup",
    "timezone",
)
_IN_NUMBERS = "0123456789-."


def kind_problem(facts: TableFacts, *, written: bool) -> Optional[Problem]:
    """Why the job cannot read a table of this kind, or write it if ``written``; None if it can."""
    found = next(_found(_KINDS, facts), None)
    if found is not None:
        return found
    if written and facts.provider not in _WRITTEN_PROVIDERS:
        return Problem(f"it is not a plain Hive table but {facts.provider}", _NOT_THIS_JOBS)
    known = _WRITTEN_FORMATS if written else _READ_FORMATS
    if facts.provider == "hive" and (facts.row_format.serde, facts.row_format.input_format) not in known:
        doing = "write" if written else "read"
        return Problem(f"the job does not {doing} its format ({_short(facts.row_format)})", _OTHER_FORMAT)
    return None


def table_problems(facts: TableFacts, columns: Sequence[Column], *, written: bool) -> list[Problem]:
    """
    Promises of a table of a known kind that the job does not keep.

    ``columns`` are those that the job reads or writes; ``written`` tells which of both.
    """
    found = [*_found((*_RULES, *(_RULES_OF_WRITTEN if written else _RULES_OF_READ)), facts)]
    of_columns = _short_days(facts, columns) if written else _defaults(facts, columns)
    return [*found, *([of_columns] if of_columns else [])]


def partition_problems(facts: TableFacts, partitions: Mapping[Partition, RowFormat]) -> list[Problem]:
    """
    Promises of single partitions that the job does not keep.

    Each row format includes the partition's parameters.
    """
    found = []
    for partition, own in partitions.items():
        problem = _skips_lines(own.serde_properties) or _ends_lines_otherwise(own)
        if problem is None and facts.provider == "hive" and _read_as_one(facts) and own.serde != facts.row_format.serde:
            problem = Problem(
                f"it is stored as {_short(own)}, but Spark reads every partition in the table's format",
                "Rewrite that partition in the table's format",
            )
        if problem is not None:
            found.append(Problem(f"partition {partition}: {problem.what}", problem.remedy))
    return found


def refusal(facts: TableFacts, problems: Sequence[Problem], *, written: bool) -> GuardError:
    """The error, in one line, that refuses the table because of ``problems``."""
    what = ", and ".join(problem.what for problem in problems)
    return GuardError(
        f"{facts.name} {'cannot be restated' if written else 'cannot be read exactly'}: {what}",
        hint=". ".join(dict.fromkeys(problem.remedy for problem in problems)),
    )


def _found(rules: tuple[Rule, ...], facts: TableFacts) -> Iterator[Problem]:
    return (problem for problem in (rule(facts) for rule in rules) if problem is not None)


# ---- kinds of tables

_NOT_THIS_JOBS = "Name a plain Hive table under tables: in the config"
_OTHER_FORMAT = "Copy it into a Parquet or text table, and name that one under tables: in the config"


def _view(facts: TableFacts) -> Optional[Problem]:
    """A view's rows cannot be compared with files, and a materialized view must not be written."""
    return Problem(f"it is a {facts.kind.lower()}", _NOT_THIS_JOBS) if "VIEW" in facts.kind else None


def _acid(facts: TableFacts) -> Optional[Problem]:
    if facts.properties.get("transactional", "").lower() != "true":
        return None
    return Problem("it is an ACID table", _NOT_THIS_JOBS)


def _not_plain(facts: TableFacts) -> Optional[Problem]:
    """Tables whose rows are not simply those in the files of their directories."""
    made_by = facts.properties.get("storage_handler", facts.provider if facts.provider not in _READ_PROVIDERS else "")
    kept_by = made_by or facts.properties.get("table_type", "") or ", ".join(facts.unsupported)
    return Problem(f"it is not a plain Hive table but {_last(kept_by)}", _NOT_THIS_JOBS) if kept_by else None


# ---- partitions, rows and files


def _untracked(facts: TableFacts) -> Optional[Problem]:
    """Tables created with spark.sql.hive.manageFilesourcePartitions=false, or by Spark before 2.1."""
    if facts.tracks_partitions or not facts.partition_columns:
        return None
    return Problem(
        "the metastore does not have its partitions",
        f"Run MSCK REPAIR TABLE {facts.name} in Spark, and see that all days are there",
    )


def _skipped_lines(facts: TableFacts) -> Optional[Problem]:
    return _skips_lines(facts.effective_format.serde_properties)


def _skips_lines(properties: Mapping[str, str]) -> Optional[Problem]:
    """
    Spark neither writes nor skips header and footer lines.

    Hive and Impala would lose rows that the job wrote, or Spark would read lines that are not rows.
    """
    for key in ("skip.header.line.count", "skip.footer.line.count"):
        if properties.get(key, "0").strip() not in ("", "0"):
            return Problem(
                f"readers skip lines of each file ({key}={properties[key]}), which Spark does not",
                f"Unset {key}, and remove those lines from its files",
            )
    return None


def _line_ends(facts: TableFacts) -> Optional[Problem]:
    return _ends_lines_otherwise(facts.effective_format)


def _ends_lines_otherwise(row_format: RowFormat) -> Optional[Problem]:
    if not row_format.is_delimited_text:
        return None
    for key in ("line.delim", "textinputformat.record.delimiter"):
        if row_format.serde_properties.get(key, "\n") not in _LINE_ENDS:
            return Problem(f"its lines do not end with a line feed ({key})", f"Unset {key}, and convert its files")
    return None


def _contradicting_layout(facts: TableFacts) -> Optional[Problem]:
    """Hive prefers TBLPROPERTIES; Impala takes delimiters from SERDEPROPERTIES only."""
    if not facts.row_format.is_delimited_text:
        return None
    own = facts.row_format.serde_properties
    for key in _TEXT_KEYS:
        if key in facts.properties and facts.properties[key] != own.get(key):
            return Problem(
                f"TBLPROPERTIES and SERDEPROPERTIES differ in {key}, and Impala reads by the latter alone",
                f"Set {key} in SERDEPROPERTIES, and unset it in TBLPROPERTIES",
            )
    return None


def _reading_options(facts: TableFacts) -> Optional[Problem]:
    """Spark reads Parquet and ORC with its own readers, and passes them the serde's properties as options."""
    options = [key for key in facts.row_format.serde_properties if key.lower() in _READING_OPTIONS]
    if not options or not _read_as_one(facts):
        return None
    return Problem(
        f"Spark would obey options that Hive and Impala do not know ({', '.join(sorted(options))})",
        "Unset these properties",
    )


def _buckets(facts: TableFacts) -> Optional[Problem]:
    if not facts.bucket_columns:
        return None
    return Problem(
        f"it is bucketed by {', '.join(facts.bucket_columns)}, and the job's files are not",
        "Recreate it without CLUSTERED BY",
    )


def _spark_buckets(facts: TableFacts) -> Optional[Problem]:
    """Spark derives a row's bucket from its file's name, whoever wrote the file. It ignores Hive's buckets."""
    if not facts.bucket_columns or facts.provider == "hive":
        return None
    return Problem(
        f"it is bucketed by {', '.join(facts.bucket_columns)}, and Spark would trust the buckets in file names",
        "Recreate it without CLUSTERED BY",
    )


def _protected(facts: TableFacts) -> Optional[Problem]:
    mode = facts.properties.get("PROTECT_MODE", "")
    return Problem(f"it is protected ({mode})", "Disable NO_DROP and OFFLINE in Hive") if mode else None


def _encrypted(facts: TableFacts) -> Optional[Problem]:
    key = next((each for each in facts.effective_format.serde_properties if each.lower().startswith(_ENCRYPTION)), None)
    return Problem(f"its columns must be encrypted ({key})", "Name another table") if key else None


def _unknown_codec(facts: TableFacts) -> Optional[Problem]:
    codec = facts.properties.get("parquet.compression", "snappy")
    if not facts.row_format.is_parquet or codec.lower() in _CODECS:
        return None
    return Problem(f"Spark does not write parquet.compression={codec}", f"Set it to one of {', '.join(_CODECS)}")


def _short_days(facts: TableFacts, columns: Sequence[Column]) -> Optional[Problem]:
    needed = {column.name: column.length for column in columns if column.length is not None}
    for name, type_ in facts.columns:
        length, wanted = declared_length(type_), needed.get(name.lower(), 0)
        if length is not None and length < wanted:
            return Problem(f"{name} is {type_}, too short for a day", f"Make it VARCHAR({wanted}) or STRING")
    return None


def _defaults(facts: TableFacts, columns: Sequence[Column]) -> Optional[Problem]:
    needed = {column.name for column in columns}
    defaulted = ", ".join(name for name in facts.defaulted_columns if name.lower() in needed)
    if not defaulted:
        return None
    return Problem(
        f"where a file lacks {defaulted}, Spark reads a default value, Hive and Impala NULL",
        "Drop the defaults of these columns",
    )


# ---- delimited text that is written


def _encoding(facts: TableFacts) -> Optional[Problem]:
    encoding = facts.effective_format.serde_properties.get("serialization.encoding", "UTF-8")
    if not facts.row_format.is_delimited_text or encoding.lower() in ("utf-8", "utf8"):
        return None
    return Problem(
        f"characters outside its serialization.encoding {encoding} would become '?', and Impala reads UTF-8",
        "Unset serialization.encoding, and convert its files to UTF-8",
    )


def _field_delimiter(facts: TableFacts) -> Optional[Problem]:
    """
    Hive takes the first of several characters, or a number as a byte value.

    Impala takes only a single character or a number.
    """
    if not facts.row_format.is_delimited_text:
        return None
    properties = facts.row_format.serde_properties
    remedy = "Set field.delim to one ASCII character that no number has, and rewrite its files"
    if "field.delim" not in properties and delimiter(properties.get("serialization.format", "\x01")) != "\x01":
        return Problem("it has serialization.format without field.delim, by which Impala reads", remedy)
    for key in ("field.delim", "escape.delim"):
        text = properties.get(key)
        if text is None:
            continue
        byte = ord(delimiter(text))
        if not text or (len(text) > 1 and chr(byte) == text[0]):
            return Problem(f"its {key} {text!r} is not one character, which Impala refuses", remedy)
        if chr(byte) in _IN_NUMBERS:
            return Problem(f"its {key} {chr(byte)!r} is part of numbers and days", remedy)
        if 0x80 <= byte <= 0xBF or 0xC2 <= byte <= 0xF4 or byte > 0xFF:
            return Problem(f"its {key} {text!r} is a byte of other characters in UTF-8", remedy)
    return None


def _null_marker(facts: TableFacts) -> Optional[Problem]:
    if not facts.row_format.is_delimited_text:
        return None
    written = facts.effective_format.serde_properties.get(_NULL_MARKER, _DEFAULT_NULL_MARKER)
    if facts.properties.get(_NULL_MARKER, _DEFAULT_NULL_MARKER) != written:
        return Problem(
            f"NULL is {written!r} by its SERDEPROPERTIES, and Impala reads {_NULL_MARKER} in TBLPROPERTIES alone",
            f"ALTER TABLE {facts.name} SET TBLPROPERTIES ('{_NULL_MARKER}'='{written}')",
        )
    if written and set(written) <= set(_IN_NUMBERS):
        return Problem(f"its NULL marker {written!r} could be a number", f"Set another {_NULL_MARKER}")
    return None


def _read_as_one(facts: TableFacts) -> bool:
    """Whether Spark reads all of the table's files with its own reader, not with Hive's serdes."""
    return facts.provider != "hive" or (facts.row_format.serde, facts.row_format.input_format) in (_PARQUET, _ORC)


def _short(row_format: RowFormat) -> str:
    return ", ".join(_last(name) for name in (row_format.serde, row_format.input_format) if name)


def _last(name: str) -> str:
    """The name of a class without its package."""
    return name.rpartition(".")[2]


_KINDS = (_view, _acid, _not_plain)
_RULES = (_untracked, _skipped_lines, _line_ends, _contradicting_layout, _reading_options)
_RULES_OF_WRITTEN = (
    _buckets,
    _protected,
    _encrypted,
    _unknown_codec,
    _encoding,
    _field_delimiter,
    _null_marker,
)
_RULES_OF_READ = (_spark_buckets,)
