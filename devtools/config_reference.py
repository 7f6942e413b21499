"""
Generates the reference of the configuration's keys from the classes that read it.

``python -m devtools.config_reference`` writes ``docs/configuration.md``.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from traffic_aggr.config.config import Config
from traffic_aggr.config.reader import key_of, options_of
from traffic_aggr.config.values import Rule

FILE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

_INTRODUCTION = """\
# Configuration

Every key of the YAML file, with its default. [conf/local.yaml](../conf/local.yaml) shows all of them with comments,
[conf/yarn.yaml](../conf/yarn.yaml) those of a cluster. `check` names all that is wrong with a file at once.

In any value `${NAME}` and `${NAME:-default}` take environment variables, `${CONFIG_DIR}` is the directory of the file,
and `$${` is a literal `${`. Relative paths start in the directory of the file, `~` is the home directory. A secret is
never written here: `{env: NAME}`, `{file: PATH}` (mode 0600) or `{hadoop: ALIAS}` says where it is kept.
"""


def reference() -> str:
    """Returns the page in Markdown."""
    return "\n".join([_INTRODUCTION, *_sections(Config, "")])


def _sections(section: type, prefix: str) -> Iterator[str]:
    types = typing.get_type_hints(section)
    keys = [field for field in options_of(section) if not dataclasses.is_dataclass(types[field.name])]
    if keys:
        title = f"`{prefix[:-1]}`" if prefix else "The whole file"
        yield f"## {title}\n\n{_described(section)}\n\n| key | default | meaning |\n| --- | --- | --- |"
        yield "".join(f"| `{prefix}{key_of(field)}` | {_default(field)} | {_meaning(field)} |\n" for field in keys)
    for field in options_of(section):
        if dataclasses.is_dataclass(types[field.name]):
            yield from _sections(types[field.name], f"{prefix}{key_of(field)}.")


def _described(section: type) -> str:
    return (section.__doc__ or "").replace("``", "`")


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return "`{}`"
    if field.default is dataclasses.MISSING:
        return "required"
    is_text = isinstance(field.default, str)
    return f"`{field.default if is_text else json.dumps(field.default)}`"


def _meaning(field: dataclasses.Field[Any]) -> str:
    rule: Rule = field.metadata["rule"]
    bounds = [f"from {rule.at_least:g}"] if rule.at_least is not None else []
    bounds += [f"to {rule.at_most:g}"] if rule.at_most is not None else []
    text: str = field.metadata["doc"].replace("|", "\\|")
    return f"{text} ({' '.join(bounds)})" if bounds else text


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
