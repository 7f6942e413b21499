"""
Java servers as child processes: started until they answer, stopped or killed, and restarted.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Optional, TypeVar
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from devtools.sweeper import MARK
from traffic_aggr.spark.jvm import suitable_java

HOST = "127.0.0.1"
START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 20

_ASK_EVERY_S = 0.2
_REQUEST_TIMEOUT_S = 30
# Below Linux's ephemeral ports: an outgoing connection could take a server's port while the server is down.
_PORTS = range(20_000, 32_000)
_OPENS = ("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util")
JVM_OPTIONS = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:+IgnoreUnrecognizedVMOptions",  # Java 8 has no modules
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENS),
)


_Started = TypeVar("_Started", bound="Startable")


class Startable:
    """Servers that run for as long as a ``with`` statement."""

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def __enter__(self: _Started) -> _Started:
        self.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.stop()


class RefusedError(OSError):
    """A server answered a request with an HTTP error; ``code`` and ``content`` hold the answer."""

    def __init__(self, code: int, content: bytes) -> None:
        super().__init__(f"the server answered {code}: {content[:500].decode(errors='replace')}")
        self.code = code
        self.content = content


class Daemon:
    """
    One server process: ``command`` run in ``directory``, ready once ``answers`` returns true.

    Its output is appended to ``log``. It can be started again after ``stop`` or ``kill``.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path,
        log: Path,
        answers: Callable[[], bool],
    ) -> None:
        self.name = name
        self.log = log
        self.directory = directory
        self._command = command
        self._environment = environment
        self._answers = answers
        self._process: Optional[subprocess.Popen[bytes]] = None

    @property
    def pid(self) -> Optional[int]:
        """PID of the running process; None when there is none."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def launch(self) -> None:
        """Starts the process unless it is running, without waiting for it to answer."""
        if self.pid is not None:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=dict(self._environment),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def start(self) -> None:
        """Starts the process and waits until it answers. Raises RuntimeError when it exits first or stays silent."""
        self.launch()
        self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:
        """Raises RuntimeError when the process exits or has not answered after ``START_TIMEOUT_S``."""
        wait_until(self._has_answered, f"the {self.name} to answer (see {self.log})")

    def terminate(self) -> None:
        """Sends SIGTERM without waiting for the process to exit."""
        if self.pid is not None and self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """Sends SIGTERM, then SIGKILL when the process is still running after ``STOP_TIMEOUT_S``."""
        self.terminate()
        if self._process is not None:
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kills the process at once (SIGKILL), whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Stops the process if it is running, then starts it."""
        self.stop()
        self.start()

    def _has_answered(self) -> bool:
        if self.pid is None:
            raise RuntimeError(f"the {self.name} did not start: see {self.log}")
        try:
            return self._answers()
        except OSError:
            return False


def wait_until(reached: Callable[[], bool], what: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Polls ``reached`` until it is true. Raises RuntimeError, which names ``what``, after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(_ASK_EVERY_S)


def java_environment(belongs_to: Path, **more: str) -> dict[str, str]:
    """
    Returns this process's environment with a Java that suits Spark, marked as belonging to ``belongs_to``, plus
    ``more``.

    The mark lets ``Sweeper`` find the processes that inherit this environment. Raises InputError when no Java suits.
    """
    changed = {**os.environ, **suitable_java()}
    environment = {name: value for name, value in changed.items() if value is not None}
    if "JAVA_HOME" not in environment:
        environment["JAVA_HOME"] = str(Path(str(shutil.which("java"))).resolve().parents[1])
    return {**environment, MARK: str(belongs_to.resolve()), **more}


def java_command(
    environment: Mapping[str, str],
    class_path: Iterable[object],
    main_class: str,
    arguments: Iterable[str] = (),
    *,
    memory: str,
    properties: Optional[Mapping[str, object]] = None,
) -> list[str]:
    """Returns the command that runs ``main_class`` with at most ``memory`` of heap and the system ``properties``."""
    return [
        os.path.join(environment["JAVA_HOME"], "bin", "java"),
        f"-Xmx{memory}",
        *JVM_OPTIONS,
        *(f"-D{name}={value}" for name, value in (properties or {}).items()),
        "-cp",
        os.pathsep.join(str(entry) for entry in class_path),
        main_class,
        *arguments,
    ]


def kept_ports(path: Path, names: Sequence[str]) -> dict[str, int]:
    """
    Returns a port for each of ``names``, the same ones each time.

    ``path`` remembers the ports. Names that it lacks get free ports, which are written there.
    """
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    missing = [name for name in names if name not in known]
    if missing:
        known.update(zip(missing, free_ports(len(missing))))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return {name: known[name] for name in names}


def free_ports(count: int) -> list[int]:
    """Returns ``count`` different ports on which nothing listens."""
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        for port in random.sample(_PORTS, len(_PORTS)):
            if len(ports) == count:
                break
            try:
                held.enter_context(socket.create_server((HOST, port)))
            except OSError:
                continue
            ports.append(port)
        return ports


def fetch(url: str, *, method: str = "GET", body: Optional[bytes] = None, content_type: str = "") -> bytes:
    """Returns the answer of a server on this machine. Raises OSError, and RefusedError for an HTTP error."""
    headers = {"Content-Type": content_type} if content_type else {}
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(Request(url, body, headers, method=method), timeout=_REQUEST_TIMEOUT_S) as answer:
            content: bytes = answer.read()
            return content
    except HTTPError as exc:
        with exc:
            raise RefusedError(exc.code, exc.read()) from exc


def fetch_json(url: str) -> Any:
    """Returns the JSON answer of a server on this machine, parsed."""
    return json.loads(fetch(url))
