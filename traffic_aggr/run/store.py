"""
Run records on disk: ``state.dir/runs/RUN_ID/run.json``, replaced atomically, newest found first; and their
copies beside the final table, which survive the loss of the state directory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Optional

from traffic_aggr.errors import StateError, UnknownRunError
from traffic_aggr.files.local import FileInfo, Files, temporaries
from traffic_aggr.hive.layout import RUN_ROOT, run_directory
from traffic_aggr.run.record import Outcome, Publication, RunRecord, is_run_id

log = logging.getLogger(__name__)

COPY_NAME = "recovery.json"

REPORT, REPORT_JSON, DAILY_CSV = "report.html", "report.json", "daily.csv"
"""What lies beside a run's record once it has ended: a page, the same as a document, and its days as a table."""

_REPORT_FILES = (REPORT, REPORT_JSON, DAILY_CSV)
_RECORD = "run.json"
_STOP = "stop"


class RecordStore:
    """The run records under one state directory."""

    def __init__(self, directory: str, files: Files) -> None:
        self._runs = f"{directory.rstrip('/')}/runs"
        self._files = files

    def directory(self, run_id: str) -> str:
        """Where the files of one run lie: its record and its report."""
        return f"{self._runs}/{run_id}"

    def save(self, record: RunRecord) -> None:
        """Replaces the record on disk; it is durable when this returns. Raises StateError."""
        path = f"{self.directory(record.run_id)}/{_RECORD}"
        try:
            self._files.make_directories(self.directory(record.run_id))
            self._files.replace_bytes(path, record.to_json().encode())
        except OSError as exc:
            raise StateError(f"cannot write the run record {path} ({exc})", hint="Fix the state directory") from exc

    def write_report(self, run_id: str, files: Mapping[str, str]) -> None:
        """Puts the report's files, text by name, beside the record. Raises OSError."""
        for name, text in files.items():
            self._files.replace_bytes(f"{self.directory(run_id)}/{name}", text.encode())

    def report_path(self, run_id: str) -> str:
        """Where the page is."""
        return f"{self.directory(run_id)}/{REPORT}"

    def load(self, run_id: str) -> RunRecord:
        """Raises UnknownRunError when there is no such run, StateError when its record is damaged."""
        path = f"{self.directory(run_id)}/{_RECORD}"
        if not is_run_id(run_id):
            raise UnknownRunError(f"{run_id!r} is not a run id", hint="`history` lists the runs")
        try:
            text = self._files.read_bytes(path).decode()
        except FileNotFoundError as exc:
            raise UnknownRunError(f"there is no run {run_id} in {self._runs}", hint="`history` lists the runs") from exc
        except (OSError, UnicodeDecodeError) as exc:
            raise StateError(f"cannot read the run record {path} ({exc})", hint="Mend the file or its rights") from exc
        return RunRecord.from_json(text, path)

    def run_ids(self) -> list[str]:
        """All runs, newest first."""
        try:
            found = self._files.list(self._runs)
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise StateError(f"cannot list {self._runs} ({exc})", hint="Mend its rights, then try again") from exc
        names = (info.path.rstrip("/").rsplit("/", 1)[-1] for info in found if info.is_directory)
        return sorted(
            (name for name in names if is_run_id(name) and self._files.exists(f"{self._runs}/{name}/{_RECORD}")),
            reverse=True,
        )

    def ask_to_stop(self, run_id: str, signum: int) -> None:
        """Leaves word for the driver of a run, on whatever host it is, that it shall stop as by this signal."""
        path = f"{self.directory(run_id)}/{_STOP}"
        try:
            self._files.replace_bytes(path, str(signum).encode())
        except OSError as exc:
            raise StateError(f"cannot write {path} ({exc})", hint="Stop the application itself") from exc

    def asked_to_stop(self, run_id: str) -> Optional[int]:
        """The signal that the driver of a run shall stop as by; None as long as nobody asked."""
        try:
            return int(self._files.read_bytes(f"{self.directory(run_id)}/{_STOP}"))
        except (OSError, ValueError):
            return None

    def temporaries(self) -> list[FileInfo]:
        """What writers that died have left beside records and reports, or are about to rename."""
        if not self._files.is_directory(self._runs):
            return []
        directories = [info.path for info in self._files.list(self._runs) if info.is_directory]
        return [
            found
            for directory in directories
            for name in (_RECORD, *_REPORT_FILES)
            for found in temporaries(self._files, directory, name)
        ]

    def delete(self, path: str) -> None:
        """Deletes one of ``temporaries``."""
        self._files.delete_tree(path)

    def newest_first(self) -> Iterator[RunRecord]:
        """The records, newest first, read one at a time."""
        return map(self.load, self.run_ids())

    def unsettled(self) -> list[RunRecord]:
        """
        Runs that died, or may have left partitions half-changed, newest first; for the holder of the lock.

        A run settles all older ones before it changes anything, so the search ends at the first that did.
        """
        found = []
        for record in self.newest_first():
            if record.outcome is Outcome.RUNNING or not record.publication.settled:
                found.append(record)
            if record.settled_earlier_runs:
                break
        return found

    def last_worked(self) -> Optional[RunRecord]:
        """The newest run that began a step or changed the table; refused ones left nothing to resume."""
        return next(
            (
                each
                for each in self.newest_first()
                if each.command == "run" and (each.steps or each.publication is not Publication.UNTOUCHED)
            ),
            None,
        )

    def last(self) -> Optional[RunRecord]:
        return next(self.newest_first(), None)


def _copy_path(table_root: str, run_id: str) -> str:
    return f"{run_directory(table_root, run_id)}/{COPY_NAME}"


def copy_beside_table(record: RunRecord, files: Files) -> None:
    """Writes the record into the run's directory beside the final table; durable when this returns."""
    if record.final_root is None:
        return
    path = _copy_path(record.final_root, record.run_id)
    try:
        files.make_directories(run_directory(record.final_root, record.run_id), record.final_root)
        files.replace_bytes(path, record.to_json().encode())
    except OSError as exc:
        raise StateError(f"cannot write {path} ({exc})", hint="Fix the table's directory") from exc


def remove_copy(record: RunRecord, files: Files) -> None:
    """Removes the copy of a settled run that could not be rewritten: an older one would have it settled again."""
    if record.final_root is None:
        return
    path = _copy_path(record.final_root, record.run_id)
    try:
        files.delete_tree(path)
    except OSError as exc:
        log.warning("cannot remove %s, which is out of date (%s)", path, exc)


def adopt_copies(store: RecordStore, files: Files, table_root: str) -> None:
    """
    Takes over, from their copies beside the table, runs of a lost or another state directory.

    An unsettled run that the store lacks is one to settle. One that the store has as unsettled, and the copy
    as settled, was settled from elsewhere: the copy is written before any change that the record announces.
    """
    try:
        found = files.list(f"{table_root}/{RUN_ROOT}")
    except FileNotFoundError:
        return
    known = set(store.run_ids())
    for info in found:
        run_id = info.path.rstrip("/").rsplit("/", 1)[-1]
        path = _copy_path(table_root, run_id)
        if not is_run_id(run_id) or not files.exists(path):
            continue
        own = store.load(run_id) if run_id in known else None
        if own is not None and own.publication.settled:
            continue
        copy = _read_copy(files, path)
        if own is None and not copy.publication.settled:
            store.save(copy)
        elif own is not None and copy.publication.settled:
            own.publication, own.days = copy.publication, copy.days
            store.save(own)


def _read_copy(files: Files, path: str) -> RunRecord:
    try:
        return RunRecord.from_json(files.read_bytes(path).decode(), path)
    except (OSError, UnicodeDecodeError) as exc:
        raise StateError(
            f"cannot read the copy of a run record {path} ({exc})", hint="Mend the file or its rights"
        ) from exc
