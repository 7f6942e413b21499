"""The whole configuration: all sections together."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traffic_aggr.config.reader import key_of, option, options_of
from traffic_aggr.config.rules import is_uri
from traffic_aggr.config.secrets import SecretRef
from traffic_aggr.config.sections import (
    AuditConfig,
    HooksConfig,
    ImpalaAuthConfig,
    ImpalaConfig,
    JobConfig,
    LogsConfig,
    MetricsConfig,
    NotifyConfig,
    PartitionsConfig,
    PublishConfig,
    RetryConfig,
    SmtpConfig,
    SparkConfig,
    StateConfig,
    TablesConfig,
    TlsConfig,
)
from traffic_aggr.config.values import HostPort
from traffic_aggr.config.yaml_nodes import literal

__all__ = [
    "AuditConfig",
    "Config",
    "HooksConfig",
    "HostPort",
    "ImpalaAuthConfig",
    "ImpalaConfig",
    "JobConfig",
    "LogsConfig",
    "MetricsConfig",
    "NotifyConfig",
    "PartitionsConfig",
    "PublishConfig",
    "RetryConfig",
    "SecretRef",
    "SmtpConfig",
    "SparkConfig",
    "StateConfig",
    "TablesConfig",
    "TlsConfig",
    "is_uri",
]


@dataclass(frozen=True)
class Config:
    """The sections, and the keys outside of them. Read from the file ``path``."""

    path: Path
    partitions: PartitionsConfig = field(metadata=option("The days to restate"))
    state: StateConfig = field(metadata=option("Run records, status file, lock"))
    logs: LogsConfig = field(metadata=option("The log"))
    notify: NotifyConfig = field(metadata=option("Mail and alerts"))
    job: JobConfig = field(default_factory=JobConfig, metadata=option("Names"))
    tables: TablesConfig = field(default_factory=TablesConfig, metadata=option("Tables"))
    publish: PublishConfig = field(default_factory=PublishConfig, metadata=option("Publishing"))
    audit: AuditConfig = field(default_factory=AuditConfig, metadata=option("Guards"))
    impala: ImpalaConfig = field(default_factory=ImpalaConfig, metadata=option("Impala"))
    metrics: MetricsConfig = field(default_factory=MetricsConfig, metadata=option("Monitoring"))
    dependants: tuple[Path, ...] = field(
        default=(),
        metadata=option("Configurations of jobs that read the final table: they restate what changed days are part of"),
    )
    hooks: HooksConfig = field(default_factory=HooksConfig, metadata=option("Commands run after a load"))
    spark: SparkConfig = field(default_factory=SparkConfig, metadata=option("Spark"))

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all effective values; for a secret, of where it is kept."""
        canonical = json.dumps(_as_json(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    def to_yaml(self) -> str:
        """All effective values as YAML; ``load_config`` reads the same values from it on any host."""
        return literal(json.dumps(_as_json(self))) + "\n"

    def secret_refs(self) -> Iterator[tuple[str, SecretRef]]:
        """Yields the key and the reference of each configured secret."""
        return _secret_refs(self, "")


def _as_json(value: Any) -> Any:
    if isinstance(value, SecretRef):
        return {value.kind: value.name}
    if isinstance(value, (HostPort, Path)):
        return str(value)
    if dataclasses.is_dataclass(value):
        return {key_of(option): _as_json(getattr(value, option.name)) for option in options_of(type(value))}
    if isinstance(value, tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        # 300 and 300.0 are the same setting.
        return int(value)
    return value


def _secret_refs(section: Any, where: str) -> Iterator[tuple[str, SecretRef]]:
    for key in options_of(type(section)):
        value = getattr(section, key.name)
        path = f"{where}.{key_of(key)}" if where else key_of(key)
        if isinstance(value, SecretRef):
            yield path, value
        elif dataclasses.is_dataclass(value):
            yield from _secret_refs(value, path)
