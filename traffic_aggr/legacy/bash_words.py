"""
Expands quotes, references and tildes in Bash words without running anything.

Marks what only Bash can tell.
"""

from __future__ import annotations

import re
from typing import Optional

from traffic_aggr.legacy.bash_variables import UNKNOWN, BashVariables

SEPARATORS = " \t\n;&|<>()"

NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_SPECIAL = re.compile(r"[0-9@*#?$!-]")
_OPERATOR = re.compile(r"(:?)([-=+?])")
_TILDE = re.compile(r"~([A-Za-z_][\w.-]*)?(?=[/:\s;&|<>()]|\Z)", re.ASCII)
_BACKQUOTES = re.compile(r"`(?:[^`\\]|\\.)*`", re.DOTALL)
_HEREDOC = re.compile(r"<<(?P<dash>-?)[ \t]*(?P<delimiter>(?:'[^'\n]*'|\"[^\"\n]*\"|\\.|[^\s;&|<>()'\"\\])+)")
_HERE_STRING = re.compile("<<<")
_COMMENT = re.compile(r"(?<=[\s(;])#[^\n]*")
_ANSI = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_ANSI_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,8}|[0-7]{1,3}|c.|.)", re.DOTALL)
_ANSI_CHARACTERS = {"a": 7, "b": 8, "e": 27, "E": 27, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}


class UnclosedError(ValueError):
    """A quote or an expansion is not closed."""


class WordReader:
    """
    Reads words from ``text``, starting at ``position``.

    While not ``live``, it skips words: it looks up, assigns and notes nothing.
    """

    def __init__(self, text: str, variables: BashVariables) -> None:
        self.text = text
        self.position = 0
        self.live = True
        self._variables = variables
        self._heredocs: list[tuple[str, bool]] = []

    def peek(self, length: int = 1) -> str:
        return self.text[self.position : self.position + length]

    def accept(self, pattern: re.Pattern[str]) -> Optional[re.Match[str]]:
        """Matches at the current position, and moves past the match."""
        match = pattern.match(self.text, self.position)
        if match is not None:
            self.position = match.end()
        return match

    def word(self, *, assigned: bool = False) -> str:
        """
        Returns the word that begins here, expanded. Raises UnclosedError.

        A tilde is expanded where Bash expands one, which includes after a colon if the word is ``assigned``.
        """
        pieces: list[str] = []
        home_may_follow = True
        while (character := self.peek()) and character not in SEPARATORS:
            tilde = self.accept(_TILDE) if home_may_follow and character == "~" else None
            pieces.append(self._home(tilde) if tilde else self._piece(character))
            home_may_follow = assigned and character == ":"
        return "".join(pieces)

    def heredoc(self) -> bool:
        """Skips ``<<WORD``, whose text follows the line. Returns whether there was one."""
        begun = None if self.accept(_HERE_STRING) else self.accept(_HEREDOC)
        if begun is not None:
            self._heredocs.append((re.sub(r"\\(.)|['\"]", r"\1", begun["delimiter"]), bool(begun["dash"])))
        return begun is not None

    def pass_heredocs(self) -> None:
        """Skips the texts of the heredocs begun on the line that ends here."""
        for delimiter, dash in self._heredocs:
            line = None
            while line != delimiter and self.position < len(self.text):
                end = self.text.find("\n", self.position) + 1 or len(self.text) + 1
                line = self.text[self.position : end - 1]
                line = line.lstrip("\t") if dash else line
                self.position = min(end, len(self.text))
        self._heredocs.clear()

    # ---- pieces of a word

    def _piece(self, character: str) -> str:
        if character == "'":
            return self._until("'")
        if character == '"':
            self.position += 1
            return self._quoted()
        if character == "\\":
            escaped = self.peek(2)[1:]
            self.position += 2
            return "" if escaped == "\n" else escaped or "\\"
        if character in "$`":
            return self._expansion(quoted=False)
        self.position += 1
        return character

    def _until(self, quote: str) -> str:
        end = self.text.find(quote, self.position + 1)
        if end < 0:
            raise UnclosedError(quote)
        content = self.text[self.position + 1 : end]
        self.position = end + 1
        return content

    def _quoted(self, closing: str = '"') -> str:
        """The text inside double quotes, or of an operand inside them, up to ``closing``."""
        pieces = []
        while (character := self.peek()) != closing:
            if not character:
                raise UnclosedError(closing)
            if character == "\\":
                pair = self.peek(2)
                self.position += 2
                pieces.append("" if pair == "\\\n" else pair[1:] if pair[1:] in f'$`"\\{closing}' else pair)
            elif character in "$`":
                pieces.append(self._expansion(quoted=True))
            elif character == '"':
                self.position += 1
                pieces.append(self._quoted())
            else:
                pieces.append(character)
                self.position += 1
        self.position += 1
        return "".join(pieces)

    def _expansion(self, *, quoted: bool) -> str:
        start = self.position
        if self.peek() == "`":
            self._pass_backquotes()
            return UNKNOWN
        following = self.peek(2)[1:]
        if following == "(":
            self.position += 2
            self._pass_until(")")
            return UNKNOWN
        if following == "{":
            return self._braced(quoted=quoted)
        if following in ("'", '"') and not quoted:
            ansi = self.accept(_ANSI)
            if ansi:
                return _ansi_decoded(ansi[1])
            self.position += 1
            return ""  # $"..." asks for a translation; without one it equals "..."
        self.position += 1
        name = self.accept(NAME)
        if name:
            return self._value(name[0])
        return self._unknown(start) if self.accept(_SPECIAL) else "$"

    def _braced(self, *, quoted: bool) -> str:
        start = self.position
        self.position += 2
        name = self.accept(NAME)
        if name and self.peek() == "}":
            self.position += 1
            return self._value(name[0])
        operator = self.accept(_OPERATOR) if name else None
        if name is None or operator is None:
            self._pass_until("}")
            return self._unknown(start)
        value = self._variables.get(name[0]) if self.live else None
        is_set = value is not None and not (operator[1] and value == "")
        live, self.live = self.live, self.live and is_set == (operator[2] == "+")
        operand = self._quoted("}") if quoted else self._operand()
        needed, self.live = self.live, live
        if operator[2] == "=" and needed:
            self._variables.set(name[0], operand)
        if operator[2] == "?" and needed:
            return self._unknown(start)
        return operand if needed else "" if operator[2] == "+" else value or ""

    def _operand(self) -> str:
        pieces = []
        while (character := self.peek()) != "}":
            if not character:
                raise UnclosedError("${")
            pieces.append(self._piece(character))
        self.position += 1
        return "".join(pieces)

    def _value(self, name: str) -> str:
        if not self.live:
            return ""
        value = self._variables.get(name)
        if value is None:
            self._variables.note(f"${name} is not set here; it was left out")
        return value or ""

    def _home(self, tilde: re.Match[str]) -> str:
        if tilde[1]:
            return self._unknown(tilde.start())
        return self._value("HOME")

    def _unknown(self, start: int) -> str:
        if self.live:
            self._variables.note(f"{self.text[start : self.position]} was not understood")
        return UNKNOWN

    # ---- skipped text

    def _pass_backquotes(self) -> None:
        if not self.accept(_BACKQUOTES):
            raise UnclosedError("`")

    def _pass_until(self, closing: str) -> None:
        """Skips to after the ``closing`` bracket of the expansion, past quotes and brackets inside it."""
        opening = {")": "(", "}": "{"}[closing]
        live, self.live = self.live, False
        depth = 1
        while depth:
            character = self.peek()
            if not character:
                raise UnclosedError(f"${opening}")
            if closing == ")" and (self.accept(_COMMENT) or self.heredoc()):
                continue
            if character == "\n":
                self.position += 1
                self.pass_heredocs()
            elif character in (opening, closing):
                depth += 1 if character == opening else -1
                self.position += 1
            else:
                self._piece(character)
        self.live = live


def _ansi_decoded(text: str) -> str:
    """Decodes the content of ``$'...'``, which ends at a NUL, as in Bash."""
    decoded = bytearray()
    end = 0
    for escape in _ANSI_ESCAPE.finditer(text):
        decoded += text[end : escape.start()].encode() + _ansi_character(escape[1])
        end = escape.end()
    decoded += text[end:].encode()
    return decoded.partition(b"\0")[0].decode(errors="replace")


def _ansi_character(escape: str) -> bytes:
    if escape in _ANSI_CHARACTERS:
        return bytes([_ANSI_CHARACTERS[escape]])
    kind, digits = escape[0], escape[1:]
    if kind in "uU" and digits:
        return chr(min(int(digits, 16), 0x10FFFF)).encode(errors="replace")
    if kind == "x" and digits:
        return bytes([int(digits, 16)])
    if kind == "c" and digits:
        return bytes([ord(digits[0].upper()) & 0x1F])
    if kind in "01234567":
        return bytes([int(escape, 8) & 0xFF])
    return escape.encode() if escape in "\\'\"?" else f"\\{escape}".encode()
