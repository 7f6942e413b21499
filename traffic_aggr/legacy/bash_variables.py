"""
What a Bash properties file has made of its variables, and what the operator has to be told about them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

UNKNOWN = "\0"
"""Stands in a value for what only Bash can tell, such as ``$(date +_%F)``."""


@dataclass(frozen=True)
class Property:
    """One assignment: the value with references replaced, and where it stands."""

    value: str
    file: Path
    line: int


@dataclass
class Properties:
    """What the files assign, in order, the last assignment to a name; and ``notes`` on what was not understood."""

    values: dict[str, Property] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class BashVariables:
    """
    The variables of all files together. ``environment`` has what they refer to and do not assign; ``at`` is the file
    and line that is being read.
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
        """Only Bash can tell what these are from here on."""
        for name in names:
            self.set(name, UNKNOWN)

    def begin_command(self) -> None:
        """What is assigned from here on can be taken back."""
        self._before = []

    def take_back(self, names: Optional[Iterable[str]] = None) -> None:
        """Undoes what the command has assigned, to ``names`` alone where given: it held for itself or a subshell."""
        for name, before in reversed(self._before):
            if names is None or name in names:
                self.found.values.pop(name, None)
                if before is not None:
                    self.found.values[name] = before

    def note(self, text: str, line: Optional[int] = None) -> None:
        path, here = self.at
        self.found.notes.append(f"{path.name} line {line or here}{text if text.startswith(' ') else f': {text}'}")
