"""
The sections of the configuration (``contract.md``, "Config (YAML)").

Each field's metadata holds what the key means (``doc``) and what it accepts (``rule``). The field's default is the
key's default; a field without one is a required key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from traffic_aggr.config.reader import option
from traffic_aggr.config.rules import host_name, identifier, mail_address, metrics_file, spark_master
from traffic_aggr.config.secrets import SecretRef
from traffic_aggr.config.values import HostPort

DAY_S = 86_400


@dataclass(frozen=True)
class JobConfig:
    """What the job is called."""

    name: str = field(
        default="traffic_adhoc_aggr", metadata=option("Name of the job in logs, mails and Spark's own pages")
    )
    script_name: str = field(
        default="MNAAS_Traffic_Adhoc_Aggr.sh",
        metadata=option("Name that the ticket mail gives the job, as the service desk knows it"),
    )
    definition: str = field(
        default="traffic_aggr.traffic.job:TRAFFIC",
        metadata=option("What the job restates: the JobDefinition NAME in a Python module, as package.module:NAME"),
    )


@dataclass(frozen=True)
class TablesConfig:
    """The tables, all in one database."""

    database: str = field(default="mnaas", metadata=option("Database of all tables", check=identifier))
    raw: str = field(
        default="traffic_details_raw_daily_with_no_dups",
        metadata=option("Table of charged CDR records; only read", check=identifier),
    )
    staging: str = field(
        default="traffic_aggr_adhoc_inter", metadata=option("Table that the days are aggregated into", check=identifier)
    )
    final: str = field(default="traffic_aggr_adhoc", metadata=option("Table whose days are restated", check=identifier))
    org_details: str = field(
        default="org_details", metadata=option("Lookup of customer names; only read", check=identifier)
    )
    country_lookup: str = field(
        default="country_lookup", metadata=option("Lookup of country names; only read", check=identifier)
    )
    lookups: Mapping[str, str] = field(
        default_factory=dict,
        metadata=option("Lookups of a job of your own, by role; a role without an entry is the table's name"),
    )
    create_missing: bool = field(
        default=True, metadata=option("Make a missing staging or final table, as Parquet, in place of refusing")
    )
    delimiter_in_text: str = field(
        default="fail",
        metadata=option(
            "A value that holds the delimiter of a text table: fail (refuse the run) or space (put a space instead)",
            choices=("fail", "space"),
        ),
    )

    def lookup(self, role: str) -> str:
        """Returns the name of the table that a job looks up in this role."""
        known = {"org_details": self.org_details, "country_lookup": self.country_lookup, **self.lookups}
        return known.get(role, role)

    @property
    def replaces_delimiters(self) -> bool:
        return self.delimiter_in_text == "space"


@dataclass(frozen=True)
class PartitionsConfig:
    """The days to restate."""

    file: str = field(metadata=option("The partition list: a local path or a URI such as hdfs://…", location=True))
    max_per_run: int = field(
        default=400, metadata=option("More days than this are refused", at_least=1, at_most=100_000)
    )
    empty_list: str = field(
        default="fail",
        metadata=option("A list without a day: fail, or ok (nothing to do)", choices=("fail", "ok")),
    )
    empty_source: str = field(
        default="fail",
        metadata=option(
            "A listed day without raw rows: fail, keep (its old data) or clear (it)", choices=("fail", "keep", "clear")
        ),
    )


@dataclass(frozen=True)
class PublishConfig:
    """How new data takes the place of old."""

    mode: str = field(
        default="drop_and_load",
        metadata=option(
            "drop_and_load (drop, stage, load) or swap (no reader ever finds a day missing)",
            choices=("drop_and_load", "swap"),
        ),
    )
    keep_days: int = field(
        default=7, metadata=option("Days for which old data is kept for a rollback", at_least=0, at_most=3650)
    )


@dataclass(frozen=True)
class AuditConfig:
    """Guards on what comes out."""

    max_change_pct: Optional[float] = field(
        default=None,
        metadata=option(
            "Refuse if a day's usage changes by more percent than this against the old data; null for any change",
            at_least=0,
            at_most=1_000_000,
        ),
    )


@dataclass(frozen=True)
class ImpalaAuthConfig:
    """How the job proves to Impala who it is."""

    mechanism: str = field(
        default="NOSASL",
        metadata=option("NOSASL, PLAIN, LDAP or GSSAPI (Kerberos)", choices=("NOSASL", "PLAIN", "LDAP", "GSSAPI")),
    )
    user: Optional[str] = field(default=None, metadata=option("User name, for PLAIN and LDAP"))
    password: Optional[SecretRef] = field(
        default=None, metadata=option("Where the password is kept, for PLAIN and LDAP")
    )
    kerberos_service: str = field(
        default="impala", metadata=option("First part of Impala's service principal, for GSSAPI")
    )


@dataclass(frozen=True)
class TlsConfig:
    """Encryption of the connection; the server's certificate and name are verified."""

    enabled: bool = field(default=False, metadata=option("Connect with TLS"))
    ca_cert: Optional[Path] = field(
        default=None, metadata=option("File with the authorities to trust; null for the system's own")
    )


@dataclass(frozen=True)
class RetryConfig:
    """Attempts at a statement that Impala does not answer, or answers with an error that passes."""

    attempts: int = field(
        default=15, metadata=option("Attempts in all, over the hosts in turn", at_least=1, at_most=100)
    )
    initial_wait_s: float = field(
        default=1, metadata=option("Wait before the second attempt, in seconds", at_least=0, at_most=DAY_S)
    )
    max_wait_s: float = field(
        default=60, metadata=option("Longest wait between two attempts, in seconds", at_least=0, at_most=DAY_S)
    )
    deadline_s: float = field(
        default=900, metadata=option("No attempt starts later than this, in seconds", at_least=0.1, at_most=DAY_S)
    )


@dataclass(frozen=True)
class ImpalaConfig:
    """Impala, which reads the final table and caches what it knows of it."""

    enabled: bool = field(default=True, metadata=option("Refresh Impala at all"))
    hosts: tuple[HostPort, ...] = field(
        default=(), metadata=option("Coordinators as HOST:PORT, tried in turn; required while enabled")
    )
    auth: ImpalaAuthConfig = field(default_factory=ImpalaAuthConfig, metadata=option("Authentication"))
    tls: TlsConfig = field(default_factory=TlsConfig, metadata=option("Encryption"))
    timeout_s: float = field(
        default=300,
        metadata=option(
            "Hard limit of one statement, in seconds, whatever the server does", at_least=0.1, at_most=DAY_S
        ),
    )
    retry: RetryConfig = field(default_factory=RetryConfig, metadata=option("Attempts"))
    sync_ddl: bool = field(
        default=True, metadata=option("A refresh returns only when every coordinator knows of it (SYNC_DDL)")
    )
    verify: bool = field(
        default=True, metadata=option("Compare Impala's own totals of the final table per day at the end, all sums")
    )
    verify_raw: bool = field(
        default=True, metadata=option("Compare Impala's own totals of raw per day before anything is touched")
    )


@dataclass(frozen=True)
class StateConfig:
    """Where the job keeps what it knows of its runs."""

    dir: str = field(metadata=option("Run records: a local directory or a URI such as hdfs://…", location=True))
    status_file: Path = field(metadata=option("The process-status file that other scripts read and write"))
    lock_file: Path = field(metadata=option("The lock that keeps two runs apart"))


@dataclass(frozen=True)
class LogsConfig:
    """The log file, ``traffic_adhoc_aggr.log`` in ``dir``."""

    dir: Path = field(metadata=option("Directory of the log files"))
    level: str = field(
        default="INFO",
        metadata=option("Least level that is logged", choices=("DEBUG", "INFO", "WARNING", "ERROR")),
    )
    format: str = field(default="text", metadata=option("text, or json (one object a line)", choices=("text", "json")))
    keep_days: int = field(
        default=30, metadata=option("Old files kept; there is one for each day with a run", at_least=0, at_most=3650)
    )
    syslog: bool = field(default=False, metadata=option("Log to the system's log as well"))


@dataclass(frozen=True)
class SmtpConfig:
    """The mail server."""

    host: Optional[str] = field(
        default="localhost", metadata=option("Mail server; null sends no mail", check=host_name)
    )
    port: int = field(default=25, metadata=option("Its port", at_least=1, at_most=65535))
    tls: str = field(
        default="none",
        metadata=option("none, starttls or ssl; encrypted means verified", choices=("none", "starttls", "ssl")),
    )
    user: Optional[str] = field(default=None, metadata=option("User name; null for none"))
    password: Optional[SecretRef] = field(default=None, metadata=option("Where the password is kept"))
    timeout_s: float = field(
        default=20, metadata=option("Limit of one attempt, in seconds", at_least=0.1, at_most=3600)
    )
    attempts: int = field(default=3, metadata=option("Attempts to hand one mail over", at_least=1, at_most=100))


@dataclass(frozen=True)
class NotifyConfig:
    """Whom the job tells."""

    alert_file: Path = field(metadata=option("Alerts that could not be mailed, one JSON object a line"))
    smtp: SmtpConfig = field(default_factory=SmtpConfig, metadata=option("The mail server"))
    from_: Optional[str] = field(
        default=None, metadata=option("Sender; required with smtp.host", key="from", check=mail_address)
    )
    ticket_to: tuple[str, ...] = field(
        default=(), metadata=option("Addresses that open a ticket; required with smtp.host", check=mail_address)
    )
    cc: tuple[str, ...] = field(default=(), metadata=option("Addresses that get a copy", check=mail_address))


@dataclass(frozen=True)
class MetricsConfig:
    """The last run in numbers, for monitoring."""

    textfile: Optional[Path] = field(
        default=None,
        metadata=option(
            "File in the directory of node_exporter's textfile collector, its name ending in .prom; null for none",
            check=metrics_file,
        ),
    )


@dataclass(frozen=True)
class HooksConfig:
    """Commands run without a shell."""

    after_load: tuple[tuple[str, ...], ...] = field(
        default=(),
        metadata=option(
            "Commands to run after a successful load, each a list or one text; {partitions} stands for the restated"
            " ones, separated by commas; a failure is a warning",
            commands=True,
        ),
    )


@dataclass(frozen=True)
class SparkConfig:
    """Where and how Spark runs."""

    master: str = field(default="local[*]", metadata=option("Spark's master", check=spark_master))
    deploy_mode: str = field(
        default="client",
        metadata=option("Where the driver runs: client (on this host) or cluster", choices=("client", "cluster")),
    )
    engine: str = field(
        default="jvm",
        metadata=option(
            "What aggregates: jvm, or velox (native code, with Gluten under Spark 3.5)", choices=("jvm", "velox")
        ),
    )
    engine_jar: Optional[Path] = field(
        default=None, metadata=option("Gluten's jar, for velox; null for that of `make EXTRAS=velox setup`")
    )
    submit: tuple[str, ...] = field(default=(), metadata=option("Further arguments of spark-submit", free=True))
    conf: Mapping[str, str] = field(default_factory=dict, metadata=option("Spark settings"))
