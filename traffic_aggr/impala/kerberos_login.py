"""
Chooses the Kerberos login for Impala: the keytab named in Spark's own settings, else the user's ticket cache.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from traffic_aggr.config.sections import ImpalaAuthConfig, SparkConfig
from traffic_aggr.errors import ConfigError

KEYS = {
    "principal": ("spark.kerberos.principal", "spark.yarn.principal"),
    "keytab": ("spark.kerberos.keytab", "spark.yarn.keytab"),
}
"""The Spark settings that spark-submit sets from ``--principal`` and ``--keytab``; the second name is Spark 2's."""


@dataclass(frozen=True)
class KerberosLogin:
    """A principal and the path of the local keytab with its key."""

    principal: str
    keytab: str


def kerberos_login(
    auth: ImpalaAuthConfig, spark: SparkConfig, running: Optional[Mapping[str, str]] = None
) -> Optional[KerberosLogin]:
    """
    Returns Spark's own login, or None when it has none or Impala does not use Kerberos.

    ``running`` (the settings of a running Spark) wins over ``spark.submit``, and that over ``spark.conf``, as in
    spark-submit. Only a running Spark knows what its own files and command line set and where YARN put the keytab.

    Raises ConfigError when only a principal or only a keytab is set, when the keytab cannot be read, or when its mode
    gives others access.
    """
    if auth.mechanism != "GSSAPI":
        return None
    given = {**_settings(spark.submit, spark.conf), **(running or {})}
    principal, keytab = (next(filter(None, map(given.get, KEYS[name])), None) for name in ("principal", "keytab"))
    if principal is None and keytab is None:
        return None
    if principal is None or keytab is None:
        missing = "principal" if principal is None else "keytab"
        raise ConfigError(
            f"spark.conf: spark.kerberos.{missing} is missing beside the other half of the Kerberos login",
            hint="Set spark.kerberos.principal and spark.kerberos.keytab, or neither to use the user's ticket",
        )
    _check_keytab(keytab)
    return KerberosLogin(principal, keytab)


def login_settings(get: Callable[[str, Optional[str]], Optional[str]]) -> dict[str, str]:
    """
    Returns those of a running Spark's settings that name a login. ``get`` returns one, or its second argument.
    """
    found = {key: get(key, None) for keys in KEYS.values() for key in keys}
    return {key: value for key, value in found.items() if value is not None}


def _settings(submit: Sequence[str], conf: Mapping[str, str]) -> Mapping[str, str]:
    settings = dict(conf)
    arguments = iter(submit)
    named: dict[str, str] = {}
    for option, value in _options(arguments):
        if option in ("--conf", "-c"):
            key, _, setting = value.partition("=")
            settings[key.strip()] = setting.strip()
        elif option.lstrip("-") in KEYS:
            named[KEYS[option.lstrip("-")][0]] = value
    return {**settings, **named}


def _options(arguments: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yields each option with its value, given as ``--option value`` or ``--option=value``."""
    for argument in arguments:
        if argument.startswith("--") and "=" in argument:
            option, _, value = argument.partition("=")
            yield option, value
        elif argument in ("--conf", "-c", "--principal", "--keytab"):
            yield argument, next(arguments, "")


def _check_keytab(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
        readable = os.access(path, os.R_OK)
    except OSError as exc:
        raise _unreadable(path, exc.strerror or str(exc)) from exc
    if not stat.S_ISREG(mode):
        raise _unreadable(path, "it is not a regular file")
    if not readable:
        raise _unreadable(path, "permission denied")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"spark.kerberos.keytab: {path} is open to others (mode {stat.S_IMODE(mode):04o})",
            hint=f"Run: chmod 600 {path}",
        )


def _unreadable(path: str, reason: str) -> ConfigError:
    return ConfigError(
        f"spark.kerberos.keytab: {path} cannot be read: {reason}", hint="Make it readable for the job's user alone"
    )
