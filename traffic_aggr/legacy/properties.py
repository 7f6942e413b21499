"""
Turns the old job's Bash properties into a configuration (``domain.md``, "Properties file").
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from traffic_aggr.errors import InputError
from traffic_aggr.legacy.bash_variables import UNKNOWN, Properties, Property

_LIST = "MNAAS_Traffic_AdhocPartitions_Daily_Uniq_FileName"
_LOG = "MNAAS_traffic_aggr_adhocLogPath"
_PORT = "IMPALAD_JDBC_PORT"
_DEFAULT_PORT = Property("21050", Path(), 0)


def _addresses(value: str) -> list[str]:
    return [each for each in re.split(r"[,;\s]+", value) if each]


_SUCCESSORS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "MNAAS_traffic_aggr_adhoc_ScriptName": ("job.script_name", str),
    "dbname": ("tables.database", str),
    "traffic_details_raw_daily_with_no_dups_tblname": ("tables.raw", str),
    "traffic_aggr_adhoc_inter_tblname": ("tables.staging", str),
    "traffic_aggr_adhoc_tblname": ("tables.final", str),
    "org_details_tblname": ("tables.org_details", str),
    "country_lookup_tblname": ("tables.country_lookup", str),
    _LIST: ("partitions.file", str),
    "IMPALAD_HOST": ("impala.hosts", str),
    "MNAAS_traffic_aggr_adhoc_ProcessStatusFileName": ("state.status_file", str),
    _LOG: ("logs.dir", os.path.dirname),
    "SDP_ticket_from_email": ("notify.from", str),
    "SDP_ticket_to_email": ("notify.ticket_to", _addresses),
    "MOVE_DEV_TEAM": ("notify.cc", _addresses),
}

# Patterns of keys without a successor, and why they have none.
_WITHOUT: tuple[tuple[str, str], ...] = (
    (rf"{_LIST}_.+", "not needed: run --partitions FILE takes another list for one run"),
    (r".+_tblname_refresh", "not needed: the statements follow from the table names"),
    (r"HIVE_HOST|HIVE_JDBC_PORT", "not needed: Spark asks the metastore (hive-site.xml, or spark.conf)"),
    (
        r"CLASSPATHVAR|Generic_Jar_Names|.+_JarPath|Dname_.+|.+_classname|drop_partitions_in_table",
        "was for the Java jobs",
    ),
    (r"setparameter", "not needed: secrets are kept out of the log, whatever the level"),
    (r"(?i).*(password|passwd|secret|token).*", "a secret: not copied. Keep it in a file of mode 600, {file: PATH}"),
)

# Keys that the old job did not have: their values (None must be set by hand) and remarks.
_NEW: Mapping[str, tuple[Optional[object], str]] = {
    "state.dir": (None, "run records, such as /var/lib/traffic_aggr"),
    "state.lock_file": (None, "lock of the run, such as /var/lib/traffic_aggr/run.lock"),
    "notify.smtp.host": ("localhost", "the old script mailed through this host's own mail server"),
    "notify.alert_file": (None, "alerts that could not be mailed, such as /var/lib/traffic_aggr/alerts.jsonl"),
    "spark.master": ("yarn", "local[*] runs on this host alone"),
}

_ORDER = ("job", "tables", "partitions", "impala", "state", "logs", "notify", "spark")


@dataclass(frozen=True)
class Fate:
    """What became of an old key: its ``successor`` in the configuration, or None, and a ``remark``."""

    name: str
    successor: Optional[str]
    remark: str

    def __str__(self) -> str:
        return f"{self.name} -> {self.successor or 'nothing'}{f': {self.remark}' if self.remark else ''}"


@dataclass(frozen=True)
class Imported:
    """The configuration as YAML, the fate of each old key, and notes for the operator."""

    yaml: str
    fates: list[Fate]
    notes: list[str]


def import_properties(found: Properties) -> Imported:
    """
    Makes a configuration from old properties.

    Does not show the values of keys without a successor, because some are secrets. Raises InputError when no key has a
    successor: the file is then not the old job's.
    """
    if not found.values.keys() & _SUCCESSORS.keys():
        raise InputError("the file has none of the old job's keys, such as dbname", hint="Name the old properties file")
    settings: dict[str, tuple[object, str]] = {}
    fates = []
    notes = list(found.notes)
    for name, assigned in found.values.items():
        if name == _PORT and "IMPALAD_HOST" in found.values:
            fates.append(Fate(name, "impala.hosts", "joined with IMPALAD_HOST"))
            continue
        if name not in _SUCCESSORS:
            fates.append(Fate(name, None, _reason(name)))
            continue
        key, convert = _SUCCESSORS[name]
        value: object = convert(assigned.value)
        port = found.values.get(_PORT, _DEFAULT_PORT).value if name == "IMPALAD_HOST" else ""
        if UNKNOWN in f"{value}{port}":
            fates.append(Fate(name, None, f"only Bash can tell its value: set {key} by hand"))
            continue
        if not value:
            fates.append(Fate(name, None, "empty"))
            continue
        if name == "IMPALAD_HOST":
            value = [f"{value}:{port}"]
        settings[key] = (value, f"{name} ({assigned.file.name} line {assigned.line})")
        fates.append(Fate(name, key, _text(value)))
        if name == _LOG:
            notes.append(f"log files are rotated by the program: of {name} only the directory was taken")
    return Imported("\n".join(_lines(settings)) + "\n", fates, notes)


def _reason(name: str) -> str:
    return next((reason for pattern, reason in _WITHOUT if re.fullmatch(pattern, name)), "no key here asks for it")


def _lines(settings: Mapping[str, tuple[object, str]]) -> Iterator[str]:
    yield "# Made from the old properties. Keys left out have the defaults that conf/local.yaml shows;"
    yield "# `check` tells what is still missing or wrong."
    for section in _ORDER:
        yield ""
        yield f"{section}:"
        for key, (value, source) in settings.items():
            if key.startswith(f"{section}."):
                yield f"  {key.partition('.')[2]}: {_text(value)}  # {source}"
        yield from _new_lines(section)


def _new_lines(section: str) -> Iterator[str]:
    for key, (value, remark) in _NEW.items():
        parts = key.split(".")
        if parts[0] != section:
            continue
        for depth, parent in enumerate(parts[1:-1], start=1):
            yield f"{'  ' * depth}{parent}:"
        indent = "  " * (len(parts) - 1)
        if value is None:
            yield f"{indent}# {parts[-1]}:  # to be set: {remark}"
        else:
            yield f"{indent}{parts[-1]}: {_text(value)}  # {remark}"


def _text(value: object) -> str:
    """The value as JSON, which is YAML; escapes ``${``, so that it does not become a reference."""
    return json.dumps(value, ensure_ascii=False).replace("${", "$${")
