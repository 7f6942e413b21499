"""Reads a configuration from YAML and finds every problem at once (``contract.md``, "Config (YAML)")."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Union

from traffic_aggr.config.config import Config
from traffic_aggr.config.consistency import combinations
from traffic_aggr.config.reader import SectionReader
from traffic_aggr.config.yaml_nodes import UnreadableError, read_yaml
from traffic_aggr.errors import ConfigError
from traffic_aggr.units import counted


class ConfigProblemsError(ConfigError):
    """The configuration has the ``problems`` listed, each beginning with its key if it has one."""

    def __init__(self, path: Path, problems: tuple[str, ...], *, hint: str = "") -> None:
        count = f"{counted(len(problems), 'problem')}: " if len(problems) > 1 else ""
        super().__init__(f"{path}: {count}{'; '.join(problems)}", hint=hint)
        self.path = path
        self.problems = problems

    @property
    def lines(self) -> Sequence[str]:
        """The problems, a line each below a line that names the file; nothing where the message has only one."""
        if len(self.problems) == 1:
            return ()
        return [f"{self.path} has {counted(len(self.problems), 'problem')}", *(f"  {each}" for each in self.problems)]


def load_config(path: Union[str, Path], environ: Mapping[str, str]) -> Config:
    """
    Reads the configuration from a YAML file, with variables from ``environ``.

    ``${CONFIG_DIR}`` is the file's own directory, and relative paths start there. Raises ``ConfigProblemsError``, an
    ``errors.ConfigError``, with every problem found.
    """
    path = Path(os.path.abspath(path))
    try:
        node = read_yaml(path)
    except UnreadableError as exc:
        raise ConfigProblemsError(
            path, (str(exc),), hint="Name another file with --config, or fix this one; conf/local.yaml shows every key"
        ) from exc
    reader = SectionReader(path.parent, environ)
    config: Config = reader.read(Config, node, path=path)
    for keys, wrong in combinations(config):
        if not reader.unreadable.intersection(keys):
            reader.problems.append(f"{keys[0]}: {wrong}")
    if reader.problems:
        raise ConfigProblemsError(path, tuple(reader.problems), hint="conf/local.yaml shows every key")
    return config
