"""
Compares the files in Spark's scan of a table with the files in the table's directories.

Hive (on Tez) and Impala read every file below a directory, at any depth, unless a name begins with ``_`` or ``.``.
Spark's scan of Parquet reads only the files of the directory itself. Raw's totals and the aggregation come from the
same scan, so they agree even when it misses files. The comparison therefore needs its own listing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, Optional

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from traffic_aggr.errors import GuardError
from traffic_aggr.files.local import FileInfo, Files
from traffic_aggr.hive.catalog import Directory, HiveCatalog, TableFacts
from traffic_aggr.hive.layout import parents, plain_path
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.sql import identifier
from traffic_aggr.text import some_of
from traffic_aggr.units import counted

if TYPE_CHECKING:
    from py4j.java_gateway import JavaObject

_TRANSACTION = re.compile(r"(?:base|delta|delete_delta)_\d.*")
_OTHER_FORMATS = ("_delta_log", ".hoodie")
"""Directories in which Delta Lake and Hudi record which of a table's files are current."""
_HIDDEN_FROM_IMPALA = (".tmp", ".copying")
_PLAIN_INPUTS = re.compile(
    r"(?:.*\.(?:MapredParquet|DeprecatedParquet|Text|Orc|AvroContainer|SequenceFile|RCFile)InputFormat)?"
)
_LIMITED_TEXT = re.compile(r"(?:var)?char\(\d+\)", re.IGNORECASE)
_STATUS = re.compile(r"\{path=(.*?); isDirectory=false; length=(\d+);", re.DOTALL)
_SPLIT = re.compile(r"(?:^\{|,)([a-z][a-z0-9+.-]*:/.*?):(\d+)\+(\d+)(?=,[a-z][a-z0-9+.-]*:/|\}$)", re.DOTALL)


@dataclass(frozen=True)
class Scan:
    """
    A scan of the whole table, or of those partitions whose ``column`` has one of ``values``.

    ``rows`` cover at least these. ``found`` maps the location of each of ``directories`` that exists to its
    visible files.
    """

    catalog: HiveCatalog
    facts: TableFacts
    rows: DataFrame
    column: Optional[str]
    values: Collection[str]
    directories: Sequence[Directory]
    found: Mapping[str, Sequence[FileInfo]]

    @property
    def restricted(self) -> DataFrame:
        return _restricted(self.rows, self.column, self.values)

    @cached_property
    def file_index(self) -> Optional[JavaObject]:
        """Spark's listing of the scan's files; None if there are none, or if Hive's reader lists them."""
        if not self.directories:
            return None
        relation = _relation(self.facts, self.restricted)
        return None if relation is None else _file_index(self.catalog, relation)

    def files(self) -> Iterator[tuple[Directory, FileInfo]]:
        """The visible files, each with the directory under which it was found."""
        for directory in self.directories:
            for info in self.found.get(directory.location, ()):
                yield directory, info


def open_scan(
    catalog: HiveCatalog,
    facts: TableFacts,
    files: Files,
    column: Optional[str] = None,
    partitions: Collection[Partition] = (),
) -> Scan:
    """
    Opens a scan of the table as it is now, including sub-directories.

    Where it is partitioned by ``column``, the scan is of ``partitions`` alone.

    Raises GuardError if partitions have sub-directories and Spark reads the table as anything other than files.
    """
    table = catalog.table(facts)
    column, wanted = column if column in facts.partition_columns else None, {str(each) for each in partitions}
    directories = table.directories(column, wanted)
    found = files.visible_files([each.location for each in directories])
    below = {location: _below(location, infos) for location, infos in found.items()}
    if any(below.values()) and not facts.partition_columns and facts.row_format.is_parquet:
        return Scan(catalog, facts, _rows_below(catalog, facts), column, wanted, directories, found)
    rows = table.rows()
    if any(below.values()) and facts.partition_columns:
        pruned = _restricted(rows, column, wanted)
        relation = _relation(facts, pruned)
        if relation is not None:  # the session's settings make Hive's reader descend by itself
            rows = _with_directories(catalog, relation, below)
    return Scan(catalog, facts, rows, column, wanted, directories, found)


def refuse_unread(scan: Scan, files: Files) -> None:
    """
    Raises GuardError if Spark's scan reads other files than Hive and Impala do.

    Empty files are ignored: they have no rows to miss. Also refuses files that only Hive reads, partitions that lie in
    another's directory, and input formats that the job does not know. It refuses files of ACID transactions and
    directories with another format's record of current files, because not every file there holds rows of the table.
    """
    problems = [*_foreign(scan, files), *_overlaps(scan)] or list(_unread(scan))
    if problems:
        raise GuardError(
            f"{scan.facts.name} cannot be read as Hive and Impala read it: {some_of(problems)}",
            hint="Move these files away, or have them written again into the table",
            guard="unread_files",
        )


def _foreign(scan: Scan, files: Files) -> Iterator[str]:
    facts = scan.facts
    if not _PLAIN_INPUTS.fullmatch(facts.row_format.input_format):
        yield f"its files are read by way of {facts.row_format.input_format}"
    for info in files.beginning_with(facts.location, _OTHER_FORMATS):
        yield f"{info.path} says that not all files there are rows of the table"
    for directory, info in scan.files():
        parts = info.path[len(directory.location) + 1 :].split("/")
        if any(map(_TRANSACTION.fullmatch, parts[:-1])):
            yield f"{directory}{info.path} was written by an ACID transaction"
        elif parts[-1].lower().endswith(_HIDDEN_FROM_IMPALA):
            yield f"{directory}{info.path} is read by Hive and not by Impala"


def _overlaps(scan: Scan) -> Iterator[str]:
    """Partitions that lie in another's directory: engines differ in how often they read such rows."""
    owners: dict[str, list[Directory]] = {}
    for each in scan.catalog.table(scan.facts).directories():
        owners.setdefault(plain_path(each.location), []).append(each)
    wanted = set(scan.directories)
    for path, there in owners.items():
        for around in (*parents(path), path):
            for each, owner in product(there, owners.get(around, ())):
                twice = around == path and owner.name <= each.name
                if not twice and not wanted.isdisjoint((each, owner)):
                    yield f"{each.location} belongs to {each.name} and to {owner.name}"


def _unread(scan: Scan) -> Iterator[str]:
    there: dict[tuple[str, int], list[Directory]] = {}
    for directory, info in scan.files():
        if info.size:
            there.setdefault((plain_path(info.path), info.size), []).append(directory)
    listed: dict[tuple[str, int], int] = {}
    for path, size in _listed(scan):
        if size:
            listed[plain_path(path), size] = listed.get((plain_path(path), size), 0) + 1
    for (path, size), directories in there.items():
        for directory in directories[listed.pop((path, size), 0) :]:
            yield f"{directory}{path} of {counted(size, 'byte')} is not in Spark's scan"
    for path, size in listed:
        yield f"{path} of {counted(size, 'byte')} is in Spark's scan alone"


def _listed(scan: Scan) -> Iterable[tuple[str, int]]:
    """The path and bytes of each file that Spark will read, as often as it will read it."""
    index = scan.file_index
    if index is not None:
        nothing = scan.catalog.classes.seq([])
        told = index.listFiles(nothing, nothing).mkString("\n")
        return [(path, int(size)) for path, size in _STATUS.findall(told)]
    there = [each.location for each in scan.directories if each.location in scan.found]
    sizes: dict[str, int] = {}
    for path, start, length in _SPLIT.findall(_splits(scan, there)) if there else ():
        sizes[path] = max(sizes.get(path, 0), int(start) + int(length))
    return sizes.items()


def _splits(scan: Scan, locations: Sequence[str]) -> str:
    """The splits of these directories that the table's input format gives Hive's reader, as Java prints them."""
    spark = scan.catalog.spark
    jvm: Any = spark.sparkContext._jvm
    hadoop = jvm.org.apache.hadoop
    job = hadoop.mapred.JobConf(spark._jsparkSession.sessionState().newHadoopConf())
    # The tokens that Spark has: listing would ask for new ones, which a namenode gives to a Kerberos login alone.
    jvm.org.apache.spark.deploy.SparkHadoopUtil.get().addCredentials(job)
    path = hadoop.fs.Path
    for location in locations:
        hadoop.mapred.FileInputFormat.addInputPath(job, path(location))
    name = scan.facts.row_format.input_format
    reader = hadoop.util.ReflectionUtils.newInstance(job.getClassByName(name), job)
    told: str = jvm.org.apache.commons.lang3.ArrayUtils.toString(reader.getSplits(job, 1))
    return told


def _restricted(rows: DataFrame, column: Optional[str], values: Collection[str]) -> DataFrame:
    # Comparing strings lets the metastore prune the partitions.
    return rows if column is None else rows.where(F.col(column).isin(sorted(values)))


def _relation(facts: TableFacts, rows: DataFrame) -> Optional[JavaObject]:
    """
    Spark's file relation behind ``rows``, partitions pruned; None if Hive's reader reads them.

    Raises GuardError if Spark reads the table in any other way.
    """
    leaves = rows._jdf.queryExecution().optimizedPlan().collectLeaves()
    kinds = [leaves.apply(number).getClass().getSimpleName() for number in range(leaves.size())]
    if kinds == ["HiveTableRelation"]:
        return None
    if kinds == ["LogicalRelation"]:
        relation = leaves.apply(0).relation()
        if relation.getClass().getSimpleName() == "HadoopFsRelation":
            return relation
    raise GuardError(
        f"{facts.name} is not a plain table of files: Spark reads it by {' and '.join(kinds)}",
        hint="Name the table that holds the files",
        guard="unread_files",
    )


def _file_index(catalog: HiveCatalog, relation: JavaObject) -> JavaObject:
    """
    The listing of a relation's files.

    If nothing prunes a partitioned table, Spark has not listed its files yet.
    """
    index = relation.location()
    if index.getClass().getSimpleName() == "CatalogFileIndex":
        index = index.filterPartitions(catalog.classes.seq([]))
    return index


def _rows_below(catalog: HiveCatalog, facts: TableFacts) -> DataFrame:
    """
    The rows of an unpartitioned Parquet table, including all its sub-directories.

    Spark itself would take directories such as ``region=1`` for partitions, and read the column's values from their
    names.
    """
    fields = ", ".join(f"{identifier(name)} {_LIMITED_TEXT.sub('string', type_)}" for name, type_ in facts.columns)
    reader = catalog.spark.read.schema(fields).option("recursiveFileLookup", "true").option("__globPaths__", "false")
    return reader.parquet(facts.location)


def _with_directories(catalog: HiveCatalog, relation: JavaObject, below: Mapping[str, Sequence[str]]) -> DataFrame:
    """
    The rows of a partitioned ``relation``, and of the sub-directories ``below`` its directories.

    This is still one scan of the same partitions, but one partition may have several directories.
    """
    jvm: Any = catalog.spark.sparkContext._jvm
    classes, session = catalog.classes, catalog.spark._jsparkSession
    sources, path = jvm.org.apache.spark.sql.execution.datasources, jvm.org.apache.hadoop.fs.Path
    sub_directories = {plain_path(location): names for location, names in below.items()}
    spec = _file_index(catalog, relation).partitionSpec()
    paths, partitions = [], []
    for number in range(spec.partitions().size()):
        partition = spec.partitions().apply(number)
        top = partition.path()
        for each in [top, *(path(top, name) for name in sub_directories.get(plain_path(top.toString()), ()))]:
            paths.append(each)
            partitions.append(sources.PartitionPath(partition.values(), each))
    none = classes.option.empty()
    with_directories = classes.option.apply(sources.PartitionSpec(spec.partitionColumns(), classes.seq(partitions)))
    no_cache = getattr(sources, "NoopCache$").__getattr__("MODULE$")
    index = sources.InMemoryFileIndex(
        session, classes.seq(paths), relation.options(), none, no_cache, with_directories, none
    )
    schemas = relation.partitionSchema(), relation.dataSchema()
    wider = relation.copy(index, *schemas, none, relation.fileFormat(), relation.options(), session)
    return DataFrame(session.baseRelationToDataFrame(wider), catalog.spark)


def _below(location: str, infos: Sequence[FileInfo]) -> list[str]:
    """The sub-directories of ``location`` that hold files, relative to it."""
    parents = {info.path[len(location) + 1 :].rpartition("/")[0] for info in infos}
    return sorted(parents - {""})
