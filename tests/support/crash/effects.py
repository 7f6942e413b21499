"""
Notice of every change that this process makes to files under one directory: the system calls that outlive a process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import pytest

from tests.support.crash.trees import Place

_BY_PATH = ("rename", "replace", "link", "symlink", "mkdir", "rmdir", "unlink", "remove", "chmod", "chown", "truncate")
_BY_DESCRIPTOR = ("fsync", "fdatasync", "fchmod", "fchown", "ftruncate", "pwrite")


class Observer(Protocol):
    """Who is told. ``paths`` are absolute, those of a rename or link both."""

    def before(self, call: str, paths: list[str]) -> None: ...

    def after(self, call: str, paths: list[str]) -> None: ...


class Calls:
    """Tells ``observer`` of the calls of this thread about what lies in ``place``; not of its own."""

    def __init__(self, place: Place, observer: Observer, patch: pytest.MonkeyPatch) -> None:
        self._place = place
        self._observer = observer
        self._thread = threading.get_ident()
        self._silent = False
        for name in _BY_PATH:
            patch.setattr(os, name, self._told(name, getattr(os, name), self._paths))
        for name in _BY_DESCRIPTOR:
            patch.setattr(os, name, self._told(name, getattr(os, name), self._path_of_descriptor))
        patch.setattr(os, "open", self._told("open", os.open, self._created))

    @contextmanager
    def silence(self) -> Iterator[None]:
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    def _told(self, name: str, call: Callable[..., Any], paths_of: Callable[..., list[str]]) -> Callable[..., Any]:
        def told(*arguments: Any, **options: Any) -> Any:
            if self._silent or threading.get_ident() != self._thread:
                return call(*arguments, **options)
            paths = paths_of(*arguments, **options)
            if not any(self._place.relative(path) for path in [*paths]) and paths != [self._place.root]:
                return call(*arguments, **options)
            with self.silence():
                self._observer.before(name, paths)
            result = call(*arguments, **options)
            with self.silence():
                self._observer.after(name, paths)
            return result

        return told

    def _paths(self, *arguments: Any, **options: Any) -> list[str]:
        found = [os.fspath(each) for each in arguments[:2] if isinstance(each, (str, os.PathLike))]
        directory = options.get("dir_fd")
        if directory is not None:
            found = [os.path.join(os.readlink(f"/proc/self/fd/{directory}"), each) for each in found]
        return [os.path.abspath(each) for each in found]

    def _path_of_descriptor(self, descriptor: int, *_: Any) -> list[str]:
        return [os.readlink(f"/proc/self/fd/{descriptor}")]

    def _created(self, path: Any, flags: int, *_: Any, **options: Any) -> list[str]:
        return self._paths(path, **options) if flags & os.O_CREAT else []
