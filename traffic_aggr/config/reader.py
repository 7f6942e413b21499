"""
Turns YAML nodes into the sections of the configuration.

Checks every value against its field's type and rule, and collects all problems.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import shlex
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable, Optional, Union

import yaml

from traffic_aggr.config.rules import carries_secret, environment_name, is_uri
from traffic_aggr.config.secrets import SecretRef
from traffic_aggr.config.values import (
    HostPort,
    InvalidError,
    Rule,
    read_bool,
    read_free_text,
    read_host_port,
    read_number,
    read_text,
)
from traffic_aggr.config.yaml_nodes import NULL, TEXT, Scalar, SubstitutionError, scalar, substituted
from traffic_aggr.text import shown

CONFIG_DIR = "CONFIG_DIR"
SECRET_KINDS = ("env", "file", "hadoop")

_PLACEHOLDERS: Mapping[Any, Any] = {str: "", Path: Path()}


def option(doc: str, **rule: Any) -> Mapping[str, Any]:
    """Metadata for a field that is a key of the file: what it means, and the ``Rule`` for its value."""
    return {"doc": doc, "rule": Rule(**rule)}


def options_of(section: type) -> list[dataclasses.Field[Any]]:
    """The fields of a section class that are keys of the file."""
    return [field for field in dataclasses.fields(section) if "doc" in field.metadata]


def key_of(field: dataclasses.Field[Any]) -> str:
    """The key that a field is read from."""
    rule: Rule = field.metadata["rule"]
    return rule.key or field.name


class SectionReader:
    """
    Reads sections and collects ``problems`` in the order found.

    ``unreadable`` holds the keys whose values could not be used; their fields hold defaults or placeholders.
    """

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._home = environ.get("HOME") or os.path.expanduser("~")
        self._variables = {**environ, CONFIG_DIR: str(directory)}
        self.problems: list[str] = []
        self.unreadable: set[str] = set()

    def read(self, section: type, node: Optional[yaml.Node], where: str = "", **given: Any) -> Any:
        """Builds a ``section`` from a mapping; ``given`` holds fields that are not keys of the file."""
        entries = self._entries(section, node, where)
        types = typing.get_type_hints(section)
        values = dict(given)
        for field in options_of(section):
            kind, path, child = types[field.name], _join(where, key_of(field)), entries.get(key_of(field))
            if isinstance(kind, type) and dataclasses.is_dataclass(kind):
                values[field.name] = self.read(kind, child, path)
                continue
            if _is_required(field):
                values[field.name] = _PLACEHOLDERS[kind]
            if child is not None:
                try:
                    values[field.name] = self._value(kind, field.metadata["rule"], child, path)
                except (InvalidError, SubstitutionError) as exc:
                    self.complain(path, str(exc), child)
            elif _is_required(field) and path not in self.unreadable:
                self.complain(path, "is required")
        return section(**values)

    def complain(self, path: str, wrong: str, node: Optional[yaml.Node] = None) -> None:
        """Records a problem with the key at ``path``."""
        self.unreadable.add(path)
        line = f" (line {node.start_mark.line + 1})" if node else ""
        self.problems.append(f"{path}: {wrong}{line}" if path else f"{wrong}{line}")

    def _entries(self, section: type, node: Optional[yaml.Node], where: str) -> dict[str, yaml.Node]:
        if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == NULL):
            return {}
        known = [key_of(field) for field in options_of(section)]
        if not isinstance(node, yaml.MappingNode):
            self.complain(where, f"must be a section with the keys {', '.join(known)}", node)
            self.unreadable.update(_join(where, key) for key in known)
            return {}
        entries = {}
        for key, key_node, child in self._pairs(node, where):
            if key in known:
                entries[key] = child
            else:
                nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                advice = f"did you mean {_join(where, nearest[0])}?" if nearest else f"known here: {', '.join(known)}"
                self.complain(_join(where, shown(key)), f"is not a known key; {advice}", key_node)
        return entries

    def _pairs(self, node: yaml.MappingNode, where: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        lines: dict[str, int] = {}
        for key_node, child in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.complain(where, "has a key that is not text", key_node)
            elif key_node.value in lines:
                path = _join(where, shown(key_node.value))
                self.complain(path, f"is given twice, first in line {lines[key_node.value]}", key_node)
            else:
                lines[key_node.value] = key_node.start_mark.line + 1
                yield key_node.value, key_node, child

    def _value(self, kind: Any, rule: Rule, node: yaml.Node, where: str) -> Any:
        origin = typing.get_origin(kind)
        if origin is Union:
            if isinstance(node, yaml.ScalarNode) and scalar(node, self._variables).is_a(NULL):
                return None
            return self._value(typing.get_args(kind)[0], rule, node, where)
        if rule.commands:
            return self._commands(node, where)
        if origin is tuple:
            item_kind = typing.get_args(kind)[0]
            return self._items(node, where, lambda child, _: self._scalar_value(item_kind, rule, child))
        if origin is not None:
            return self._free_mapping(node, where)
        if kind is SecretRef:
            return self._secret(node)
        return self._scalar_value(kind, rule, node)

    def _scalar_value(self, kind: Any, rule: Rule, node: yaml.Node) -> Any:
        value = self._scalar(node)
        if kind is bool:
            return read_bool(value)
        if kind in (int, float):
            return read_number(kind, rule, value)
        text = read_text(rule, value)
        if kind is HostPort:
            return read_host_port(text)
        if kind is Path:
            if is_uri(text):
                raise InvalidError("must be a local path, not a URI")
            return Path(self._path(text))
        return self._location(text) if rule.location else text

    def _scalar(self, node: yaml.Node) -> Scalar:
        if not isinstance(node, yaml.ScalarNode):
            raise InvalidError("must be one value, not a list or a section")
        return scalar(node, self._variables)

    def _items(self, node: yaml.Node, where: str, read: Callable[[yaml.Node, str], Any]) -> tuple[Any, ...]:
        if isinstance(node, yaml.ScalarNode) and node.tag == NULL:
            return ()
        if not isinstance(node, yaml.SequenceNode):
            raise InvalidError("must be a list, such as [A, B]")
        items = []
        for number, child in enumerate(node.value):
            path = f"{where}[{number}]"
            try:
                items.append(read(child, path))
            except (InvalidError, SubstitutionError) as exc:
                self.complain(path, str(exc), child)
                # The list is incomplete, so checks that combine it with other keys would mislead.
                self.unreadable.add(where)
        return tuple(items)

    def _commands(self, node: yaml.Node, where: str) -> tuple[tuple[str, ...], ...]:
        if isinstance(node, yaml.ScalarNode) and node.tag == TEXT:
            return (self._command(node, where),)
        return self._items(node, where, self._command)

    def _command(self, node: yaml.Node, where: str) -> tuple[str, ...]:
        argument = Rule(free=True)
        if not isinstance(node, yaml.ScalarNode):
            return self._items(node, where, lambda child, _: self._scalar_value(str, argument, child))
        try:
            # Split before substituting: a blank in a variable must not split one argument into two.
            words = shlex.split(node.value)
        except ValueError as exc:
            raise InvalidError(f"is not a command line: {exc}") from exc
        return tuple(substituted(word, self._variables) for word in words)

    def _free_mapping(self, node: yaml.Node, where: str) -> dict[str, str]:
        if isinstance(node, yaml.ScalarNode) and node.tag == NULL:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise InvalidError("must be a section of KEY: value lines")
        values = {}
        for key, _, child in self._pairs(node, where):
            path = _join(where, shown(key))
            try:
                values[key] = read_free_text(self._scalar(child))
            except (InvalidError, SubstitutionError) as exc:
                self.complain(path, str(exc), child)
        return values

    def _secret(self, node: yaml.Node) -> SecretRef:
        forms = "{env: NAME}, {file: PATH} or {hadoop: ALIAS}"
        if isinstance(node, yaml.ScalarNode):
            raise InvalidError(f"a secret is never written in place: use {forms}")
        entries = node.value if isinstance(node, yaml.MappingNode) else []
        if len(entries) != 1 or entries[0][0].value not in SECRET_KINDS:
            raise InvalidError(f"must be one of {forms}")
        kind = entries[0][0].value
        value = self._scalar(entries[0][1])
        # Messages must not show the value: it may be the secret itself, written in the wrong place.
        if not value.is_a(TEXT) or not value.text.strip() or not value.text.isprintable():
            raise InvalidError(f"must be one of {forms}, with a text")
        if kind == "env" and environment_name(value.text):
            raise InvalidError("{env: NAME} must name an environment variable")
        return SecretRef(kind, self._path(value.text) if kind == "file" else value.text)

    def _location(self, text: str) -> str:
        if carries_secret(text):
            raise InvalidError("holds a password: a secret is never written in place")
        if text.startswith("file:/"):
            return os.path.normpath(re.sub(r"^file:(//)?", "", text))
        return text if is_uri(text) else self._path(text)

    def _path(self, text: str) -> str:
        if text == "~" or text.startswith("~/"):
            text = self._home + text[1:]
        return os.path.normpath(self._directory / text)


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
