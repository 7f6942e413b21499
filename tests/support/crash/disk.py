"""Small disks of their own, which tests can fill up, make read-only, or take away."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


class Disk:
    """A disk in memory at ``path``; skips the test where mounting one is not permitted."""

    def __init__(self, path: Path, mebibytes: int = 8) -> None:
        self.path = path
        self._mounts = 0
        self._filler = path / "filler"
        path.mkdir(parents=True, exist_ok=True)
        self._mount("-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(path))

    def _mount(self, *arguments: str) -> None:
        done = subprocess.run(["mount", *arguments], stderr=subprocess.PIPE, text=True)
        if done.returncode != 0 and self._mounts == 0:
            pytest.skip(f"mounting a disk is not permitted here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        self._mounts += 1

    def fill(self, *, leaving: int = 0) -> None:
        """Leaves so many bytes of space."""
        with self._filler.open("ab", buffering=0) as filler:
            for size in (65536, 1):
                try:
                    while filler.write(b"\0" * size):
                        pass
                except OSError:
                    continue
            filler.truncate(filler.tell() - leaving)

    def make_read_only(self) -> None:
        """By a read-only mount of the same directory over it: a remount would refuse because of open files."""
        self._mount("--bind", str(self.path), str(self.path))
        self._mounts -= 1
        self._mount("-o", "remount,bind,ro", str(self.path))

    def mend(self) -> None:
        """Gives space and the right to write back."""
        while self._mounts > 1:
            self._unmount()
        self._filler.unlink(missing_ok=True)

    def take_away(self) -> None:
        """Leaves an empty directory in its place."""
        while self._mounts:
            self._unmount()

    def _unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)
        self._mounts -= 1
