"""Secrets: where each is kept, how to read it, and how to keep it out of text."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import stat
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Callable, Optional

from traffic_aggr.errors import ConfigError
from traffic_aggr.units import data_volume

MAX_SECRET_BYTES = 64 * 1024
SHORTEST_MATCHED_ANYWHERE = 4
REDACTED = "***"


@dataclass(frozen=True, repr=False)
class SecretRef:
    """
    Where a secret is kept. ``str`` and ``repr`` show only that, never the secret.

    ``kind`` is ``env`` for an environment variable, ``file`` for a file, or ``hadoop`` for an alias of Hadoop's
    credential provider.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{{{self.kind}: {self.name}}}"

    def __repr__(self) -> str:
        return f"SecretRef({self.kind}: {self.name})"

    def reveal(self, environ: Mapping[str, str], read_hadoop: Optional[Callable[[str], str]] = None) -> str:
        """
        Returns the secret itself. ``read_hadoop`` looks up an alias in the credential provider.

        Raises ``ConfigError`` when the secret is missing or empty, when its file is open to other users or is not text
        of at most 64 KiB, and when the secret is Hadoop's but ``read_hadoop`` is None.
        """
        if self.kind == "file":
            secret = _read_secret_file(self.name)
        elif self.kind == "env":
            secret = environ.get(self.name, "")
        elif read_hadoop is None:
            raise ConfigError(
                f"the secret {self} needs Hadoop, which this command does not start",
                hint="Keep it in {file: PATH} or {env: NAME} instead",
            )
        else:
            secret = read_hadoop(self.name)
        if not secret:
            raise ConfigError(f"the secret {self} is {'not set' if self.kind == 'env' else 'empty'}", hint=self._mend())
        return secret

    def _mend(self) -> str:
        if self.kind == "env":
            return f"Export {self.name} where the job is started"
        if self.kind == "hadoop":
            return f"Store it: hadoop credential create {self.name}"
        return f"Write the secret into {self.name}"


def _read_secret_file(path: str) -> str:
    try:
        # O_NONBLOCK, because opening a FIFO without a writer would block for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"the secret file {path} is not a regular file", hint="Name a file in its place")
            mode = stat.S_IMODE(status.st_mode)
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigError(
                    f"the secret file {path} is open to others (mode {mode:04o})", hint=f"Run: chmod 600 {path}"
                )
            content = stream.read(MAX_SECRET_BYTES + 1)
    except OSError as exc:
        raise ConfigError(
            f"the secret file {path} cannot be read: {exc.strerror}", hint="Make it readable for this user alone"
        ) from exc
    if len(content) > MAX_SECRET_BYTES:
        raise ConfigError(
            f"the secret file {path} is larger than {data_volume(MAX_SECRET_BYTES)}", hint="Name another file"
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        # Not "from exc": that exception carries the bytes of the secret.
        raise ConfigError(f"the secret file {path} is not UTF-8 text", hint="Write the secret as text") from None
    return re.sub(r"\r?\n\Z", "", text)


class Redactor:
    """
    Replaces secrets in text.

    Also finds them URL-encoded, in base64, or escaped as in JSON, HTML or a Python ``repr``. Replaces a secret of fewer
    than four characters only where it is a whole word.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        words: set[str] = set()
        for secret in secrets:
            if len(secret) >= SHORTEST_MATCHED_ANYWHERE:
                forms |= _forms(secret)
            elif secret:
                words.add(secret)
        # Longest first, because a secret may begin with another one.
        patterns = [re.escape(form) for form in sorted(forms, key=len, reverse=True)]
        patterns += [rf"(?<!\w){re.escape(word)}(?!\w)" for word in sorted(words, key=len, reverse=True)]
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def redact(self, text: str) -> str:
        """Returns the text with every secret replaced by ``***``."""
        return self._pattern.sub(REDACTED, text) if self._pattern else text


def _forms(secret: str) -> set[str]:
    as_bytes = secret.encode("utf-8", errors="surrogateescape")
    forms = {
        secret,
        urllib.parse.quote(as_bytes, safe=""),
        urllib.parse.quote(as_bytes),
        urllib.parse.quote_plus(as_bytes),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    }
    forms |= {html.escape(secret), html.escape(secret, quote=False)}
    for shift in range(3):
        forms |= _inside_base64(as_bytes, shift)
    return forms


def _inside_base64(secret: bytes, shift: int) -> set[str]:
    """
    The base64 of a secret that starts ``shift`` bytes after a multiple of three in a longer text.

    Leaves out the characters that also depend on the neighbouring bytes. Returns the standard and the URL-safe form.
    """
    encoded = base64.b64encode(b"\0" * shift + secret).decode("ascii")
    first = -(-shift * 8 // 6)
    last = (shift + len(secret)) * 8 // 6
    core = encoded[first:last]
    return {core, core.replace("+", "-").replace("/", "_")}
