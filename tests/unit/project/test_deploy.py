"""
The examples around the job: their commands, keys, names and exit codes are those of the program, and the tools that
they are for take them, where these are installed.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from types import ModuleType
from typing import Any, Optional

import pytest
import yaml

from tests.support.fakes import run_record
from tests.support.paths import ROOT
from traffic_aggr import errors
from traffic_aggr.cli.main import main
from traffic_aggr.config.load import load_config
from traffic_aggr.host import log
from traffic_aggr.host.metrics import render_metrics
from traffic_aggr.spark import jvm

DEPLOY = ROOT / "deploy"
LAUNCHER = "/opt/traffic_aggr/spark-submit.sh"
ERROR_CODES = {each.exit_code for each in vars(errors).values() if hasattr(each, "exit_code")} | {130, 143}


def tool(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: {package})")
    return found


def ran(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=60, check=False, **options
    )


def cron_lines() -> tuple[dict[str, str], list[str]]:
    """The crontab's variables, and its commands."""
    lines = [line for line in (DEPLOY / "crontab").read_text().splitlines() if line and not line.startswith("#")]
    variables = dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))
    return variables, [line.split(None, 5)[5] for line in lines if re.match(r"[\d*]", line)]


def unit(name: str) -> ConfigParser:
    """A systemd unit; of a key that stands more than once, the last."""
    parser = ConfigParser(interpolation=None, strict=False, comment_prefixes=("#",), delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((DEPLOY / name).read_text())
    return parser


def stand_in(path: Path, code: int) -> Path:
    """A launcher that says what it got and ends with ``code``."""
    path.write_text(f'#!/bin/sh\necho "$* for $TRAFFIC_AGGR_CONFIG in $HADOOP_CONF_DIR"\nexit {code}\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_commands_and_paths_in_an_example_exist(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = path.read_text()
    commands = re.findall(rf"{LAUNCHER} ([a-z-]+)", text) + re.findall(r'command="([a-z-]+)"', text)
    commands += re.findall(r"`(recover|run|status|history|report|alerts)(?: [^`]*)?`", text)
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, command
        capsys.readouterr()
    for target in re.findall(r"/opt/traffic_aggr/([\w./-]+)", text):
        assert (ROOT / target).exists(), target
    assert path.name in (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_config_keys_in_an_example_exist(path: Path) -> None:
    known = yaml.safe_load((ROOT / "conf" / "local.yaml").read_text())
    named = re.findall(rf"(?<![\w.])({'|'.join(known)})\.([a-z_]+)\b", path.read_text())
    for section, key in set(named) - {("spark", "log")}:  # that one is a file
        assert key in known[section], f"{section}.{key}"


# ---- cron


@pytest.mark.parametrize(("code", "mailed"), [(0, ""), (75, ""), (1, "1"), (2, "2"), (3, "3"), (143, "143")])
def test_cron_mails_a_line_for_what_somebody_should_look_at(code: int, mailed: str, tmp_path: Path) -> None:
    variables, commands = cron_lines()
    launcher, output = stand_in(tmp_path / "launcher", code), tmp_path / "cron.log"
    shell = pwd.getpwuid(os.getuid())
    given = {"HOME": shell.pw_dir, "LOGNAME": shell.pw_name, "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
    environment = [f"{name}={value}" for name, value in {**given, **variables, "OUTPUT": str(output)}.items()]

    printed = [
        ran("/usr/bin/env", "-i", *environment, "/bin/sh", "-c", command.replace(LAUNCHER, str(launcher))).stdout
        for command in commands
    ]

    assert [re.findall(r"exit code (\d+)", line) for line in printed] == [[mailed] if mailed else []] * 2
    assert output.read_text() == "".join(
        f"{command} for /etc/traffic_aggr/my.yaml in /etc/hadoop/conf\n" for command in ("run", "cleanup")
    )


def test_cron_takes_the_crontab() -> None:
    crontab = tool("crontab", "cron")
    usage = ran(crontab, "-h")
    if "[-n]" not in usage.stdout + usage.stderr:
        pytest.skip("this crontab has no dry run (Debian's has)")
    done = ran(crontab, "-n", DEPLOY / "crontab")
    assert done.returncode == 0, done.stderr


# ---- logrotate


def test_only_what_nothing_else_rotates_is_rotated() -> None:
    (rotated,) = re.findall(r"^(/\S+) \{", (DEPLOY / "logrotate").read_text(), re.MULTILINE)
    assert rotated == cron_lines()[0]["OUTPUT"]
    assert Path(rotated).name not in (log.FILE_NAME, jvm.SPARK_LOG)
    assert log.FILE_NAME in (DEPLOY / "logrotate").read_text()
    assert f"more than {jvm.ROTATE_BYTES // 1024**2} MiB" in (DEPLOY / "logrotate").read_text()


def test_logrotate_keeps_what_is_written_while_it_rotates(tmp_path: Path) -> None:
    logrotate = tool("logrotate", "logrotate")
    output = tmp_path / "cron.log"
    snippet = (DEPLOY / "logrotate").read_text().replace("/var/log/traffic_aggr", str(tmp_path))
    if os.getuid() != 0:
        snippet = re.sub(r"^ +su .*\n", "", snippet, flags=re.MULTILINE)
    (tmp_path / "snippet").write_text(snippet.replace("mnaas mnaas", f"{tmp_path.owner()} {tmp_path.group()}"))
    (tmp_path / "snippet").chmod(0o644)
    tmp_path.chmod(0o700)
    output.write_text("before\n")
    with output.open("a") as running:
        done = ran(logrotate, "--verbose", "--force", "--state", tmp_path / "state", tmp_path / "snippet")
        running.write("after\n")

    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr
    assert (tmp_path / "cron.log.1").read_text() == "before\nafter\n"
    assert (output.read_text(), output.stat().st_mode & 0o777) == ("", 0o600)


# ---- systemd


def test_systemd_starts_again_what_a_new_start_can_mend() -> None:
    service = unit("traffic_aggr.service")["Service"]
    not_again = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert {int(code) for code in service["SuccessExitStatus"].split()} == {errors.LockHeldError.exit_code}
    assert ERROR_CODES - not_again == {errors.TrafficAggrError.exit_code, errors.LockHeldError.exit_code}
    assert service["Restart"] == "on-failure"


def test_systemd_gives_the_driver_the_time_to_put_old_data_back() -> None:
    service = unit("traffic_aggr.service")["Service"]
    impala = load_config(ROOT / "conf" / "yarn.yaml", {}).impala
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"].removesuffix("min")) * 60 > impala.retry.deadline_s + impala.timeout_s


def test_systemd_lets_the_job_write_what_the_example_configuration_names() -> None:
    config = load_config(ROOT / "conf" / "yarn.yaml", {})
    text = (DEPLOY / "traffic_aggr.service").read_text()
    allowed = [Path(each.lstrip("-")) for each in re.findall(r"^ReadWritePaths=(\S+)$", text, re.MULTILINE)]
    service = unit("traffic_aggr.service")["Service"]
    allowed += [Path("/var/lib", service["StateDirectory"]), Path("/var/log", service["LogsDirectory"])]
    assert config.metrics.textfile is not None
    written = (Path(config.state.dir), config.state.status_file, config.state.lock_file, config.logs.dir)
    for path in (*written, config.notify.alert_file, config.metrics.textfile):
        assert any(each in (path, *path.parents) for each in allowed), path


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "systemd")
    launcher = stand_in(tmp_path / "launcher", 0)
    for name in ("traffic_aggr.service", "traffic_aggr.timer"):
        (tmp_path / name).write_text((DEPLOY / name).read_text().replace(LAUNCHER, str(launcher)))

    done = ran(analyze, "verify", "--man=no", tmp_path / "traffic_aggr.service", tmp_path / "traffic_aggr.timer")

    ours = [line for line in done.stderr.splitlines() if "traffic_aggr" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


# ---- Airflow


class Skipped(Exception):
    pass


class Failed(Exception):
    pass


class Retried(Exception):
    pass


@pytest.fixture
def dag(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The DAG's module, beside stand-ins for what it takes from Airflow."""

    class Operator:
        def __init__(self, *, task_id: str) -> None:
            self.task_id = task_id
            self.followed_by: Optional[Operator] = None

        def __rshift__(self, other: Operator) -> None:
            self.followed_by = other

    class Dag:
        def __init__(self, **settings: Any) -> None:
            self.settings = settings

        def __enter__(self) -> Dag:
            return self

        def __exit__(self, *raised: object) -> None: ...

    class Hook:
        def run_command(self, command: list[str], env: dict[str, str], cwd: str) -> Any:
            done = ran(*command, env=env, cwd=cwd)
            return type("Result", (), {"exit_code": done.returncode, "output": done.stdout.strip()})

    exceptions = {"AirflowException": Retried, "AirflowFailException": Failed, "AirflowSkipException": Skipped}
    modules = {
        "airflow": {},
        "airflow.providers": {},
        "airflow.providers.standard": {},
        "airflow.providers.standard.hooks": {},
        "airflow.providers.standard.hooks.subprocess": {"SubprocessHook": Hook},
        "airflow.sdk": {"DAG": Dag, "BaseOperator": Operator},
        "airflow.sdk.exceptions": exceptions,
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    made = ModuleType("airflow_dag")
    exec(compile((DEPLOY / "airflow_dag.py").read_text(), "airflow_dag.py", "exec"), vars(made))
    return made


def test_airflow_runs_and_then_tidies_up(dag: ModuleType) -> None:
    assert (dag.run.command, dag.run.followed_by.command) == ("run", "cleanup")
    assert dag.run.followed_by.followed_by is None


@pytest.mark.parametrize(
    ("code", "becomes"),
    [(0, None), (1, Retried), (2, Failed), (3, Failed), (75, Skipped), (130, Failed), (143, Failed)],
)
def test_the_exit_code_decides_what_becomes_of_the_task(
    dag: ModuleType, code: int, becomes: Optional[type[Exception]], tmp_path: Path
) -> None:
    dag.LAUNCHER = str(stand_in(tmp_path / "launcher", code))
    if becomes is None:
        dag.run.execute({})
        return
    with pytest.raises(becomes, match=f"^run ended with exit code {code}: run --config {dag.CONFIG} for"):
        dag.run.execute({})


def test_airflow_knows_every_exit_code(dag: ModuleType) -> None:
    retried = errors.TrafficAggrError.exit_code
    assert {retried, dag.LOCK_HELD, *dag.FOR_PEOPLE} == ERROR_CODES
    assert errors.LockHeldError.exit_code == dag.LOCK_HELD


# ---- Prometheus


def test_alerts_are_about_metrics_that_there_are() -> None:
    metrics = set(re.findall(r"^# TYPE (\S+)", render_metrics(run_record(), run_record(), "job"), re.MULTILINE))
    rules = yaml.safe_load((DEPLOY / "prometheus-rules.yml").read_text())["groups"][0]["rules"]
    named = {name for rule in rules for name in re.findall(r"traffic_aggr_\w+", rule["expr"])}
    assert named
    assert named <= metrics


def test_prometheus_takes_rules_and_metrics() -> None:
    promtool = tool("promtool", "prometheus")
    for done in (
        ran(promtool, "check", "rules", DEPLOY / "prometheus-rules.yml"),
        ran(promtool, "test", "rules", ROOT / "tests" / "samples" / "prometheus-rules-test.yml"),
        ran(promtool, "check", "metrics", input=render_metrics(run_record(), run_record(), 'a "job"')),
    ):
        assert (done.returncode, done.stdout.count("FAILED")) == (0, 0), done.stdout + done.stderr


def test_every_cron_command_is_one_that_a_shell_can_split() -> None:
    for command in cron_lines()[1]:
        assert shlex.split(command)[0] == LAUNCHER
        assert "%" not in command
