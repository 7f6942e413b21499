"""
The variables that Bash properties files assign, and notes on them for the operator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

UNKNOWN = "\0"
"""Marks a part of a value that only Bash can tell, such as ``$(date +_%F)``."""


@dataclass(frozen=True)
class Property:
    """One assignment: the value with references replaced, and its file and line."""

    value: str
    file: Path
    line: int


@dataclass
class Properties:
    """The last assignment to each name, in order, and ``notes`` on what was not understood."""

    values: dict[str, Property] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class BashVariables:
    """
    The variables of all files together.

    ``environment`` supplies variables that the files refer to but do not assign. ``at`` is the file and line that is
    being read.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.found = Properties()
        self.at = (Path(), 0)
        self._environment = dict(environment)
        self._readonly: set[str] = set()
        self._before: list[tuple[str, Optional[Property]]] = []

    def get(self, name: str) -> Optional[str]:
        found = self.found.values.get(name)
        return found.value if found else self._environment.get(name)

    def set(self, name: str, value: str) -> None:
        if name in self._readonly:
            self.note(f"{name} is readonly, so that Bash would not assign it; this was not read")
            return
        self._before.append((name, self.found.values.get(name)))
        self.found.values[name] = Property(value, *self.at)

    def unset(self, name: str) -> None:
        self.found.values.pop(name, None)
        self._environment.pop(name, None)

    def make_readonly(self, names: Iterable[str]) -> None:
        self._readonly.update(names)

    def forget(self, names: Iterable[str]) -> None:
        """Marks variables whose values only Bash can tell from here on."""
        for name in names:
            self.set(name, UNKNOWN)

    def begin_command(self) -> None:
        """Starts a command: ``take_back`` undoes only assignments made from here on."""
        self._before = []

    def take_back(self, names: Optional[Iterable[str]] = None) -> None:
        """Undoes the command's assignments, or those to ``names``: they held only in it or in a subshell."""
        for name, before in reversed(self._before):
            if names is None or name in names:
                self.found.values.pop(name, None)
                if before is not None:
                    self.found.values[name] = before

    def note(self, text: str, line: Optional[int] = None) -> None:
        path, here = self.at
        self.found.notes.append(f"{path.name} line {line or here}{text if text.startswith(' ') else f': {text}'}")
