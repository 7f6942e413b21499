"""Single values of the configuration: what a key accepts, and how its text is parsed."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Callable, Optional, Union

from traffic_aggr.config.rules import host_name
from traffic_aggr.config.yaml_nodes import BOOL, FLOAT, INT, NULL, TEXT, Scalar
from traffic_aggr.text import shown


@dataclasses.dataclass(frozen=True)
class Rule:
    """
    What a key accepts beyond its field's type.

    ``key`` is the key's name if it differs from the field's. ``check`` returns what is wrong with a text, or None. A
    ``location`` is a path or a URI. ``free`` texts may also be written as YAML numbers and booleans. ``commands`` are
    lists of command lines.
    """

    key: Optional[str] = None
    choices: tuple[str, ...] = ()
    at_least: Optional[float] = None
    at_most: Optional[float] = None
    check: Optional[Callable[[str], Optional[str]]] = None
    location: bool = False
    free: bool = False
    commands: bool = False


@dataclasses.dataclass(frozen=True)
class HostPort:
    """A server's address. ``host`` has no brackets; ``str()`` puts an IPv6 address in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class InvalidError(Exception):
    """A key does not accept its value. The text says what it must be, and shows no variable's value."""


def read_bool(value: Scalar) -> bool:
    """Parses true or false. Raises InvalidError."""
    if not value.is_a(BOOL):
        raise InvalidError(f"must be true or false{_not_this(value)}")
    return value.text.lower() in ("yes", "true", "on")


def read_number(kind: Callable[[str], Union[int, float]], rule: Rule, value: Scalar) -> Union[int, float]:
    """Parses a whole or finite number within the rule's bounds. Raises InvalidError."""
    bounds = f"from {rule.at_least:g}" if rule.at_least is not None else ""
    bounds += f" to {rule.at_most:g}" if rule.at_most is not None else ""
    wanted = f"must be a {'whole ' if kind is int else ''}number {bounds}{_not_this(value)}"
    if not (value.is_a(INT) or (kind is float and value.is_a(FLOAT))):
        raise InvalidError(wanted)
    number = kind(value.text)
    too_small = rule.at_least is not None and number < rule.at_least
    too_large = rule.at_most is not None and number > rule.at_most
    if too_small or too_large or not math.isfinite(number):
        raise InvalidError(wanted)
    return number


def read_text(rule: Rule, value: Scalar) -> str:
    """Returns one line of text that obeys the rule. Raises InvalidError."""
    if rule.free:
        return read_free_text(value)
    if not value.is_a(TEXT):
        raise InvalidError(f"must be text{_not_this(value)}; quote it if that is what you mean")
    if not value.text.strip():
        raise InvalidError("must not be empty")
    if not value.text.isprintable():
        raise InvalidError("must not hold line breaks or control characters")
    if rule.choices and value.text not in rule.choices:
        raise InvalidError(f"must be one of {', '.join(rule.choices)}{_not_this(value)}")
    wrong = rule.check(value.text) if rule.check else None
    if wrong:
        raise InvalidError(wrong + _not_this(value))
    return value.text


def read_free_text(value: Scalar) -> str:
    """Returns one line of text as Spark takes it; a boolean as true or false. Raises InvalidError."""
    if value.tag == NULL:
        raise InvalidError("must have a value")
    if value.tag == BOOL:
        return str(read_bool(value)).lower()
    if not value.text.isprintable():
        raise InvalidError("must not hold line breaks or control characters")
    return value.text


def read_host_port(text: str) -> HostPort:
    """Parses ``HOST:PORT``, with an IPv6 address in brackets. Raises InvalidError."""
    match = re.fullmatch(r"(?:\[([^\]]*)\]|([^:]*)):([0-9]{1,5})", text)
    host = (match[1] or match[2]) if match else ""
    if match is None or host_name(host) or (match[1] is not None) != (":" in host):
        raise InvalidError("must be HOST:PORT, such as impalad-1.example.com:21050 or [::1]:21050")
    if not 1 <= int(match[3]) <= 65535:
        raise InvalidError("must have a port from 1 to 65535")
    return HostPort(host, int(match[3]))


def _not_this(value: Scalar) -> str:
    return f", not '{shown(value.original)}'"
