"""
Files on HDFS through the NameNode's web service, for tests that look at them from outside Spark.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional
from urllib.parse import quote, urlencode

from devtools.daemons import HOST, RefusedError, fetch


class WebHdfs:
    """
    Paths (``/user/etl/x``) on the HDFS whose NameNode serves ``port``, accessed as ``user``.

    Raises FileNotFoundError, PermissionError or another OSError, with HDFS's own message.
    """

    def __init__(self, port: int, user: str) -> None:
        self.port = port
        self.user = user

    def as_user(self, user: str) -> WebHdfs:
        """Returns a client that acts as another user."""
        return WebHdfs(self.port, user)

    def write(self, path: str, content: bytes) -> None:
        """Creates or overwrites a file, and creates its parents."""
        self._send("PUT", path, "CREATE", content, overwrite="true")

    def append(self, path: str, content: bytes) -> None:
        """Appends to an existing file."""
        self._send("POST", path, "APPEND", content)

    def read(self, path: str) -> bytes:
        """Returns the content of a file."""
        return self._call("GET", path, "OPEN")

    def status(self, path: str) -> dict[str, Any]:
        """Returns what HDFS knows of a path: type, length, owner, group, permission (octal), modificationTime, ..."""
        found: dict[str, Any] = json.loads(self._call("GET", path, "GETFILESTATUS"))["FileStatus"]
        return found

    def exists(self, path: str) -> bool:
        """Whether anything is at this path."""
        try:
            return bool(self.status(path))
        except FileNotFoundError:
            return False

    def list(self, path: str) -> dict[str, dict[str, Any]]:
        """Returns the status of each entry of a directory by its name."""
        found = json.loads(self._call("GET", path, "LISTSTATUS"))["FileStatuses"]["FileStatus"]
        return {status["pathSuffix"]: status for status in found}

    def walk(self, path: str) -> dict[str, dict[str, Any]]:
        """Returns the status of each file at any depth beneath a directory by its relative path."""
        files = {}
        for name, status in self.list(path).items():
            if status["type"] == "DIRECTORY":
                files.update({f"{name}/{below}": each for below, each in self.walk(f"{path}/{name}").items()})
            else:
                files[name] = status
        return files

    def make_directories(
        self, path: str, mode: int = 0o755, *, owner: Optional[str] = None, group: Optional[str] = None
    ) -> None:
        """
        Creates a directory and its parents.

        Mode, owner and group apply to the directory itself, new or not.
        """
        self._call("PUT", path, "MKDIRS")
        self.set_mode(path, mode)
        taken = {"owner": owner, "group": group}
        if any(taken.values()):
            self._call("PUT", path, "SETOWNER", **{name: value for name, value in taken.items() if value})

    def set_mode(self, path: str, mode: int) -> None:
        """Sets the permission bits of a path."""
        self._call("PUT", path, "SETPERMISSION", permission=f"{mode:o}")

    def set_times(self, path: str, modified_ms: int) -> None:
        """Sets the modification time of a path."""
        self._call("PUT", path, "SETTIMES", modificationtime=str(modified_ms))

    def rename(self, source: str, target: str) -> None:
        """Renames a path. Raises OSError also where HDFS merely answers false."""
        if not json.loads(self._call("PUT", source, "RENAME", destination=target))["boolean"]:
            raise OSError(f"HDFS did not rename {source} to {target}")

    def delete(self, path: str) -> None:
        """Deletes a file or a whole directory, if it exists."""
        self._call("DELETE", path, "DELETE", recursive="true")

    def _url(self, path: str, operation: str, **parameters: str) -> str:
        query = urlencode({"op": operation, "user.name": self.user, **parameters})
        return f"http://{HOST}:{self.port}/webhdfs/v1{quote(path)}?{query}"

    def _call(self, method: str, path: str, operation: str, **parameters: str) -> bytes:
        with _errors_translated():
            return fetch(self._url(path, operation, **parameters), method=method)

    def _send(self, method: str, path: str, operation: str, content: bytes, **parameters: str) -> None:
        """Sends data to the DataNode that the NameNode names; the NameNode itself takes no data."""
        answer = self._call(method, path, operation, noredirect="true", **parameters)
        with _errors_translated():
            fetch(json.loads(answer)["Location"], method=method, body=content, content_type="application/octet-stream")


@contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except RefusedError as exc:
        try:
            remote = json.loads(exc.content)["RemoteException"]
        except (ValueError, KeyError):
            raise exc from None
        kinds = {"FileNotFoundException": FileNotFoundError, "AccessControlException": PermissionError}
        raise kinds.get(remote["exception"], OSError)(remote["message"].splitlines()[0]) from exc
