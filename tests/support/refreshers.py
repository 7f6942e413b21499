"""
How tests ask a coordinator: short limits, waits that are only recorded, and the statements to send.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

from devtools.impala_double import ImpalaDouble
from traffic_aggr.config.config import HostPort, ImpalaAuthConfig, ImpalaConfig, RetryConfig, TlsConfig
from traffic_aggr.config.load import load_config
from traffic_aggr.impala.refresh import ImpalaRefresher
from traffic_aggr.restate.probes import ProbeResult, probe_impala
from traffic_aggr.traffic.job import TRAFFIC

REFRESH = "REFRESH mnaas.final"
REFRESH_DAY = "REFRESH mnaas.final PARTITION (partition_date='2021-04-01')"
SYNC = {"SYNC_DDL": "true"}
ATTEMPTS = 3
TIMEOUT_S = 0.25
"""For calls that never get an answer. On a busy machine a real answer may take longer."""

LONG_S = 30.0
SECRET = "hunter2-and-more"


class Waits(list[float]):
    """A sleep that only records the seconds."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def address(double: ImpalaDouble) -> HostPort:
    return HostPort(double.host, double.port)


def config(*hosts: HostPort, **changes: Any) -> ImpalaConfig:
    retry = RetryConfig(attempts=ATTEMPTS, initial_wait_s=1, max_wait_s=60, deadline_s=900)
    return replace(ImpalaConfig(hosts=hosts, timeout_s=LONG_S, retry=retry, sync_ddl=False), **changes)


def refresher(settings: ImpalaConfig, password: Optional[str] = None, **injected: Any) -> ImpalaRefresher:
    return ImpalaRefresher(settings, password, **{"sleep": Waits(), "random": lambda: 1.0, **injected})


def received(double: ImpalaDouble) -> list[str]:
    return [statement.sql for statement in double.journal.statements]


def eventually(true: Callable[[], bool]) -> bool:
    for _ in range(500):
        if true():
            return True
        time.sleep(0.02)
    return False


def with_auth(settings: ImpalaConfig, mechanism: str, user: Optional[str] = "etl") -> ImpalaConfig:
    return replace(settings, auth=ImpalaAuthConfig(mechanism=mechanism, user=user))


def with_tls(settings: ImpalaConfig, ca_cert: Optional[Path]) -> ImpalaConfig:
    return replace(settings, tls=TlsConfig(enabled=True, ca_cert=ca_cert))


def case(value: Any) -> str:
    return str(getattr(value, "name", value)).replace("\\", "")


def checked(tmp_path: Path, impala: str, tables: str = "{}", spark: str = "{}") -> list[ProbeResult]:
    """Returns what ``check`` finds out about Impala."""
    (tmp_path / "job.yaml").write_text(
        f"""
partitions: {{file: days}}
impala: {impala}
state: {{dir: state, status_file: status, lock_file: lock}}
logs: {{dir: logs}}
notify: {{smtp: {{host: null}}, alert_file: alerts.jsonl}}
tables: {tables}
spark: {spark}
"""
    )
    return list(probe_impala(load_config(tmp_path / "job.yaml", {}), TRAFFIC, None))
