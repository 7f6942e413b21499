"""The configuration file as YAML nodes, and ``${NAME}`` in its texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from traffic_aggr.config.checks import environment_name
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
    """The file cannot be read as YAML at all."""


class SubstitutionError(Exception):
    """A ``${…}`` that cannot be replaced; the text says why, and shows no variable's value."""


class _Loader(yaml.SafeLoader):
    """YAML with plain scalars of JSON's kinds only: no dates, no 10:30 as a number, no 010 as eight."""

    yaml_implicit_resolvers = {
        first: [(tag, PATTERNS[tag]) for tag, characters in _FIRST_CHARACTERS.items() if first in list(characters)]
        for first in {first for characters in _FIRST_CHARACTERS.values() for first in characters}
    }


@dataclass(frozen=True)
class Scalar:
    """A scalar after substitution. ``original`` is what stands in the file: the only thing to show of it."""

    text: str
    tag: str
    original: str

    def is_a(self, tag: str) -> bool:
        """Whether it is of that kind. A text with a variable in it is of every kind that it looks like."""
        if self.text != self.original and self.tag == TEXT:
            return tag == TEXT or bool(PATTERNS[tag].match(self.text))
        return self.tag == tag and (tag == TEXT or bool(PATTERNS[tag].match(self.text)))


def scalar(node: yaml.ScalarNode, variables: Mapping[str, str]) -> Scalar:
    """The scalar with its variables put in. Raises ``SubstitutionError``."""
    return Scalar(substituted(node.value, variables), node.tag, node.value)


def read_yaml(path: Path) -> yaml.MappingNode:
    """The file's top mapping as YAML nodes. Raises ``UnreadableError``, in words, where there is none."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_CONFIG_BYTES + 1)
    except OSError as exc:
        raise UnreadableError(f"cannot be read: {exc.strerror}") from exc
    if len(content) > MAX_CONFIG_BYTES:
        raise UnreadableError(f"is larger than {data_volume(MAX_CONFIG_BYTES)}: this is no configuration")
    try:
        node = yaml.compose(content, Loader=_Loader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UnreadableError(f"{place}not YAML: {shown(exc.problem or exc.context or '', 200)}") from exc
    except yaml.reader.ReaderError as exc:
        raise UnreadableError(f"not YAML: position {exc.position} holds no UTF-8 text that prints") from exc
    except RecursionError as exc:
        raise UnreadableError("is no configuration: it is nested too deeply") from exc
    if node is None:
        raise UnreadableError("is empty")
    if not isinstance(node, yaml.MappingNode):
        raise UnreadableError("is no configuration: it must hold sections such as 'tables:'")
    return node


def literal(text: str) -> str:
    """The text written so that ``substituted`` gives it back as it is."""
    return text.replace("${", "$${")


def substituted(text: str, variables: Mapping[str, str]) -> str:
    """
    The text with ``${NAME}`` and ``${NAME:-default}`` replaced; a default may hold further ones; ``$${`` is a literal
    ``${``. As in the shell, the default also stands in for an empty variable. Raises ``SubstitutionError``.
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
