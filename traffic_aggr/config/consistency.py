"""Values of the configuration that are right by themselves and contradict each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from traffic_aggr.config.config import Config
from traffic_aggr.config.rules import carries_secret, identifier, is_uri
from traffic_aggr.config.sections import ImpalaConfig, NotifyConfig, SparkConfig
from traffic_aggr.text import shown

# (keys, what is wrong). Messages name the first key. A problem counts only if all of its keys were readable.
Problem = tuple[tuple[str, ...], str]

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")

# As in Spark's spark.redaction.regex, plus Azure's account keys.
_SECRET_KEY = re.compile(r"secret|password|token|access[.]?key|account[.]key", re.IGNORECASE)
_KEY_OF_PATH = re.compile(r"(file|path)$", re.IGNORECASE)


def combinations(config: Config) -> Iterator[Problem]:
    """Yields the problems of values that are valid by themselves but not together."""
    yield from _tables(config)
    yield from _impala(config.impala)
    yield from _notify(config.notify)
    yield from _files(config)
    yield from _hooks(config)
    yield from _spark(config.spark)
    yield from _cluster(config)


def _cluster(config: Config) -> Iterator[Problem]:
    """In YARN's cluster mode the driver runs on another host, without this host's disk and environment."""
    if (config.spark.master, config.spark.deploy_mode) != ("yarn", "cluster"):
        return
    mode, state = "spark.deploy_mode", config.state.dir
    if not is_uri(state) or state.startswith("file:"):
        yield ("state.dir", mode), "must be a URI such as hdfs://…: with deploy_mode cluster the driver is elsewhere"
    password = config.impala.auth.password
    if password is not None and password.kind != "hadoop":
        yield (
            ("impala.auth.password", mode),
            "must be {hadoop: ALIAS}: with deploy_mode cluster the driver is elsewhere, and no secret travels to it",
        )


def _tables(config: Config) -> Iterator[Problem]:
    keys = ("raw", "staging", "final", "org_details", "country_lookup")
    names = {f"tables.{key}": getattr(config.tables, key) for key in keys}
    for role, name in config.tables.lookups.items():
        wrong = identifier(name)
        if wrong:
            yield ("tables.lookups",), f"{shown(role)}: {wrong}"
        names[f"tables.lookups.{role}"] = name
    keys_by_name: dict[str, str] = {}
    for key, name in names.items():
        earlier = keys_by_name.setdefault(name.lower(), key)
        if earlier != key:
            yield (key, earlier), f"must not be the same table as {earlier} ({shown(name)})"


def _impala(impala: ImpalaConfig) -> Iterator[Problem]:
    auth, retry = impala.auth, impala.retry
    mechanism = "impala.auth.mechanism"
    if impala.enabled and not impala.hosts:
        yield (
            ("impala.hosts", "impala.enabled"),
            "is required: give [HOST:PORT, …], or set impala.enabled: false where Impala is not to be refreshed",
        )
    if auth.mechanism in ("PLAIN", "LDAP"):
        if auth.user is None:
            yield ("impala.auth.user", mechanism), f"is required with mechanism {auth.mechanism}"
        if auth.password is None:
            yield ("impala.auth.password", mechanism), f"is required with mechanism {auth.mechanism}"
    elif auth.password is not None:
        yield (
            ("impala.auth.password", mechanism),
            f"is not used by mechanism {auth.mechanism}: remove it, or set mechanism to LDAP or PLAIN",
        )
    if impala.tls.ca_cert is not None and not impala.tls.enabled:
        yield ("impala.tls.ca_cert", "impala.tls.enabled"), "is not used: set impala.tls.enabled: true, or remove it"
    if retry.initial_wait_s > retry.max_wait_s:
        yield (
            ("impala.retry.initial_wait_s", "impala.retry.max_wait_s"),
            f"must not be more than impala.retry.max_wait_s ({retry.max_wait_s:g})",
        )


def _notify(notify: NotifyConfig) -> Iterator[Problem]:
    smtp = notify.smtp
    host, user, password = "notify.smtp.host", "notify.smtp.user", "notify.smtp.password"
    if smtp.host is not None:
        off = "or set notify.smtp.host: null to send no mail"
        if notify.from_ is None:
            yield ("notify.from", host), f"is required: give the sender's address, {off}"
        if not notify.ticket_to:
            yield ("notify.ticket_to", host), f"is required: give the addresses that open a ticket, {off}"
    if smtp.user is not None and smtp.password is None:
        yield (password, user), "is required with notify.smtp.user"
    if smtp.password is not None and smtp.user is None:
        yield (user, password), "is required with notify.smtp.password"
    if smtp.password is not None and smtp.tls == "none" and smtp.host not in (None, *LOOPBACK_HOSTS):
        yield (
            ("notify.smtp.tls", password, host),
            "must be starttls or ssl: with none the password would cross the network in clear",
        )


def _files(config: Config) -> Iterator[Problem]:
    files = {
        "state.status_file": str(config.state.status_file),
        "the lock of state.status_file": f"{config.state.status_file}.lock",
        "state.lock_file": str(config.state.lock_file),
        "notify.alert_file": str(config.notify.alert_file),
        "partitions.file": config.partitions.file,
    }
    if config.metrics.textfile is not None:
        files["metrics.textfile"] = str(config.metrics.textfile)
    uses: dict[str, str] = {}
    for use, path in files.items():
        earlier = uses.setdefault(path, use)
        if earlier != use:
            yield (use, earlier, "state.status_file"), f"must be another file than {earlier}"


def _hooks(config: Config) -> Iterator[Problem]:
    for number, command in enumerate(config.hooks.after_load):
        key = f"hooks.after_load[{number}]"
        if not command:
            yield (key,), "must not be empty"
        elif command[0].startswith("-"):
            yield (key,), "looks like an argument: write each command as a list of its own, - [COMMAND, ARGUMENT]"
        elif any(carries_secret(argument) for argument in command):
            yield (key,), "seems to hold a secret: let the command read it from a file or its environment"


def _spark(spark: SparkConfig) -> Iterator[Problem]:
    if spark.deploy_mode == "cluster" and spark.master != "yarn":
        keys = ("spark.deploy_mode", "spark.master")
        yield keys, f"cannot be cluster with master {shown(spark.master)}: set client, or master yarn"
    for number, argument in enumerate(spark.submit):
        key = f"spark.submit[{number}]"
        option = argument.partition("=")[0]
        if option in ("--master", "--deploy-mode"):
            yield (key,), f"must not set {option}: that is spark.{option[2:].replace('-', '_')}"
        elif carries_secret(argument) or _names_secret(*_setting(argument)):
            yield (key,), "seems to hold a secret: keep it in a file for spark-submit's --properties-file"
    owned = {"spark.master": "spark.master", "spark.submit.deployMode": "spark.deploy_mode"}
    for name, value in spark.conf.items():
        key = f"spark.conf.{shown(name)}"
        if name in owned:
            yield (key,), f"is set by the key {owned[name]} of this file"
        elif _names_secret(name, value) or carries_secret(value):
            yield (
                (key,),
                "seems to hold a secret: keep it in a Hadoop credential provider "
                "(spark.hadoop.hadoop.security.credential.provider.path) or in spark-submit's --properties-file",
            )


def _setting(argument: str) -> tuple[str, str]:
    name, equals, value = argument.partition("=")
    return (name, value) if equals and not name.startswith("-") else ("", "")


def _names_secret(name: str, value: str) -> bool:
    is_switch = value.lower() in ("", "true", "false")
    return bool(_SECRET_KEY.search(name)) and not _KEY_OF_PATH.search(name) and not is_switch
