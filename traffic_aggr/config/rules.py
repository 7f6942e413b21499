"""What a single value of the configuration may be."""

from __future__ import annotations

import re
from typing import Optional

_IDENTIFIER = re.compile(r"[A-Za-z0-9_]{1,128}")
_ADDRESS = re.compile(r"[!-~]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]+")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPARK_MASTER = re.compile(
    r"local(\[(\*|[0-9]+)(, *[0-9]+)?\])?|local-cluster\[[0-9]+, *[0-9]+, *[0-9]+\]|yarn|(spark|k8s|mesos)://.+"
)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/.*")

_SECRET_IN_VALUE = re.compile(
    r"(password|passwd|pwd|secret|token|access[.]?key)=.|://[^/@\s]*:[^/@\s]+@", re.IGNORECASE
)


def is_uri(location: str) -> bool:
    """Whether a location is a URI, such as ``hdfs://nameservice/dir``, and not a local path."""
    return bool(_URI.fullmatch(location))


def identifier(text: str) -> Optional[str]:
    """What is wrong with the name of a database or table; None if nothing is."""
    return None if _IDENTIFIER.fullmatch(text) else "must be a name of letters, digits and _"


def mail_address(text: str) -> Optional[str]:
    """What is wrong with a mail address; None if nothing is. A display name is not accepted."""
    if _ADDRESS.fullmatch(text) and text.count("@") == 1 and not re.search(r"[,;:<>()\[\]\"\\]", text):
        return None
    return "must be one plain mail address, such as desk@example.com"


def host_name(text: str) -> Optional[str]:
    """What is wrong with a host name or IP address (IPv6 without brackets); None if nothing is."""
    return None if _HOST.fullmatch(text) else "must be a host name or an IP address"


def metrics_file(text: str) -> Optional[str]:
    """What is wrong with a file name for node_exporter's textfile collector; None if nothing is."""
    return None if text.endswith(".prom") else "must end in .prom, or node_exporter does not read it"


def environment_name(text: str) -> Optional[str]:
    """What is wrong with the name of an environment variable; None if nothing is."""
    return None if _ENVIRONMENT_NAME.fullmatch(text) else "must name an environment variable"


def spark_master(text: str) -> Optional[str]:
    """What is wrong with a Spark master; None if nothing is."""
    return None if _SPARK_MASTER.fullmatch(text) else "must be local[*], local[N], yarn, spark://…, k8s://…"


def carries_secret(text: str) -> bool:
    """Whether a value looks like ``password=…`` or like a URL that contains a password."""
    return bool(_SECRET_IN_VALUE.search(text))
