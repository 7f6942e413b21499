"""
Assignments in a Bash properties file, read without running anything.

Understood are ``name=value`` with ``export`` or without, quotes, ``$name``, ``${name}`` and ``${name:-default}``,
comments, and other files that are sourced. A command substitution is never run; its place in a value is marked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from traffic_aggr.errors import InputError
from traffic_aggr.units import data_volume

COMMAND = "\0"
"""Stands in a value where the file has a command, such as ``$(date +_%F)``."""

_LONGEST_FILE = 1_000_000
_DEEPEST_SOURCE = 8

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)=")
_SOURCE = re.compile(r"\s*(?:\.|source)\s+")
_COMMAND = r"\$\((?:[^()]|\([^()]*\))*\)|`[^`]*`"
_REFERENCE = r"\$(?:(?P<plain>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)(?::?-(?P<default>[^}]*))?\})"
_IN_QUOTES = re.compile(rf'(?P<command>{_COMMAND})|{_REFERENCE}|\\(?P<escaped>[$`"\\])|(?P<text>[^$`\\]+|.)', re.DOTALL)
_PIECE = re.compile(
    rf"'(?P<single>[^']*)'|\"(?P<double>(?:[^\"\\]|\\.)*)\"|(?P<command>{_COMMAND})|{_REFERENCE}"
    r"|\\(?P<escaped>.)|(?P<text>[^\s'\"\\$`;]+|\$)"
)


@dataclass(frozen=True)
class Property:
    """One assignment: the value with references replaced, and where it stands."""

    value: str
    file: Path
    line: int

    @property
    def without_commands(self) -> str:
        """The value up to the first command in it."""
        return self.value.partition(COMMAND)[0]


@dataclass
class Properties:
    """What the files assign, in order, the last assignment to a name; and ``notes`` on what was not understood."""

    values: dict[str, Property] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_properties(path: Path, environment: Mapping[str, str]) -> Properties:
    """
    Reads a properties file and those that it sources; ``environment`` has what the files refer to and do not assign.

    A sourced file that is not where the line says is looked for beside the file that names it. Raises InputError when
    ``path`` itself cannot be read.
    """
    found = Properties()
    try:
        text = _read(path)
    except OSError as exc:
        raise InputError(f"{path} cannot be read: {exc.strerror}", hint="Name the old properties file") from exc
    _Reader(found, environment).read(path, text, depth=0)
    return found


def _read(path: Path) -> str:
    with open(path, "rb") as source:
        content = source.read(_LONGEST_FILE + 1)
    if len(content) > _LONGEST_FILE:
        raise InputError(f"{path} is longer than {data_volume(_LONGEST_FILE)}", hint="Name the old properties file")
    return content.decode("utf-8", errors="replace").replace("\r\n", "\n")


class _Reader:
    def __init__(self, found: Properties, environment: Mapping[str, str]) -> None:
        self._found = found
        self._environment = environment

    def read(self, path: Path, text: str, depth: int) -> None:
        for number, line in enumerate(text.split("\n"), start=1):
            where = f"{path.name} line {number}"
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            sourced, assigned = _SOURCE.match(line), _ASSIGNMENT.match(line)
            if sourced:
                self._source(path, self._word(line[sourced.end() :], where)[0], where, depth)
            elif assigned:
                value, rest = self._word(line[assigned.end() :], where)
                self._found.values[assigned[1]] = Property(value, path, number)
                if rest:
                    self._found.notes.append(f"{where}: what follows the value of {assigned[1]} was not understood")
            else:
                self._found.notes.append(f"{where} is no assignment and was not read")

    def _source(self, path: Path, name: str, where: str, depth: int) -> None:
        beside = path.parent / os.path.basename(name)
        for each in (Path(name), beside):
            if each.is_file() and depth < _DEEPEST_SOURCE:
                if each is beside:
                    self._found.notes.append(f"{where}: {name} is not there; read {beside} in its place")
                self.read(each, _read(each), depth + 1)
                return
        self._found.notes.append(f"{where}: {name} is not there; its keys are missing here")

    def _word(self, text: str, where: str) -> tuple[str, str]:
        """One word of Bash at the start of ``text``, expanded; and what follows it, a comment left out."""
        pieces = []
        position = 0
        while match := _PIECE.match(text, position):
            position = match.end()
            if match["double"] is not None:
                pieces += [self._expanded(each, where) for each in _IN_QUOTES.finditer(match["double"])]
            elif match["single"] is not None:
                pieces.append(match["single"])
            else:
                pieces.append(self._expanded(match, where))
        rest = text[position:].strip()
        return "".join(pieces), "" if rest.startswith("#") and text[position : position + 1].isspace() else rest

    def _expanded(self, piece: re.Match[str], where: str) -> str:
        if piece["command"] is not None:
            return COMMAND
        name = piece["plain"] or piece["braced"]
        if name is None:
            return piece["escaped"] if piece["escaped"] is not None else piece["text"]
        if name in self._found.values:
            return self._found.values[name].value
        if name in self._environment:
            return self._environment[name]
        if piece["default"] is None:
            self._found.notes.append(f"{where}: ${name} is not set here; it was left out")
        return piece["default"] or ""
