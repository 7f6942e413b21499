from __future__ import annotations

import dataclasses
import os
import typing
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT
from traffic_aggr.config.config import Config, HostPort, SecretRef
from traffic_aggr.config.load import ConfigProblemsError, load_config
from traffic_aggr.config.reader import key_of, options_of
from traffic_aggr.errors import ConfigError

CONF = ROOT / "conf"

SMALLEST = """
partitions: {file: days.txt}
impala: {hosts: ["impalad-1:21050"]}
state: {dir: state, status_file: status, lock_file: lock}
logs: {dir: logs}
notify: {from: a@b, ticket_to: [c@d], alert_file: alerts.jsonl}
"""


def merged(base, extra):
    for key, value in extra.items():
        base[key] = merged(base.get(key) or {}, value) if isinstance(value, dict) else value
    return base


@pytest.fixture
def load(tmp_path):
    """Loads the smallest configuration with the keys of a YAML text put over it."""

    def load(text="", environ=None):
        loaded = merged(yaml.safe_load(SMALLEST), yaml.safe_load(text) or {})
        return load_text(yaml.safe_dump(loaded), environ)

    def load_text(text, environ=None):
        path = tmp_path / "job.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config(path, {} if environ is None else environ)

    load.text = load_text
    return load


@pytest.fixture
def problems(load):
    def problems(text="", environ=None):
        with pytest.raises(ConfigProblemsError) as caught:
            load(text, environ)
        return caught.value.problems

    return problems


def test_what_is_not_given_has_the_defaults_of_the_contract(load):
    config = load()
    assert (config.job.name, config.job.script_name) == ("traffic_adhoc_aggr", "MNAAS_Traffic_Adhoc_Aggr.sh")
    assert dataclasses.astuple(config.tables) == (
        "mnaas",
        "traffic_details_raw_daily_with_no_dups",
        "traffic_aggr_adhoc_inter",
        "traffic_aggr_adhoc",
        "org_details",
        "country_lookup",
        {},
        True,
        "fail",
    )
    assert dataclasses.astuple(config.partitions)[1:] == (400, "fail", "fail")
    assert dataclasses.astuple(config.publish) == ("drop_and_load", 7)
    assert config.audit.max_change_pct is None
    assert dataclasses.astuple(config.impala.auth) == ("NOSASL", None, None, "impala")
    assert dataclasses.astuple(config.impala.tls) == (False, None)
    assert dataclasses.astuple(config.impala.retry) == (15, 1, 60, 900)
    assert (config.impala.enabled, config.impala.timeout_s) == (True, 300)
    assert (config.impala.sync_ddl, config.impala.verify, config.impala.verify_raw) == (True, True, True)
    assert dataclasses.astuple(config.logs)[1:] == ("INFO", "text", 30, False)
    assert dataclasses.astuple(config.notify.smtp) == ("localhost", 25, "none", None, None, 20, 3)
    assert config.notify.cc == ()
    assert config.metrics.textfile is None
    assert config.hooks.after_load == ()
    assert dataclasses.astuple(config.spark) == ("local[*]", "client", "jvm", None, (), {})


@pytest.mark.parametrize(
    ("text", "of", "value"),
    [
        ("impala: {hosts: ['a.b:1', '[::1]:2']}", "impala.hosts", (HostPort("a.b", 1), HostPort("::1", 2))),
        ("impala: {enabled: false, hosts: []}", "impala.hosts", ()),
        ("impala: {timeout_s: 0.5}", "impala.timeout_s", 0.5),
        ("audit: {max_change_pct: 12.5}", "audit.max_change_pct", 12.5),
        ("audit: {max_change_pct: 20}", "audit.max_change_pct", 20),
        ("publish: {mode: swap, keep_days: 0}", "publish.keep_days", 0),
        ("publish:", "publish.mode", "drop_and_load"),
        ("notify: {smtp: {host: null}, from: null, ticket_to: []}", "notify.smtp.host", None),
        ("notify: {from: x-y.z+q@mail.example.com}", "notify.from_", "x-y.z+q@mail.example.com"),
        ("hooks: {after_load: [[x, a b, 5], \"y 'c d'\"]}", "hooks.after_load", (("x", "a b", "5"), ("y", "c d"))),
        ("hooks: {after_load: /bin/true -q}", "hooks.after_load", (("/bin/true", "-q"),)),
        ("hooks: {after_load: }", "hooks.after_load", ()),
        ("spark: {submit: [--executor-cores, 4]}", "spark.submit", ("--executor-cores", "4")),
        ("{spark: {master: yarn, deploy_mode: cluster}, state: {dir: 'hdfs://n/a'}}", "spark.deploy_mode", "cluster"),
        ("state: {dir: 'hdfs://ns/app'}", "state.dir", "hdfs://ns/app"),
        ("partitions: {file: 's3a://bucket/days'}", "partitions.file", "s3a://bucket/days"),
        ("partitions: {file: 'file:///app/days'}", "partitions.file", "/app/days"),
        ("tables: {database: '2021'}", "tables.database", "2021"),
    ],
)  # fmt: skip
def test_a_given_value_is_read(load, text, of, value):
    found = load(text)
    for name in of.split("."):
        found = getattr(found, name)
    assert found == value


def test_a_host_is_written_as_it_was_given():
    assert [str(HostPort("a", 1)), str(HostPort("::1", 2))] == ["a:1", "[::1]:2"]


def test_spark_settings_keep_their_text(load):
    config = load.text(
        SMALLEST
        + """
spark:
  conf:
    a.number: 010
    a.version: 3.10
    a.fraction: 0.60
    a.time: 10:30
    a.switch: True
    a.day: 2021-04-01
    a.text: "8g"
    "spark.sql.adaptive.enabled": yes
    none:
      """.replace("none:\n      ", "an.empty: ''\n")
    )
    assert config.spark.conf == {
        "a.number": "010",
        "a.version": "3.10",
        "a.fraction": "0.60",
        "a.time": "10:30",
        "a.switch": "true",
        "a.day": "2021-04-01",
        "a.text": "8g",
        "spark.sql.adaptive.enabled": "true",
        "an.empty": "",
    }


def test_paths_start_in_the_directory_of_the_file(load, tmp_path):
    config = load("partitions: {file: ../lists/days}\nstate: {dir: /abs, lock_file: ~/lock}", {"HOME": "/home/x"})
    assert config.partitions.file == str(tmp_path.parent / "lists/days")
    assert config.state.dir == "/abs"
    assert config.state.lock_file == Path("/home/x/lock")
    assert config.state.status_file == tmp_path / "status"
    assert config.path == tmp_path / "job.yaml"


def test_paths_start_there_also_when_the_file_is_named_relatively(load, tmp_path, monkeypatch):
    load()
    monkeypatch.chdir(tmp_path.parent)
    config = load_config(os.path.join(tmp_path.name, "job.yaml"), {})
    monkeypatch.chdir("/")
    assert config.logs.dir == tmp_path / "logs"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "one"),
        ("x${A}y${B:-two}", "xoneytwo"),
        ("${B:-}z", "z"),
        ("${EMPTY:-two}", "two"),
        ("${EMPTY}z", "z"),
        ("${B:-${A}-${C:-three}}", "one-three"),
        ("$${A}", "${A}"),
        ("$A and $", "$A and $"),
        ("${B:-a}b}", "ab}"),
        ("${HOLE}", "${A}"),
    ],
)
def test_variables_are_put_in(load, text, value):
    environ = {"A": "one", "EMPTY": "", "HOLE": "${A}"}
    assert load(f"job: {{name: '{text}'}}", environ).job.name == value


def test_a_variable_in_a_comment_is_none(load):
    assert load.text(SMALLEST + "# ${NOT_SET}\n").job.name == "traffic_adhoc_aggr"


def test_the_files_own_directory_is_a_variable(load, tmp_path):
    config = load("spark: {conf: {a: 'x=${CONFIG_DIR}/y'}}", {"CONFIG_DIR": "/elsewhere"})
    assert config.spark.conf == {"a": f"x={tmp_path}/y"}


def test_a_variable_can_stand_for_a_number_a_switch_or_nothing(load):
    config = load(
        "notify: {smtp: {port: '${PORT}', host: '${HOST:-}'}}\nimpala: {verify: '${VERIFY}', timeout_s: '${T:-1.5}'}",
        {"PORT": "587", "VERIFY": "false"},
    )
    assert (config.notify.smtp.port, config.notify.smtp.host) == (587, None)
    assert (config.impala.verify, config.impala.timeout_s) == (False, 1.5)


def test_a_variable_in_a_command_stays_one_argument(load):
    assert load("hooks: {after_load: ['/bin/echo ${A}']}", {"A": "x y"}).hooks.after_load == (("/bin/echo", "x y"),)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("${NOT_SET}", "NOT_SET is not set"),
        ("${A:-${NOT_SET}}", "NOT_SET is not set"),
        ("${A", "closing brace"),
        ("${A-b}", "neither"),
        ("${}", "neither"),
        ("${user.home}", "write $${"),
    ],
)
def test_a_variable_that_cannot_be_put_in_is_a_problem(problems, text, wanted):
    (problem,) = problems(f"job: {{name: '{text}'}}")
    assert problem.startswith("job.name: ")
    assert wanted in problem


# Each: the keys put over the smallest configuration, the key that must be named, a word of what must be said.
WRONG = [
    ("impala: {retry: {attempts: x}}", "impala.retry.attempts", "whole number from 1 to 100, not 'x'"),
    ("impala: {retry: {attempts: true}}", "impala.retry.attempts", "whole number"),
    ("impala: {retry: {attempts: 2.5}}", "impala.retry.attempts", "whole number"),
    ("impala: {retry: {attempts: '5'}}", "impala.retry.attempts", "whole number"),
    ("impala: {retry: {attempts: null}}", "impala.retry.attempts", "whole number"),
    ("impala: {retry: {attempts: 0}}", "impala.retry.attempts", "from 1"),
    ("impala: {retry: {attempts: [5]}}", "impala.retry.attempts", "one value"),
    ("impala: {timeout_s: 0}", "impala.timeout_s", "number from 0.1"),
    ("impala: {timeout_s: .nan}", "impala.timeout_s", "number"),
    ("impala: {timeout_s: true}", "impala.timeout_s", "number"),
    ("impala: {enabled: 1}", "impala.enabled", "true or false"),
    ("impala: {enabled: 'false'}", "impala.enabled", "true or false"),
    ("impala: {enabled: null}", "impala.enabled", "true or false"),
    ("impala: {hosts: a:1}", "impala.hosts", "list"),
    ("impala: {hosts: [a]}", "impala.hosts[0]", "HOST:PORT"),
    ("impala: {hosts: ['a:1', 'b:99999']}", "impala.hosts[1]", "port from 1 to 65535"),
    ("impala: {hosts: ['::1:5']}", "impala.hosts[0]", "[::1]:21050"),
    ("impala: {hosts: []}", "impala.hosts", "required"),
    ("impala: 5", "impala", "section"),
    ("impala: {retry: [5]}", "impala.retry", "section"),
    ("publish: {keep_days: -1}", "publish.keep_days", "from 0"),
    ("publish: {mode: swop}", "publish.mode", "drop_and_load, swap, not 'swop'"),
    ("audit: {max_change_pct: -1}", "audit.max_change_pct", "from 0"),
    ("audit: {max_change_pct: lots}", "audit.max_change_pct", "number"),
    ("partitions: {max_per_run: 0}", "partitions.max_per_run", "from 1"),
    ("partitions: {empty_source: drop}", "partitions.empty_source", "fail, keep, clear"),
    ("tables: {raw: 'a; drop table b'}", "tables.raw", "letters, digits"),
    ("tables: {raw: other.raw}", "tables.raw", "letters, digits"),
    ("tables: {raw: 5}", "tables.raw", "quote it"),
    ("tables: {final: ''}", "tables.final", "empty"),
    ("tables: {final: Traffic_Aggr_Adhoc_INTER}", "tables.final", "same table as tables.staging"),
    ("tables: {org_details: traffic_aggr_adhoc}", "tables.org_details", "same table as tables.final"),
    ("tables: {lookups: {rates: org_details}}", "tables.lookups.rates", "same table as tables.org_details"),
    ("tables: {lookups: {rates: 'a b'}}", "tables.lookups", "rates: must be a name of letters, digits and _"),
    ("tables: {lookups: rates}", "tables.lookups", "section"),
    ("job: {name: \"a\\nb\"}", "job.name", "line breaks"),
    ("notify: {from: 'A <a@b>'}", "notify.from", "plain mail address"),
    ("notify: {from: 'a@b@c'}", "notify.from", "plain mail address"),
    ("notify: {ticket_to: ['a@b,c@d']}", "notify.ticket_to[0]", "plain mail address"),
    ("notify: {from: null}", "notify.from", "required"),
    ("notify: {ticket_to: []}", "notify.ticket_to", "required"),
    ("notify: {smtp: {port: 0}}", "notify.smtp.port", "from 1 to 65535"),
    ("notify: {smtp: {host: 'a b'}}", "notify.smtp.host", "host name"),
    ("notify: {smtp: {tls: tls}}", "notify.smtp.tls", "none, starttls, ssl"),
    ("notify: {smtp: {user: u}}", "notify.smtp.password", "required"),
    ("notify: {smtp: {password: {env: P}}}", "notify.smtp.user", "required"),
    ("notify: {smtp: {host: mail, user: u, password: {env: P}}}", "notify.smtp.tls", "in clear"),
    ("impala: {auth: {mechanism: LDAP, password: {env: P}}}", "impala.auth.user", "required"),
    ("impala: {auth: {mechanism: PLAIN, user: u}}", "impala.auth.password", "required"),
    ("impala: {auth: {mechanism: GSSAPI, password: {env: P}}}", "impala.auth.password", "not used"),
    ("impala: {auth: {mechanism: ldap}}", "impala.auth.mechanism", "NOSASL, PLAIN, LDAP, GSSAPI"),
    ("impala: {tls: {ca_cert: ca.pem}}", "impala.tls.ca_cert", "not used"),
    ("impala: {retry: {initial_wait_s: 61}}", "impala.retry.initial_wait_s", "max_wait_s (60)"),
    ("state: {status_file: 'hdfs://ns/x'}", "state.status_file", "local path"),
    ("state: {lock_file: status.lock}", "state.lock_file", "the lock of state.status_file"),
    ("state: {lock_file: status}", "state.lock_file", "another file"),
    ("notify: {alert_file: lock}", "notify.alert_file", "another file"),
    ("metrics: {textfile: metrics.txt}", "metrics.textfile", "end in .prom"),
    ("{metrics: {textfile: a.prom}, state: {status_file: a.prom}}", "metrics.textfile", "another file"),
    ("logs: {level: info}", "logs.level", "INFO"),
    ("partitions: {file: 'https://me:hunter2@h/x'}", "partitions.file", "never written in place"),
    ("hooks: {after_load: [/bin/echo, --flag]}", "hooks.after_load[1]", "list of its own"),
    ("hooks: {after_load: [[]]}", "hooks.after_load[0]", "empty"),
    ("hooks: {after_load: [\"a 'b\"]}", "hooks.after_load[0]", "command line"),
    ("hooks: {after_load: [[curl, --token=hunter2]]}", "hooks.after_load[0]", "secret"),
    ("spark: {master: yam}", "spark.master", "local[*]"),
    ("spark: {deploy_mode: cluster}", "spark.deploy_mode", "local[*]"),
    ("spark: {deploy_mode: cluster, master: 'spark://h:7077'}", "spark.deploy_mode", "master yarn"),
    ("spark: {deploy_mode: cluster, master: yarn}", "state.dir", "hdfs://"),
    (
        "{spark: {deploy_mode: cluster, master: yarn}, state: {dir: 'hdfs://ns/app'},"
        " impala: {auth: {mechanism: LDAP, user: u, password: {file: /x}}}}",
        "impala.auth.password", "{hadoop: ALIAS}",
    ),
    ("spark: {submit: [--master=yarn]}", "spark.submit[0]", "spark.master"),
    ("spark: {submit: [--deploy-mode, cluster]}", "spark.submit[0]", "spark.deploy_mode"),
    ("spark: {submit: [--conf, spark.ssl.keyPassword=hunter2]}", "spark.submit[1]", "secret"),
    ("spark: {conf: {spark.master: yarn}}", "spark.conf.spark.master", "spark.master"),
    ("spark: {conf: {a.b.ConnectionPassword: hunter2}}", "spark.conf.a.b.ConnectionPassword", "credential provider"),
    ("spark: {conf: {fs.s3a.secret.key: hunter2}}", "spark.conf.fs.s3a.secret.key", "credential provider"),
    ("spark: {conf: {spark.authenticate.Token: 12345}}", "spark.conf.spark.authenticate.Token", "credential provider"),
    ("spark: {conf: {url: 'jdbc:x;password=hunter2'}}", "spark.conf.url", "credential provider"),
    ("spark: {conf: {a: null}}", "spark.conf.a", "must have a value"),
    ("spark: {conf: {a: [1]}}", "spark.conf.a", "one value"),
    ("spark: {conf: [a]}", "spark.conf", "KEY: value"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key", "said"), WRONG, ids=[text for text, _, _ in WRONG])
def test_a_wrong_value_is_one_problem_that_names_its_key(problems, text, key, said):
    found = problems(text)
    assert len(found) == 1, found
    assert found[0].startswith(f"{key}: ")
    assert said in found[0]
    assert "hunter2" not in found[0]


@pytest.mark.parametrize(
    "text",
    [
        "notify: {smtp: {host: localhost, user: u, password: {env: P}}}",
        "notify: {smtp: {host: '::1', user: u, password: {env: P}}}",
        "notify: {smtp: {host: mail, tls: starttls, user: u, password: {env: P}}}",
        "impala: {auth: {mechanism: LDAP, user: u, password: {env: P}}}",
        "impala: {auth: {mechanism: GSSAPI}, tls: {enabled: true}}",
        "impala: {retry: {initial_wait_s: 60, max_wait_s: 60}}",
        "spark: {conf: {spark.authenticate.secret.file: /x, a.token.always: true}}",
        "spark: {master: 'k8s://https://h:443'}",
        "{spark: {master: yarn, deploy_mode: cluster}, state: {dir: 'hdfs://ns/app'},"
        " impala: {auth: {mechanism: LDAP, user: u, password: {hadoop: impala}}}}",
    ],
)
def test_what_goes_together_is_accepted(load, text):
    load(text)


@pytest.mark.parametrize(
    "key",
    ["partitions.file", "state.dir", "state.status_file", "state.lock_file", "logs.dir", "notify.alert_file"],
)
def test_a_required_key_is_missed(load, key):
    section, name = key.split(".")
    values = yaml.safe_load(SMALLEST)
    del values[section][name]
    with pytest.raises(ConfigProblemsError) as caught:
        load.text(yaml.safe_dump(values))
    assert caught.value.problems == (f"{key}: is required",)


def test_every_required_key_of_a_missing_section_is_missed(load):
    with pytest.raises(ConfigProblemsError) as caught:
        load.text("job: {name: x}")
    assert {problem.partition(":")[0] for problem in caught.value.problems} == {
        "partitions.file",
        "state.dir",
        "state.status_file",
        "state.lock_file",
        "logs.dir",
        "notify.alert_file",
        "impala.hosts",
        "notify.from",
        "notify.ticket_to",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("impla: {}", "impla: is not a known key; did you mean impala?"),
        (
            "impala: {retry: {atempts: 5}}",
            "impala.retry.atempts: is not a known key; did you mean impala.retry.attempts?",
        ),
        ("notify: {from_: a@b}", "notify.from_: is not a known key; did you mean notify.from?"),
        ("publish: {zzz: 1}", "publish.zzz: is not a known key; known here: mode, keep_days"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(problems, text, said):
    (problem,) = problems(text)
    assert problem.startswith(said)


def test_a_key_given_twice_is_a_problem_with_both_lines(load):
    with pytest.raises(ConfigProblemsError) as caught:
        load.text(SMALLEST + "logs: {dir: other}\nspark:\n  conf:\n    a: 1\n    a: 2\n")
    assert caught.value.problems == (
        "logs: is given twice, first in line 5 (line 7)",
        "spark.conf.a: is given twice, first in line 10 (line 11)",
    )


def test_all_problems_are_told_at_once_with_their_lines(load, tmp_path):
    text = SMALLEST + "publish:\n  mode: swop\n  keepdays: 3\naudit: {max_change_pct: x}\ntables: {raw: a, final: A}\n"
    with pytest.raises(ConfigError) as caught:
        load.text(text)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert message.startswith(f"{tmp_path}/job.yaml: 4 problems: ")
    assert "\n" not in message
    for part in ("publish.mode", "(line 8)", "publish.keepdays", "(line 9)", "audit.max_change_pct", "tables.final"):
        assert part in message


def test_a_wrong_part_brings_no_second_problem_about_the_whole(problems):
    assert len(problems("impala: {hosts: [bad]}\nnotify: {ticket_to: [bad]}")) == 2


SECRETS_IN_PLACE = [
    ("impala: {auth: {mechanism: LDAP, user: u, password: hunter2}}", "impala.auth.password"),
    ("impala: {auth: {mechanism: LDAP, user: u, password: '${PW}'}}", "impala.auth.password"),
    ("impala: {auth: {mechanism: LDAP, user: u, password: {plain: hunter2}}}", "impala.auth.password"),
    ("impala: {auth: {mechanism: LDAP, user: u, password: {env: 'hunter2!'}}}", "impala.auth.password"),
    ("impala: {auth: {mechanism: LDAP, user: u, password: {env: A, file: hunter2}}}", "impala.auth.password"),
    ("impala: {auth: {mechanism: LDAP, user: u, password: [hunter2]}}", "impala.auth.password"),
    ("notify: {smtp: {user: u, password: 1234567}}", "notify.smtp.password"),
]


@pytest.mark.parametrize(("text", "key"), SECRETS_IN_PLACE)
def test_a_secret_written_in_place_is_refused_and_not_repeated(problems, text, key):
    (problem,) = problems(text, {"PW": "hunter2"})
    assert problem.startswith(f"{key}: ")
    assert "{env: NAME}" in problem
    assert "hunter2" not in problem
    assert "1234567" not in problem


def test_a_variable_in_the_wrong_place_is_not_repeated(problems):
    (problem,) = problems("impala: {timeout_s: '${PW}'}", {"PW": "hunter2"})
    assert "hunter2" not in problem
    assert "${PW}" in problem


def test_secrets_are_listed_with_their_keys(load, tmp_path):
    config = load(
        "impala: {auth: {mechanism: LDAP, user: u, password: {hadoop: impala.pw}}}\n"
        "notify: {smtp: {user: u, password: {file: pw.txt}}}"
    )
    assert dict(config.secret_refs()) == {
        "impala.auth.password": SecretRef("hadoop", "impala.pw"),
        "notify.smtp.password": SecretRef("file", str(tmp_path / "pw.txt")),
    }


def test_the_digest_follows_the_values_and_not_how_they_are_written(load):
    given = load("impala: {timeout_s: 300.0}\njob: {name: '${A}'}", {"A": "traffic_adhoc_aggr"})
    assert given.digest == load().digest
    assert load("publish: {keep_days: 8}").digest != load().digest
    assert load("spark: {conf: {a: b}}").digest != load().digest


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "is empty", id="nothing"),
        pytest.param(b"# only a comment\n", "is empty", id="comment"),
        pytest.param(b"a: 1\nb: [1, 2\nc: 3\n", "line 3, column 2: not YAML", id="syntax"),
        pytest.param(b"\xff\xfe\xff", "not YAML", id="bytes"),
        pytest.param(b"a: \x00", "not YAML", id="NUL"),
        pytest.param(b"- a\n- b\n", "sections", id="list"),
        pytest.param(b"[" * 3_000, "nested too deeply", id="deep"),
        pytest.param(b"#" * (1024 * 1024 + 1), "larger than", id="large"),
        pytest.param(b"a: 1\n---\nb: 2\n", "not YAML", id="two documents"),
    ],
)
def test_a_file_that_is_no_configuration_is_told_in_one_line(load, tmp_path, content, said):
    with pytest.raises(ConfigProblemsError) as caught:
        load.text(content)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/job.yaml: ")
    assert said in message
    assert "\n" not in message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        load_config(tmp_path / "none.yaml", {})


def test_a_directory_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(tmp_path, {})


def test_tags_that_make_objects_make_none(problems, load):
    with pytest.raises(ConfigProblemsError) as caught:
        load.text(SMALLEST + "job: {name: !!python/object/apply:os.getcwd []}\n")
    assert "job.name: " in str(caught.value)


def test_a_list_that_contains_itself_is_a_problem(load):
    with pytest.raises(ConfigProblemsError, match=r"spark.submit\[0\]"):
        load.text(SMALLEST + "spark: {submit: &a [*a]}\n")


def test_an_environment_secret_is_read():
    assert SecretRef("env", "PW").reveal({"PW": "hunter2"}) == "hunter2"


@pytest.mark.parametrize("environ", [{}, {"PW": ""}])
def test_a_missing_environment_secret_is_an_error_that_says_what_to_do(environ):
    with pytest.raises(ConfigError, match="Export PW"):
        SecretRef("env", "PW").reveal(environ)


@pytest.mark.parametrize(
    ("content", "secret"),
    [(b"hunter2", "hunter2"), (b"hunter2\n", "hunter2"), (b"hunter2\r\n", "hunter2"), (b" a\n\n", " a\n")],
)
def test_a_secret_file_is_read_without_its_last_newline(tmp_path, content, secret):
    path = tmp_path / "pw"
    path.write_bytes(content)
    path.chmod(0o600)
    assert SecretRef("file", str(path)).reveal({}) == secret


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_secret_file_open_to_others_is_refused(tmp_path, mode):
    path = tmp_path / "pw"
    path.write_text("hunter2")
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        SecretRef("file", str(path)).reveal({})
    assert f"mode {mode:04o}" in str(caught.value)
    assert f"chmod 600 {path}" in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "empty", "binary", "large"])
def test_a_secret_file_that_holds_no_secret_is_refused(tmp_path, kind):
    path = tmp_path / "pw"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path, 0o600)
    elif kind != "missing":
        path.write_bytes({"empty": b"\n", "binary": b"hunter2\xff", "large": b"x" * 100_000}[kind])
        path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        SecretRef("file", str(path)).reveal({})
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_hadoop_secret_is_looked_up_under_its_alias():
    assert SecretRef("hadoop", "alias").reveal({}, {"alias": "hunter2"}.__getitem__) == "hunter2"


def test_a_hadoop_secret_without_hadoop_is_an_error():
    with pytest.raises(ConfigError, match="needs Hadoop"):
        SecretRef("hadoop", "alias").reveal({})


def test_a_reference_shows_where_a_secret_is_kept():
    assert repr(SecretRef("env", "PW")) == "SecretRef(env: PW)"
    assert str(SecretRef("env", "PW")) == "{env: PW}"


@pytest.mark.parametrize("name", ["local.yaml", "yarn.yaml"])
def test_a_shipped_configuration_is_right(name):
    load_config(CONF / name, {})


def test_the_demo_lies_beside_the_configuration_or_where_the_environment_says():
    beside, elsewhere = (
        load_config(CONF / "local.yaml", {}),
        load_config(CONF / "local.yaml", {"TRAFFIC_AGGR_DEMO": "/d"}),
    )
    assert beside.logs.dir == CONF.parent / "demo/logs"
    assert elsewhere.partitions.file == "/d/sample/partitions.txt"
    assert elsewhere.spark.conf["spark.sql.warehouse.dir"] == "/d/warehouse"


def keys_of(section, where=""):
    """Every key that a section class knows, with its field."""
    types = typing.get_type_hints(section)
    for field in options_of(section):
        path = f"{where}{key_of(field)}"
        if dataclasses.is_dataclass(types[field.name]):
            yield from keys_of(types[field.name], f"{path}.")
        else:
            yield path, field


def test_the_local_configuration_shows_every_key():
    shown = yaml.safe_load((CONF / "local.yaml").read_text())

    def paths(values, where=""):
        for key, value in values.items():
            if isinstance(value, dict) and f"{where}{key}" not in ("spark.conf", "tables.lookups"):
                yield from paths(value, f"{where}{key}.")
            else:
                yield f"{where}{key}"

    assert set(paths(shown)) == {path for path, _ in keys_of(Config)}


def test_every_key_says_what_it_means():
    assert [path for path, field in keys_of(Config) if not field.metadata["doc"]] == []
