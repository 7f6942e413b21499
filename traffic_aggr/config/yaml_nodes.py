"""Reads the configuration file as YAML nodes, and substitutes ``${NAME}`` in its texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from traffic_aggr.config.rules import environment_name
from traffic_aggr.text import shown
from traffic_aggr.units import data_volume

MAX_CONFIG_BYTES = 1024 * 1024

TEXT, BOOL, INT, FLOAT, NULL = (f"tag:yaml.org,2002:{name}" for name in ("str", "bool", "int", "float", "null"))
PATTERNS = {
    BOOL: re.compile(r"(?:yes|true|on|no|false|off)\Z", re.IGNORECASE),
    INT: re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\Z"),
    FLOAT: re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?\Z"),
    NULL: re.compile(r"(?:~|null|Null|NULL|)\Z"),
}
_FIRST_CHARACTERS = {BOOL: "yYtToOnNfF", INT: "-+0123456789", FLOAT: "-+.0123456789", NULL: ["~", "n", "N", ""]}


class UnreadableError(Exception):
    """The file cannot be read as a YAML mapping at all."""


class SubstitutionError(Exception):
    """A ``${…}`` cannot be replaced. The text says why, and shows no variable's value."""


class _Loader(yaml.SafeLoader):
    """Loads plain scalars as JSON's kinds only: no dates, 10:30 is not a number, 010 is not eight."""

    yaml_implicit_resolvers = {
        first: [(tag, PATTERNS[tag]) for tag, characters in _FIRST_CHARACTERS.items() if first in list(characters)]
        for first in {first for characters in _FIRST_CHARACTERS.values() for first in characters}
    }


@dataclass(frozen=True)
class Scalar:
    """A scalar after substitution. Messages may show only ``original``, the text in the file."""

    text: str
    tag: str
    original: str

    def is_a(self, tag: str) -> bool:
        """Whether it is of that kind. A text with a substituted variable is of every kind it looks like."""
        if self.text != self.original and self.tag == TEXT:
            return tag == TEXT or bool(PATTERNS[tag].match(self.text))
        return self.tag == tag and (tag == TEXT or bool(PATTERNS[tag].match(self.text)))


def scalar(node: yaml.ScalarNode, variables: Mapping[str, str]) -> Scalar:
    """Returns the scalar with its variables substituted. Raises ``SubstitutionError``."""
    return Scalar(substituted(node.value, variables), node.tag, node.value)


def read_yaml(path: Path) -> yaml.MappingNode:
    """Returns the file's top-level mapping. Raises ``UnreadableError``, which says why."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_CONFIG_BYTES + 1)
    except OSError as exc:
        raise UnreadableError(f"cannot be read: {exc.strerror}") from exc
    if len(content) > MAX_CONFIG_BYTES:
        raise UnreadableError(f"is larger than {data_volume(MAX_CONFIG_BYTES)}: this is not a configuration")
    try:
        node = yaml.compose(content, Loader=_Loader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UnreadableError(f"{place}not YAML: {shown(exc.problem or exc.context or '', 200)}") from exc
    except yaml.reader.ReaderError as exc:
        raise UnreadableError(f"not YAML: position {exc.position} holds no UTF-8 text that prints") from exc
    except RecursionError as exc:
        raise UnreadableError("is not a configuration: it is nested too deeply") from exc
    if node is None:
        raise UnreadableError("is empty")
    if not isinstance(node, yaml.MappingNode):
        raise UnreadableError("is not a configuration: it must hold sections such as 'tables:'")
    return node


def literal(text: str) -> str:
    """Escapes a text so that ``substituted`` returns it unchanged."""
    return text.replace("${", "$${")


def substituted(text: str, variables: Mapping[str, str]) -> str:
    """
    Returns the text with ``${NAME}`` and ``${NAME:-default}`` replaced.

    A default may contain further references. As in the shell, it also replaces an empty variable. ``$${`` is a literal
    ``${``. Raises ``SubstitutionError``.
    """
    result = []
    position = 0
    while position < len(text):
        if text.startswith("$${", position):
            result.append("${")
            position += 3
        elif text.startswith("${", position):
            end = _closing_brace(text, position + 2)
            result.append(_variable(text[position + 2 : end], variables))
            position = end + 1
        else:
            result.append(text[position])
            position += 1
    return "".join(result)


def _closing_brace(text: str, start: int) -> int:
    depth = 1
    for position in range(start, len(text)):
        if text[position] == "}":
            depth -= 1
        elif text.startswith("${", position):
            depth += 1
        if depth == 0:
            return position
    raise SubstitutionError(f"the closing brace of {shown(text[start - 2 :])} is missing; write $${{ for a literal ${{")


def _variable(expression: str, variables: Mapping[str, str]) -> str:
    name, has_default, default = expression.partition(":-")
    if environment_name(name):
        raise SubstitutionError(
            f"${{{shown(expression)}}} is neither ${{NAME}} nor ${{NAME:-default}}; write $${{ for a literal ${{"
        )
    if has_default:
        return variables.get(name) or substituted(default, variables)
    if name not in variables:
        raise SubstitutionError(f"the environment variable {name} is not set; export it, or write ${{{name}:-default}}")
    return variables[name]
