"""
The process-status file, shared with the old scripts (domain.md, "Process-status file").

Old scripts edit it with ``sed -i``, which takes no lock and replaces the file with an edited copy. So an update checks
just before its rename that the file is still the one it read. It checks again after the rename, because a sed that read
the file earlier may still replace it with a copy that lacks the update.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Callable, Optional

from traffic_aggr.errors import StateError, StatusFlagError
from traffic_aggr.files.local import LocalFiles, sync_directory
from traffic_aggr.text import shown

FLAGS = (0, 1, 2, 3)
"""No step, or the number of the step."""

RUNNING = "Running"
SUCCESS = "Success"
FAILURE = "Failure"

_FLAG = "MNAAS_Daily_ProcessStatusFlag"
_PROCESS_NAME = "MNAAS_Daily_ProcessName"
_JOB_STATUS = "MNAAS_job_status"
_RAN_TIME = "MNAAS_job_ran_time"
_PROCESS_ID = "MNAAS_Script_Process_Id"
_TICKET_CREATED = "MNAAS_email_sdp_created"

# The value that a missing key counts as, and is appended with.
_DEFAULTS = {_FLAG: "0", _PROCESS_NAME: "", _JOB_STATUS: "", _RAN_TIME: "", _PROCESS_ID: "", _TICKET_CREATED: "No"}

_LINE = re.compile(
    rb"(?P<head>(?:\xef\xbb\xbf)?[ \t]*(?:export[ \t]+)?)(?P<key>%s)[ \t]*=(?P<rest>.*?)(?P<end>\r*\n?)"
    % "|".join(_DEFAULTS).encode(),
    re.DOTALL,
)
_QUOTED = re.compile(rb"""[ \t]*(?P<quote>["'])(?P<value>[^"']*)(?P=quote)[ \t]*(?:\#.*)?""", re.DOTALL)
_COMMENT = re.compile(rb"[ \t]#")

_ATTEMPTS = 50
_SETTLE_S = 0.05
_LOCK_WAIT_S = 30.0
_LOCK_POLL_S = 0.02


@dataclass(frozen=True)
class Status:
    """The job's six keys; ``flag`` is 0 or a step's, ``ran_time`` is ``yyyy-MM-dd HH:mm:ss``."""

    flag: int
    process_name: str
    job_status: str
    ran_time: str
    process_id: Optional[int]
    ticket_created: bool


@dataclass(frozen=True)
class _Value:
    text: str
    line: int


@dataclass(frozen=True)
class _Snapshot:
    """A file's content, and its stat result to notice when another file has replaced it."""

    content: bytes
    status: Optional[os.stat_result]

    def is_same(self, other: _Snapshot) -> bool:
        return self.content == other.content and _identity(self.status) == _identity(other.status)


class StatusFile:
    """The process-status file at ``path``; a missing one is idle, and ``update`` creates it."""

    def __init__(self, path: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.path = path
        self._sleep = sleep

    def read(self) -> Status:
        """Reads the six keys. Raises StatusFlagError for a flag outside 0 to 3; StateError."""
        values = _values(self._snapshot().content)
        text = _texts(values)
        if text[_FLAG] not in ("0", "1", "2", "3"):
            raise StatusFlagError(
                f"{self.path} line {values[_FLAG].line}: {_FLAG} is {shown(text[_FLAG])!r}, not 0, 1, 2 or 3",
                hint=f"Set {_FLAG}=0 to start afresh, or 1 (drop), 2 (stage), 3 (load) to start at that step",
            )
        process_id = text[_PROCESS_ID]
        return Status(
            flag=int(text[_FLAG]),
            process_name=text[_PROCESS_NAME],
            job_status=text[_JOB_STATUS],
            ran_time=text[_RAN_TIME],
            process_id=int(process_id) if re.fullmatch("[0-9]{1,10}", process_id) else None,
            ticket_created=_is_yes(text[_TICKET_CREATED]),
        )

    def ticket_created(self) -> bool:
        """Whether the current failure has a ticket; ignores a wrong flag. Raises StateError."""
        return _is_yes(_texts(_values(self._snapshot().content))[_TICKET_CREATED])

    def job_status(self) -> str:
        """The job's status; ignores a wrong flag. Raises StateError."""
        return _texts(_values(self._snapshot().content))[_JOB_STATUS]

    def update(
        self,
        *,
        flag: Optional[int] = None,
        process_name: Optional[str] = None,
        job_status: Optional[str] = None,
        ran_time: Optional[str] = None,
        process_id: Optional[int] = None,
        ticket_created: Optional[bool] = None,
    ) -> None:
        """
        Writes the given keys; None leaves a key alone, missing keys are added as idle.

        All other bytes of the file stay. The change is durable when this returns. Raises StateError when that cannot be
        done, and ValueError for an invalid value. The file is never left half-written.
        """
        changes: dict[str, str] = {}
        if flag is not None:
            if flag not in FLAGS:
                raise ValueError(f"{_FLAG} cannot be {flag!r}")
            changes[_FLAG] = str(flag)
        if process_id is not None:
            changes[_PROCESS_ID] = str(process_id)
        if ticket_created is not None:
            changes[_TICKET_CREATED] = "Yes" if ticket_created else "No"
        for key, text in ((_PROCESS_NAME, process_name), (_JOB_STATUS, job_status), (_RAN_TIME, ran_time)):
            if text is not None:
                if not re.fullmatch(r"[\w.:/ -]*", text, re.ASCII):
                    raise ValueError(f"{key} cannot be {text!r}")
                changes[key] = text
        try:
            LocalFiles().make_directories(os.path.dirname(os.path.realpath(self.path)))
            with self._locked():
                self._write(changes)
        except OSError as exc:
            raise self._unusable("write", exc) from exc

    def _write(self, changes: Mapping[str, str]) -> None:
        for _ in range(_ATTEMPTS):
            before = self._snapshot()
            content = _changed(before.content, changes)
            if content == before.content:
                return
            if not self._replace(before, content):
                continue
            self._sleep(_SETTLE_S)
            after = _values(self._snapshot().content)
            if not _undone(changes, _values(before.content), after):
                return
        raise StateError(
            f"{self.path} was changed by another program each of {_ATTEMPTS} times that it was to be written",
            hint="Find the script that keeps editing it",
        )

    def _replace(self, before: _Snapshot, content: bytes) -> bool:
        """Replaces the file if it is still the one in ``before``. Returns whether it did."""
        target = os.path.realpath(self.path)
        directory, name = os.path.split(target)
        temporary = os.path.join(directory, f".{name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as out:
                out.write(content)
                out.flush()
                if before.status is not None:
                    _keep_owner_and_mode(descriptor, before.status)
                os.fsync(descriptor)
            if not self._snapshot().is_same(before):
                return False
            os.rename(temporary, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        sync_directory(directory)
        return True

    def _snapshot(self) -> _Snapshot:
        try:
            if not stat.S_ISREG(os.stat(self.path).st_mode):  # opening a pipe would block for ever
                raise StateError(f"the status file {self.path} is not a file", hint="Fix state.status_file")
            with open(self.path, "rb") as source:
                return _Snapshot(source.read(), os.fstat(source.fileno()))
        except FileNotFoundError:
            return _Snapshot(b"", None)
        except OSError as exc:
            raise self._unusable("read", exc) from exc

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = f"{self.path}.lock"
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            for _ in range(int(_LOCK_WAIT_S / _LOCK_POLL_S)):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self._sleep(_LOCK_POLL_S)
            else:
                raise StateError(
                    f"another program has kept {lock} locked for {_LOCK_WAIT_S:.0f} s",
                    hint=f"`fuser {lock}` names it; stop it",
                )
            yield
        finally:
            os.close(descriptor)

    def _unusable(self, verb: str, exc: OSError) -> StateError:
        return StateError(
            f"cannot {verb} the status file {self.path}: {exc.strerror} ({exc.filename or self.path})",
            hint="Fix its permissions, owner or directory",
        )


def _lines(content: bytes) -> list[bytes]:
    """Splits into lines, with their ends; only a line feed ends a line."""
    return re.findall(rb"[^\n]*\n|[^\n]+", content)


def _values(content: bytes) -> dict[str, _Value]:
    """The value of each key; of a repeated key the last one, as if the file had been sourced."""
    found = {}
    for number, line in enumerate(_lines(content), start=1):
        match = _LINE.fullmatch(line)
        if match:
            quoted = _QUOTED.fullmatch(match["rest"])
            value = quoted["value"] if quoted else _COMMENT.split(match["rest"], 1)[0]
            found[match["key"].decode()] = _Value(value.strip().decode(errors="replace"), number)
    return found


def _texts(values: Mapping[str, _Value]) -> dict[str, str]:
    return {key: values[key].text if key in values else default for key, default in _DEFAULTS.items()}


def _is_yes(text: str) -> bool:
    return text.lower() == "yes"


def _changed(content: bytes, changes: Mapping[str, str]) -> bytes:
    """
    Returns the content with the changes made and missing keys appended.

    Sets every occurrence of a key, as ``sed 's/^KEY=.*/KEY=v/'`` does, and keeps its quotes.
    """
    lines = _lines(content)
    present = set()
    for index, line in enumerate(lines):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        key = match["key"].decode()
        present.add(key)
        if key in changes:
            quoted = _QUOTED.fullmatch(match["rest"])
            quote = quoted["quote"] if quoted else b""
            lines[index] = b"".join(
                [match["head"], match["key"], b"=", quote, changes[key].encode(), quote, match["end"]]
            )
    missing = {key: changes.get(key, default) for key, default in _DEFAULTS.items() if key not in present}
    line_end = b"\r\n" if lines and lines[0].endswith(b"\r\n") else b"\n"
    if missing and lines and not lines[-1].endswith(b"\n"):
        lines[-1] += b"\n" if lines[-1].endswith(b"\r") else line_end
    return b"".join(lines) + b"".join(f"{key}={text}".encode() + line_end for key, text in missing.items())


def _undone(changes: Mapping[str, str], before: Mapping[str, _Value], after: Mapping[str, _Value]) -> bool:
    """Whether a key has its old value again. A third value is somebody's later decision, and stays."""

    def text(values: Mapping[str, _Value], key: str) -> Optional[str]:
        return values[key].text if key in values else None

    return any(text(after, key) != new and text(after, key) == text(before, key) for key, new in changes.items())


def _identity(status: Optional[os.stat_result]) -> Optional[tuple[int, ...]]:
    return None if status is None else (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


def _keep_owner_and_mode(descriptor: int, model: os.stat_result) -> None:
    found = os.fstat(descriptor)
    if (found.st_uid, found.st_gid) != (model.st_uid, model.st_gid):
        os.fchown(descriptor, model.st_uid, model.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(model.st_mode))
