"""
What lies under a directory, kept in memory and put back; and what of it a power cut would leave.

Content is held as bytes, so that equal files of many moments are one object and two moments compare at once.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Optional


class Entry(NamedTuple):
    """A directory (``content`` None) or a file."""

    mode: int
    content: Optional[bytes]


Tree = Mapping[str, Entry]
"""Entries by their path relative to the root; a directory comes before what is in it."""


class Place:
    """The directory ``root``, of which what ``ignored`` tells (of a relative path) is left out, and left alone."""

    def __init__(self, root: Path, ignored: Callable[[str], bool]) -> None:
        self.root = str(root)
        self._ignored = ignored
        self._known: dict[bytes, bytes] = {}

    def relative(self, path: str) -> Optional[str]:
        """The path relative to the root; None for one outside, and for one that is left out."""
        if not path.startswith(f"{self.root}/"):
            return None
        found = path[len(self.root) + 1 :]
        return None if self._ignored(found) else found

    def read(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        self._read(self.root, found)
        return found

    def _read(self, directory: str, found: dict[str, Entry]) -> None:
        with os.scandir(directory) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            path = self.relative(entry.path)
            if path is None:
                continue
            mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
            if entry.is_dir(follow_symlinks=False):
                found[path] = Entry(mode, None)
                self._read(entry.path, found)
            else:
                found[path] = Entry(mode, self.content(entry.path))

    def content(self, path: str) -> bytes:
        with open(path, "rb") as source:
            content = source.read()
        return self._known.setdefault(content, content)

    def write(self, wanted: Tree) -> None:
        """Makes the directory hold ``wanted``, and nothing else that is not left out."""
        now = self.read()
        for path in reversed(list(now)):
            other_kind = path in wanted and (wanted[path].content is None) != (now[path].content is None)
            if path not in wanted or other_kind:
                # What is left out may still lie in a directory that goes.
                remove = shutil.rmtree if now[path].content is None else os.unlink
                remove(f"{self.root}/{path}")
                del now[path]
        for path, entry in sorted(wanted.items()):
            where, found = f"{self.root}/{path}", now.get(path)
            if found == entry:
                continue
            if entry.content is None:
                if found is None:
                    os.mkdir(where)
            elif found is None or found.content != entry.content:
                with open(where, "wb") as out:
                    out.write(entry.content)
            os.chmod(where, entry.mode)


class DurableTree:
    """
    What of a directory a power cut leaves: the entries of each directory and the content of each file as they were
    synced last. What was there at the beginning is durable.

    A rename is one change of a journal: it is durable on both sides as soon as either directory is synced. A file
    that is there and was never synced is empty. Inodes are held open, since a number may go to another file later.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._entries: dict[int, dict[str, int]] = {}
        self._contents: dict[int, Optional[bytes]] = {}
        self._modes: dict[int, int] = {}
        self._held: dict[int, int] = {}
        self._renames: list[tuple[int, str, int, str, int]] = []
        self._root = os.stat(place.root).st_ino
        self._sync_all(place.root)

    def close(self) -> None:
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def _sync_all(self, path: str) -> None:
        self.synced(path)
        if os.path.isdir(path):
            with os.scandir(path) as scan:
                for entry in scan:
                    if self._place.relative(entry.path) is not None:
                        self._sync_all(entry.path)

    def synced(self, path: str) -> None:
        """What is at ``path`` was synced."""
        inode = self._hold(path)
        if not os.path.isdir(path):
            self._contents[inode] = self._place.content(path)
            return
        with os.scandir(path) as scan:
            listed = {entry.name: entry.path for entry in scan if self._place.relative(entry.path) is not None}
        self._entries[inode] = {name: self._hold(where) for name, where in listed.items()}
        for rename in [each for each in self._renames if inode in (each[0], each[2])]:
            self._renames.remove(rename)
            self._apply(rename)

    def renaming(self, source: str, target: str) -> None:
        """What is at ``source`` gets the name ``target`` now."""
        parents = [os.stat(os.path.dirname(each)).st_ino for each in (source, target)]
        names = [os.path.basename(each) for each in (source, target)]
        self._renames.append((parents[0], names[0], parents[1], names[1], self._hold(source)))

    def _apply(self, rename: tuple[int, str, int, str, int]) -> None:
        old_parent, old_name, new_parent, new_name, inode = rename
        if self._entries.get(old_parent, {}).get(old_name) == inode:
            del self._entries[old_parent][old_name]
        self._entries.setdefault(new_parent, {})[new_name] = inode

    def _hold(self, path: str) -> int:
        found = os.lstat(path)
        if found.st_ino not in self._held:
            self._held[found.st_ino] = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._modes[found.st_ino] = found.st_mode
        return found.st_ino

    def tree(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        self._walk(self._root, "", found)
        return found

    def _walk(self, directory: int, prefix: str, found: dict[str, Entry]) -> None:
        for name, inode in sorted(self._entries.get(directory, {}).items()):
            mode = stat.S_IMODE(self._modes[inode])
            if stat.S_ISDIR(self._modes[inode]):
                found[prefix + name] = Entry(mode, None)
                self._walk(inode, f"{prefix}{name}/", found)
            else:
                found[prefix + name] = Entry(mode, self._contents.get(inode) or b"")
