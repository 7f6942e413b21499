"""
The program's log: a file rotated daily, standard error and syslog, all without secrets.

Days and times are in the host's time zone, as operators read them.
"""

from __future__ import annotations

import datetime
import errno
import json
import logging
import logging.handlers
import os
import socket
import sys
import traceback
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Callable, Optional, TextIO

from traffic_aggr.config.config import LogsConfig
from traffic_aggr.config.secrets import Redactor
from traffic_aggr.errors import InputError
from traffic_aggr.events import Event
from traffic_aggr.host.log_file import DailyFile
from traffic_aggr.host.streams import flush
from traffic_aggr.spark.progress import Kind
from traffic_aggr.terminal import can_rewrite, is_terminal
from traffic_aggr.text import escaped

FILE_NAME = "traffic_adhoc_aggr.log"
SYSLOG_SOCKET = "/dev/log"
MAX_SYSLOG_CHARACTERS = 2000
MAX_TAIL_BYTES = 256 * 1024
_TO_END_OF_LINE = "\x1b[K"
"""ANSI sequence that erases from the cursor to the end of the line."""

PACKAGE_LOGGER = "traffic_aggr"
# Libraries that print a traceback on standard error when their loggers have no handler.
LIBRARY_LOGGERS = ("impala", "thrift", "thrift_sasl", "py4j")

logger = logging.getLogger(__name__)


def configure(
    logs: LogsConfig,
    run_id: Optional[str],
    secrets: Iterable[str],
    *,
    console: bool,
    now: Callable[[], datetime.datetime] = datetime.datetime.now,
    syslog_socket: str = SYSLOG_SOCKET,
) -> None:
    """
    Sends the package's log to the log file, standard error and syslog.

    Standard error only if ``console``: messages from INFO on, without tracebacks, and with time and run id if it is not
    a terminal. Syslog only if ``logs.syslog``. The file also gets warnings from ``LIBRARY_LOGGERS``. Replaces what an
    earlier call set up.

    ``secrets`` are the values to redact. Raises ``InputError`` when the file cannot be written.
    """
    shut_down()
    redactor = Redactor(secrets)
    file_format: logging.Formatter = JsonFormatter(run_id, redactor)
    if logs.format == "text":
        file_format = TextFormatter(run_id, redactor)
    try:
        file_handler = FileHandler(DailyFile(logs.dir / FILE_NAME, logs.keep_days, now), redactor)
    except OSError as exc:
        raise InputError(
            f"the log {logs.dir / FILE_NAME} cannot be written: {exc.strerror}",
            hint="Make logs.dir writable for this user, or name another directory there",
        ) from exc
    file_handler.setFormatter(file_format)
    file_handler.setLevel(logs.level)
    package = logging.getLogger(PACKAGE_LOGGER)
    package.setLevel(min(logging.getLevelName(logs.level), logging.INFO))
    # Handlers of the root logger are not ours and would write secrets unredacted.
    package.propagate = False
    package.addHandler(file_handler)
    if console:
        package.addHandler(_console_handler(run_id, redactor))
    for name in LIBRARY_LOGGERS:
        library = logging.getLogger(name)
        library.setLevel(logging.WARNING)
        library.propagate = False
        library.addHandler(file_handler)
    if logs.syslog:
        _add_syslog(package, syslog_socket, logs.level, TextFormatter(run_id, redactor, for_syslog=True))


def shut_down() -> None:
    """Closes the handlers that ``configure`` added and resets their loggers to Python's defaults."""
    for name in (PACKAGE_LOGGER, *LIBRARY_LOGGERS):
        log = logging.getLogger(name)
        for handler in list(log.handlers):
            if isinstance(handler, (FileHandler, _ConsoleHandler, _SyslogHandler)):
                log.removeHandler(handler)
                handler.close()
                log.propagate = True
                log.setLevel(logging.NOTSET)


def tail(path: Path, lines: int) -> list[str]:
    """
    Returns the last ``lines`` lines of a log; none if it cannot be read.

    Reads at most the last 256 KiB. The lines need no redaction, because they were redacted when written.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            start = stream.seek(max(0, size - MAX_TAIL_BYTES))
            content = stream.read(MAX_TAIL_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return []
    # Only "\n" ends a line of the log; splitlines() would also split at other characters.
    found = content.removesuffix("\n").split("\n")
    if start and len(found) > 1:
        # Reading may have started in the middle of the first line.
        del found[0]
    return found[max(0, len(found) - lines) :] if content else []


class TextFormatter(logging.Formatter):
    """
    ``2021-05-01 02:02:03,123 INFO  [run id] message``; the lines of a traceback follow, indented.

    A message of several lines is written as one, so that data cannot forge a log line. Syslog adds its own time, so it
    gets only level, run id and message.
    """

    def __init__(self, run_id: Optional[str], redactor: Redactor, *, for_syslog: bool = False) -> None:
        super().__init__()
        self._run_id = run_id or "-"
        self._redactor = redactor
        self._for_syslog = for_syslog

    def format(self, record: logging.LogRecord) -> str:
        # Redact before escaping, because escaping would hide a secret that contains a control character. Redact the
        # whole line again at the end.
        message = escaped(self._redactor.redact(record.getMessage()))
        line = f"{record.levelname:<5} [{self._run_id}] {message}"
        if self._for_syslog:
            return self._redactor.redact(line)[:MAX_SYSLOG_CHARACTERS]
        lines = [f"{self.formatTime(record)} {line}"]
        lines += [f"    {escaped(part)}" for part in self._redactor.redact(_exception(record)).splitlines()]
        return self._redactor.redact("\n".join(lines))


class JsonFormatter(logging.Formatter):
    """
    One JSON object per line.

    Its keys are ``time`` (ISO 8601 with offset), ``level``, ``run_id``, ``logger``, ``message``; those of an event
    (``traffic_aggr.events``), and ``exception`` if there is one.
    """

    def __init__(self, run_id: Optional[str], redactor: Redactor) -> None:
        super().__init__()
        self._run_id = run_id
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "run_id": self._run_id,
            "logger": record.name,
            "message": self._redactor.redact(record.getMessage()),
        }
        event: Optional[Event] = getattr(record, "event", None)
        if event is not None:
            entry["event"] = event.value
            fields: dict[str, object] = getattr(record, "fields", {})
            entry.update(
                (name, self._redactor.redact(value) if isinstance(value, str) else value)
                for name, value in fields.items()
            )
        exception = _exception(record)
        if exception:
            entry["exception"] = self._redactor.redact(exception)
        return json.dumps(entry)


class _ConsoleFormatter(logging.Formatter):
    """
    The message, prefixed with its level above INFO; tracebacks go to the log file only.

    ``timed`` adds the time and the run: ``2021-05-01 02:02:03 +0530 [run id] error: message``.
    """

    def __init__(self, run_id: Optional[str], redactor: Redactor, *, timed: bool) -> None:
        super().__init__(datefmt="%Y-%m-%d %H:%M:%S %z")
        self._run = f" [{run_id}]" if run_id else ""
        self._redactor = redactor
        self._timed = timed

    def format(self, record: logging.LogRecord) -> str:
        message = escaped(self._redactor.redact(record.getMessage()))
        when = f"{self.formatTime(record, self.datefmt)}{self._run} " if self._timed else ""
        level = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        return self._redactor.redact(when + level + message)


class FileHandler(logging.Handler):
    """Writes to the log file. Reports the first failure on standard error; the run goes on."""

    def __init__(self, file: DailyFile, redactor: Redactor) -> None:
        super().__init__()
        self._file = file
        self._redactor = redactor
        self._has_warned = False
        self.addFilter(_is_to_keep)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._file.write(self.format(record) + "\n")
        except Exception as exc:  # a log line must not end the run, even if formatting its arguments raises
            self._warn(record, exc)

    def _warn(self, record: logging.LogRecord, exc: Exception) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        # Neither the message nor its arguments: redacting them may be what failed.
        reason = exc.strerror if isinstance(exc, OSError) else type(exc).__name__
        place = f"{record.filename}:{record.lineno}"
        try:
            _clear_progress()
            print(
                self._redactor.redact(f"warning: cannot log to {self._file.path}: {reason} ({place}); the run goes on"),
                file=sys.stderr,
            )
            flush(sys.stderr)
        except (OSError, ValueError, AttributeError):
            # Standard error is closed, so the warning has nowhere to go.
            return

    def close(self) -> None:
        self._file.close()
        super().close()


class _ConsoleHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic only for the type checker
    """
    Writes to standard error; silent when that is closed.

    On a terminal each progress line replaces the last one, and is cleared before anything else is written. Quiet
    messages, which repeat what standard output says, do not go to a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.is_terminal = is_terminal(stream)
        self._rewrites = can_rewrite(stream, os.environ)
        self._shows_progress = False

    def emit(self, record: logging.LogRecord) -> None:
        kind = getattr(record, "progress", None)
        is_quiet = self.is_terminal and getattr(record, "quiet", False)
        if is_quiet or kind is (Kind.LOGGED if self._rewrites else Kind.LIVE):
            return
        try:
            if kind is Kind.LIVE and record.getMessage():
                self._show(self.format(record))
                return
            self.clear()
        except (OSError, ValueError):
            self.handleError(record)
        if kind is not Kind.LIVE:
            super().emit(record)

    def _show(self, line: str) -> None:
        # A line as wide as the terminal would wrap, and the wrapped part could not be overwritten.
        self.stream.write(f"\r{line[: self._columns() - 1]}{_TO_END_OF_LINE}")
        self._shows_progress = True
        self.flush()

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or 80
        except OSError:
            return 80

    def clear(self) -> None:
        """Erases the progress line from the terminal, if there is one."""
        with self.lock or nullcontext():
            if self._shows_progress:
                self._shows_progress = False
                self.stream.write(f"\r{_TO_END_OF_LINE}")
                self.flush()

    def flush(self) -> None:
        flush(self.stream)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        return


class _SyslogHandler(logging.handlers.SysLogHandler):
    """Syslog; silent when it disappears during the run."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        return


def _is_to_keep(record: logging.LogRecord) -> bool:
    return getattr(record, "progress", None) is not Kind.LIVE


def _clear_progress() -> None:
    for handler in logging.getLogger(PACKAGE_LOGGER).handlers:
        if isinstance(handler, _ConsoleHandler):
            handler.clear()


def _console_handler(run_id: Optional[str], redactor: Redactor) -> logging.Handler:
    handler = _ConsoleHandler(sys.stderr)
    handler.setLevel(logging.INFO)
    handler.setFormatter(_ConsoleFormatter(run_id, redactor, timed=not handler.is_terminal))
    return handler


def _add_syslog(package: logging.Logger, address: str, level: str, formatter: logging.Formatter) -> None:
    try:
        # SysLogHandler itself does not report a missing socket.
        _reach(address)
        handler = _SyslogHandler(address)
    except OSError as exc:
        logger.warning("logs.syslog: %s cannot be reached (%s); the run goes on without it", address, exc.strerror)
        return
    handler.ident = "traffic_adhoc_aggr: "
    handler.addFilter(_is_to_keep)
    handler.setLevel(level)
    handler.setFormatter(formatter)
    package.addHandler(handler)


def _reach(address: str) -> None:
    """Raises ``OSError`` when nobody listens at a Unix socket, for datagrams or streams."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        problem = probe.connect_ex(address)
    if problem == errno.EPROTOTYPE:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            problem = probe.connect_ex(address)
    if problem:
        raise OSError(problem, os.strerror(problem), address)


def _exception(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
