"""What the documents tell people to type exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from devtools.config_reference import FILE, reference
from tests.support.paths import ROOT
from traffic_aggr import errors
from traffic_aggr.cli.main import build_parser, main
from traffic_aggr.impala.answers import TROUBLES
from traffic_aggr.spark.settings import CORRECTNESS, REFUSED

COMMANDS = sorted(set(re.findall(r"^    ([a-z][a-z-]+)(?: |$)", build_parser().format_help(), re.MULTILINE)))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
assert len(DOCUMENTS) > 15


def commands_in(text: str) -> set[str]:
    found = set(re.findall(r"(?:spark-submit\.sh|traffic-aggr) ([a-z][a-z-]+)", text))
    return found | set(re.findall(r"`(run|plan|status|history|check|recover|rollback|alerts|cleanup|report)[ `]", text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_named_exists(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = document.read_text()
    for command in sorted(commands_in(text)):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, command
        assert "--config" in capsys.readouterr().out


def test_the_readme_names_a_command_at_all() -> None:
    assert {"check", "plan", "run"} <= commands_in((ROOT / "README.md").read_text())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_explains_it_and_its_examples_are_understood(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([name, "--help"])
    shown = capsys.readouterr().out
    examples = re.findall(r"^  traffic-aggr (.*)$", shown, re.MULTILINE)

    assert examples
    assert {example.split()[0] for example in examples} == {name}
    assert all(build_parser().parse_args(example.split()) for example in examples)
    _, about, more = shown.split("\n\n")[:3]
    assert about.endswith(".")
    assert len(more) > 60, "a line about what it changes, or how it ends"
    assert max(map(len, shown.splitlines())) < 80


def test_the_reference_of_the_configuration_is_that_of_its_classes() -> None:
    assert FILE.read_text(encoding="utf-8") == reference(), "run python -m devtools.config_reference"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_named_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"(?:^    |`)make ([a-z-]+)", document.read_text(), re.MULTILINE)) <= targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_config_key_named_exists(document: Path) -> None:
    known = yaml.safe_load((ROOT / "conf" / "local.yaml").read_text())
    sections = "|".join(known)
    for section, key in re.findall(rf"`({sections})\.(?!py`)([a-z_]+)", document.read_text()):
        assert key in known[section], f"{section}.{key}"


def test_the_exit_codes_of_the_operations_guide_are_those_of_the_errors() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    told = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", guide, re.MULTILINE) for code in row.split(",")}
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    codes = {each.exit_code for each in classes if issubclass(each, errors.TrafficAggrError)}

    assert told == {0, 130, 143} | codes


def anchors(document: Path) -> set[str]:
    """The names of a document's headings in links, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", document.read_text()):
            found = document.parent / target if target else document
            assert found.exists(), f"{document.name}: {target}"
            assert not anchor or anchor in anchors(found), f"{document.name}: {target}#{anchor}"


# ---- the messages, as docs/messages.md explains them

SOURCES = sorted((ROOT / "traffic_aggr").rglob("*.py"))
assert len(SOURCES) > 100
ERRORS = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, Exception)}
REASONS = {"NoAnswerError", "RejectedError", "UntrustedError"}
UNEXPLAINED = 8
"""Letters up to which a call's own words are punctuation around those of another message."""


def literals(tree: ast.AST) -> list[str]:
    """Texts as they stand in one literal, or between the braces of an f-string."""
    return [each.value for each in ast.walk(tree) if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Calls in the source by place and name."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                yield f"{path.name}:{node.lineno}", name, node


def explained() -> list[str]:
    """The words that the tables of the page quote, in their first columns."""
    rows = re.findall(r"^\| (`.*?) \| ", (ROOT / "docs" / "messages.md").read_text(), re.MULTILINE)
    return [words for row in rows for words in re.findall(r"`([^`]+)`", row)]


def test_the_messages_explained_are_the_programs_own() -> None:
    texts = [text for path in SOURCES for text in literals(ast.parse(path.read_text()))]

    assert [words for words in explained() if not any(words in text for text in texts)] == []


def test_every_message_is_explained() -> None:
    messages = {
        where: literals(call)
        for where, name, call in calls()
        if name in {*ERRORS, *REASONS, "Refusal"} or (name in {"warning", "error", "exception"} and call.args)
    }
    words = explained()
    missing = {
        where: texts
        for where, texts in messages.items()
        if sum(map(len, re.findall(r"[^\W\d]+", "".join(texts)))) > UNEXPLAINED
        and not any(each in text for each in words for text in texts)
    }

    assert len(messages) > 100
    assert missing == {}


def test_every_error_of_impala_that_the_job_knows_is_explained() -> None:
    assert {trouble.words for trouble in TROUBLES} - set(explained()) == set()


def test_every_guard_is_in_the_table_of_guards() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    guards = {text for _, name, call in calls() if name == "Refusal" for text in literals(call.args[0])}
    raised = [
        word for _, name, call in calls() if name == "GuardError" for word in call.keywords if word.arg == "guard"
    ]
    guards |= {text for word in raised for text in literals(word.value)} | {errors.GuardError("").guard}

    assert guards == set(re.findall(r"^\| [^|]*\(`(\w+)`\) \|", guide, re.MULTILINE))


def test_every_setting_that_the_job_decides_is_explained_to_operators() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    section = operations.partition("## Settings that the job decides\n")[2].partition("\n## ")[0]
    explained = {name for cell in re.findall(r"^\| (.*?) \|", section, re.MULTILINE) for name in cell.split(", ")}

    pinned = {re.sub(r"^spark\.(hadoop\.)?(?=hive|mapreduce|dfs|parquet)", "", key) for key in (*CORRECTNESS, *REFUSED)}
    assert {name for name in explained if "." in name} == pinned
