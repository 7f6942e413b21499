"""
The nightly run as an Airflow 3 DAG, for a worker on the edge node (queue ``edge``), where lock and status file are.

Airflow retries a failure (exit code 1), which resumes the run. It does not retry what a person must fix first (2, 3) or
has stopped on purpose (130, 143). It skips the task when another run holds the lock (75). Ending the task sends SIGTERM
to the driver. The driver has a session of its own, so it puts old data back even when Airflow no longer listens.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

LAUNCHER = "/opt/traffic_aggr/spark-submit.sh"
CONFIG = "/etc/traffic_aggr/my.yaml"
# Not the worker's own environment: that holds Airflow's secrets, and a PYTHONPATH that is not the job's.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HADOOP_CONF_DIR": "/etc/hadoop/conf"}

LOCK_HELD = 75
FOR_PEOPLE = (2, 3, 130, 143)


class TrafficAggrOperator(BaseOperator):
    """Runs one command of the job. Its exit code decides the state of the task."""

    def __init__(self, *, command: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.command = command
        self._hook = SubprocessHook()

    def execute(self, context: Any) -> None:
        done = self._hook.run_command([LAUNCHER, self.command, "--config", CONFIG], env=ENVIRONMENT, cwd="/")
        told = f"{self.command} ended with exit code {done.exit_code}: {done.output}"
        if done.exit_code == LOCK_HELD:
            raise AirflowSkipException(told)
        if done.exit_code in FOR_PEOPLE:
            raise AirflowFailException(told)
        if done.exit_code != 0:
            raise AirflowException(told)

    def on_kill(self) -> None:
        self._hook.send_sigterm()


with DAG(
    dag_id="traffic_aggr",
    description="Restates days of the traffic table",
    schedule="2 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"queue": "edge", "retries": 2, "retry_delay": timedelta(minutes=15)},
):
    run = TrafficAggrOperator(task_id="run", command="run")
    cleanup = TrafficAggrOperator(task_id="cleanup", command="cleanup")
    run >> cleanup
