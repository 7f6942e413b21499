"""
Reads the assignments in a Bash properties file without running anything.

It understands assignments (several on a line, with or without ``export``, ``declare`` and the like), quotes and
references (``bash_words``), ``unset``, comments, and sourced files. It does not read conditions, loops, functions and
subshells, but notes them. It skips the text of heredocs. It never runs a command substitution, but marks its place in
the value.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from traffic_aggr.errors import InputError
from traffic_aggr.legacy.bash_variables import UNKNOWN, BashVariables, Properties
from traffic_aggr.legacy.bash_words import NAME, UnclosedError, WordReader
from traffic_aggr.units import data_volume

_LONGEST_FILE = 1_000_000
_DEEPEST_SOURCE = 8
_HINT = "Name the old properties file"

_BLANK = re.compile(r"(?:[ \t]|\\\n)+")
_COMMENT = re.compile(r"#[^\n]*")
_LINE_ENDS = re.compile(r"(?:(?:[ \t]|\\\n)*(?:#[^\n]*)?\n)+")
_OPERATOR = re.compile(r"\n|&&|\|\||;;&|;;|;&|;|\|&|\||&(?!>)|\(|\)")
_TO_SUBSHELL = re.compile(r"\|(?!\|)|&(?![&>])")
_REDIRECTION = re.compile(r"(?:\d+|\{\w+\})?(?:<<<|<>|<&|<|&>>|&>|>>|>&|>\||>)")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\[[^\]\n]*\])?(\+?)=", re.ASCII)
_ARRAY = re.compile(r"\((?:'[^']*'|\"(?:[^\"\\]|\\.)*\"|\\.|\$\([^()]*\)|[^()'\"\\])*\)", re.DOTALL)
_PARENTHESES = re.compile(r"[ \t]*\([ \t]*\)")
_TEST = re.compile(r"\[\[\s.*?\s\]\](?=[\s;&|)]|\Z)", re.DOTALL)
_ARITHMETIC = re.compile(r"\(\(.*?\)\)", re.DOTALL)
_CONVERTING = re.compile("[aAilnu]")
_NUMBER = re.compile("-?(?:0|[1-9][0-9]*)")

_DECLARING = ("export", "readonly", "declare", "typeset", "local")
_SILENT = (":", "true", "set", "shopt")
_OPENING = {"if": "fi", "case": "esac", "for": "done", "while": "done", "until": "done", "select": "done"}
_BETWEEN = ("then", "elif", "else", "do", "!", "time")


def read_properties(path: Path, environment: Mapping[str, str]) -> Properties:
    """
    Reads a properties file and the files that it sources.

    ``environment`` supplies variables that the files refer to but do not assign. A sourced file that is missing is
    looked for beside the file that sources it. Raises InputError when ``path`` cannot be read or assigns nothing, and
    when a file, sourced ones included, is too long, binary, or XML or HTML.
    """
    try:
        text = _read(path)
    except OSError as exc:
        raise InputError(f"{path} cannot be read: {exc.strerror}", hint=_HINT) from exc
    variables = BashVariables(environment)
    try:
        _FileReader(path, text, variables, depth=0).read()
    except RecursionError as exc:
        raise InputError(f"{path} is not a Bash properties file: it nests too deeply", hint=_HINT) from exc
    if not variables.found.values:
        why = "; ".join(["it assigns nothing", *variables.found.notes[:1]])
        raise InputError(f"{path} is not a Bash properties file: {why}", hint=_HINT)
    return variables.found


def _read(path: Path) -> str:
    with open(path, "rb") as source:
        content = source.read(_LONGEST_FILE + 1)
    if len(content) > _LONGEST_FILE:
        raise InputError(f"{path} is longer than {data_volume(_LONGEST_FILE)}", hint=_HINT)
    if content.lstrip()[:1] == b"<":
        raise InputError(f"{path} is not a Bash properties file: it is XML or HTML", hint=_HINT)
    if b"\0" in content:
        raise InputError(f"{path} is not a Bash properties file: it is binary", hint=_HINT)
    return content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")


@dataclass
class _Block:
    """
    An open compound command.

    ``not_read`` names the command if only Bash can tell what it does, and is empty otherwise. ``has_effect`` says
    whether it may change variables outside of it.
    """

    not_read: str
    has_effect: bool
    end: str
    line: int
    runs: Optional[bool]
    names: list[str] = field(default_factory=list)


@dataclass
class _Command:
    """A simple command: its name (None if it only assigns), the names it assigns, options, other arguments."""

    name: Optional[str] = None
    assigned: list[str] = field(default_factory=list)
    options: str = ""
    arguments: list[str] = field(default_factory=list)

    @property
    def declares(self) -> bool:
        return self.name is None or self.name in _DECLARING


class _FileReader:
    """
    Reads one file into ``variables``.

    ``_runs`` says whether the next command runs, ``_succeeded`` whether the last one succeeded; None means that only
    Bash can tell.
    """

    def __init__(self, path: Path, text: str, variables: BashVariables, depth: int) -> None:
        self._path = path
        self._variables = variables
        self._depth = depth
        self._words = WordReader(text, variables)
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._line = 1
        self._blocks: list[_Block] = []
        self._function: Optional[str] = None
        self._runs: Optional[bool] = True
        self._succeeded: Optional[bool] = True
        self._exited = False

    def read(self) -> bool:
        """Reads the file. Returns False if it runs ``exit``, which also ends the sourcing files."""
        words = self._words
        try:
            while words.peek():
                if not (words.accept(_BLANK) or words.accept(_COMMENT)):
                    self._line = bisect_left(self._line_ends, words.position) + 1
                    self._variables.at = self._path, self._line
                    self._next()
        except UnclosedError as exc:
            self._variables.note(f"{exc} has no end; what follows was not read")
        if self._blocks:
            self._note_not_read(self._blocks[0])
        return not self._exited

    # ---- operators and compound commands

    def _next(self) -> None:
        """Reads one operator, one simple command, or one word of a compound command."""
        words = self._words
        if words.accept(_ARITHMETIC):
            self._succeeded = None
            if not self._blocks:
                self._variables.note("an arithmetic command was not read")
            return
        operator = words.accept(_OPERATOR)
        if operator:
            self._operator(operator[0])
            return
        words.live = self._runs is True and not any(block.not_read for block in self._blocks)
        self._variables.begin_command()
        self._command()
        words.accept(_BLANK)
        if _TO_SUBSHELL.match(words.text, words.position):
            self._variables.take_back()

    def _operator(self, operator: str) -> None:
        words = self._words
        if operator in ("&&", "||"):
            if self._runs is not None:
                wanted = operator == "&&"
                self._runs = None if self._succeeded is None else self._runs and self._succeeded is wanted
            words.accept(_LINE_ENDS)
        elif operator in ("|", "|&"):
            self._runs = None
            words.accept(_LINE_ENDS)
        elif operator == "(":
            self._open(self._function or "a subshell", ")")
        elif operator == ")":
            self._close(")")
        else:
            self._runs = self._succeeded = True
            if operator == "\n":
                words.pass_heredocs()

    def _is_syntax(self, word: str) -> bool:
        """Handles a command's first word if it is syntax: a compound command or a function. Returns whether it is."""
        words = self._words
        if word in _OPENING:
            self._open(self._function or f"`{word}`", _OPENING[word])
            if word in ("for", "select"):
                words.accept(_BLANK)
                name = words.accept(NAME)
                self._blocks[-1].names += [name[0]] if name else []
        elif word == "{":
            self._open(self._function or ("" if self._runs is True else "what follows && or ||"), "}")
        elif word in _OPENING.values() or word == "}":
            self._close(word)
        elif word == "!":
            self._runs = None
        elif word == "function":
            words.accept(_BLANK)
            self._function = f"function {words.word()}"
            words.accept(_PARENTHESES)
        elif words.accept(_PARENTHESES):
            self._function = f"function {word}"
        else:
            return word in _BETWEEN
        return True

    def _open(self, not_read: str, end: str) -> None:
        has_effect = self._function is None and end != ")"
        self._blocks.append(_Block(not_read, has_effect, end, self._line, self._runs))
        self._function = None
        self._runs = True

    def _close(self, end: str) -> None:
        if not self._blocks or self._blocks[-1].end != end:
            return  # `)` also ends a pattern of `case`
        block = self._blocks.pop()
        if not any(each.not_read for each in self._blocks):
            self._note_not_read(block)
        else:
            self._blocks[-1].names += block.names
        self._runs = block.runs
        self._succeeded = None

    def _note_not_read(self, block: _Block) -> None:
        if block.not_read and block.runs is not False:
            names = list(dict.fromkeys(block.names))
            more = f"; it assigns {', '.join(names)}" if names else ""
            self._variables.note(f"{block.not_read} was not read{more}", block.line)
            if block.has_effect:
                self._variables.forget(names)

    # ---- simple commands

    def _command(self) -> None:
        words, command = self._words, _Command()
        while True:
            words.accept(_BLANK)
            if words.heredoc():
                continue
            if words.accept(_REDIRECTION):
                words.accept(_BLANK)
                words.word()
                continue
            if not words.peek() or words.peek() in "\n;&|()#<>":
                break
            assignment = words.accept(_ASSIGNMENT) if command.declares else None
            if assignment:
                self._assign(assignment, command)
            elif not self._argument(command):
                return
        self._finish(command)

    def _argument(self, command: _Command) -> bool:
        """Reads a word that is not an assignment. Returns whether the command goes on."""
        words, start = self._words, self._words.position
        if command.name is None and words.accept(_TEST):
            command.name = "[["
            return True
        word = words.word()
        raw = words.text[start : words.position]
        quoted = _ASSIGNMENT.match(word)
        if command.name is None:
            if not command.assigned and self._is_syntax(raw):
                return False
            command.name = word
            self._variables.take_back(command.assigned)  # `NAME=value command` assigns for that command only
            command.assigned.clear()
        elif command.declares and word[:1] in ("-", "+"):
            command.options += word
        elif command.declares and quoted and not quoted[2]:
            self._take(quoted, word[quoted.end() :], command)
        else:
            command.arguments.append(word if words.live else raw)
        return True

    def _assign(self, assignment: re.Match[str], command: _Command) -> None:
        words = self._words
        is_array = words.accept(_ARRAY) is not None or assignment[2] is not None
        value = words.word(assigned=True)
        if not is_array:
            self._take(assignment, value, command)
            return
        command.assigned.append(assignment[1])
        if words.live:
            self._variables.note(f"{assignment[1]} is an array; it was not read")
            self._variables.forget([assignment[1]])

    def _take(self, assignment: re.Match[str], value: str, command: _Command) -> None:
        name = assignment[1]
        command.assigned.append(name)
        if not self._words.live:
            return
        if assignment[3]:
            value = (self._variables.get(name) or "") + value
        if _CONVERTING.search(command.options) and (assignment[3] or not _NUMBER.fullmatch(value)):
            self._variables.note(f"{command.name} {command.options} {name} was not understood")
            value = UNKNOWN
        self._variables.set(name, value)

    def _finish(self, command: _Command) -> None:
        """Applies a simple command once all its words are read."""
        self._succeeded = None
        if not self._words.live:
            self._note_not_run(command)
        elif command.name is None:
            if not any(UNKNOWN in (self._variables.get(name) or "") for name in command.assigned):
                self._succeeded = True
        elif command.name in _DECLARING:
            self._succeeded = True
            if command.name == "readonly" or "r" in command.options:
                self._variables.make_readonly([*command.assigned, *command.arguments])
        elif command.name in (".", "source"):
            self._source("".join(command.arguments[:1]))
        elif command.name == "unset":
            for name in command.arguments:
                self._variables.unset(name)
        elif command.name in _SILENT:
            self._succeeded = True
        elif command.name in ("return", "exit"):
            self._variables.note(f"`{command.name}` ends the file; what follows was not read")
            self._end(exited=command.name == "exit")
        else:
            self._variables.note(" is not an assignment and was not read")

    def _note_not_run(self, command: _Command) -> None:
        names = command.assigned if command.declares else []
        if any(block.not_read for block in self._blocks):
            self._blocks[-1].names += names
        elif self._runs is None and names:
            self._variables.note(f"{', '.join(names)} is assigned under a condition; it was not read")
            self._variables.forget(names)
        if command.name in (".", "source") and self._runs is not False:
            self._variables.note(f"{' '.join(command.arguments[:1])} is sourced under a condition; it was not read")

    def _end(self, *, exited: bool) -> None:
        self._words.position = len(self._words.text)
        self._exited = exited

    def _source(self, name: str) -> None:
        shown = name.replace(UNKNOWN, "$(...)")
        beside = self._path.parent / os.path.basename(name)
        for each in (Path(name), beside):
            try:
                if self._depth < _DEEPEST_SOURCE and each.is_file():
                    text = _read(each)
                    if each is beside:
                        self._variables.note(f"{shown} is not there; read {beside} in its place")
                    if not _FileReader(each, text, self._variables, self._depth + 1).read():
                        self._end(exited=True)
                    return
            except OSError as exc:
                self._variables.note(f"{each} cannot be read: {exc.strerror}; its keys are missing here")
                return
        self._variables.note(f"{shown} is not there; its keys are missing here")
