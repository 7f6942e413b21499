"""
Run records on disk, and their copies beside the final table.

Each record is ``state.dir/runs/RUN_ID/run.json``, replaced atomically. The copies survive the loss of the state
directory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Optional

from traffic_aggr.errors import StateError, UnknownRunError
from traffic_aggr.files.local import FileInfo, Files, temporaries
from traffic_aggr.hive.layout import RUN_ROOT, run_directory
from traffic_aggr.run.definition import JobDefinition
from traffic_aggr.run.dependants import PendingDependants
from traffic_aggr.run.record import Outcome, Publication, RunRecord, is_run_id
from traffic_aggr.run.record_json import record_from_json, record_to_json

log = logging.getLogger(__name__)

COPY_NAME = "recovery.json"

REPORT, REPORT_JSON, DAILY_CSV = "report.html", "report.json", "daily.csv"
"""The files beside the record of a run that has ended: the report as a page and as JSON, and its days as CSV."""

INDEX = "index.html"
"""The page of all runs, beside their directories."""

_LOOKED_BACK = 20
_REPORT_FILES = (REPORT, REPORT_JSON, DAILY_CSV)
_RECORD = "run.json"
_STOP = "stop"


class RecordStore:
    """
    The run records of one job, under its state directory.

    ``pending`` are the partitions of other tables that have to follow.
    """

    def __init__(self, directory: str, files: Files, job: JobDefinition) -> None:
        self.job = job
        self.pending = PendingDependants(directory, files)
        self._runs = f"{directory.rstrip('/')}/runs"
        self._files = files

    def directory(self, run_id: str) -> str:
        """Returns the directory that holds the record and the report of one run."""
        return f"{self._runs}/{run_id}"

    def save(self, record: RunRecord) -> None:
        """Replaces the record on disk, durably. Raises StateError."""
        path = f"{self.directory(record.run_id)}/{_RECORD}"
        try:
            self._files.make_directories(self.directory(record.run_id))
            self._files.replace_bytes(path, record_to_json(record).encode())
        except OSError as exc:
            raise StateError(f"cannot write the run record {path} ({exc})", hint="Fix the state directory") from exc

    def write_report(self, run_id: str, files: Mapping[str, str]) -> None:
        """Writes the report's files, given as text by name, beside the record. Raises OSError."""
        for name, text in files.items():
            self._files.replace_bytes(f"{self.directory(run_id)}/{name}", text.encode())

    def write_index(self, page: str) -> None:
        """Writes the page of all runs beside their directories. Raises OSError."""
        self._files.replace_bytes(f"{self._runs}/{INDEX}", page.encode())

    def report_path(self, run_id: str) -> str:
        """Returns the path of the report page."""
        return f"{self.directory(run_id)}/{REPORT}"

    def load(self, run_id: str) -> RunRecord:
        """Raises UnknownRunError when there is no such run, StateError when its record is unreadable or damaged."""
        path = f"{self.directory(run_id)}/{_RECORD}"
        if not is_run_id(run_id):
            raise UnknownRunError(f"{run_id!r} is not a run id", hint="`history` lists the runs")
        try:
            text = self._files.read_bytes(path).decode()
        except FileNotFoundError as exc:
            raise UnknownRunError(f"there is no run {run_id} in {self._runs}", hint="`history` lists the runs") from exc
        except (OSError, UnicodeDecodeError) as exc:
            raise StateError(
                f"cannot read the run record {path} ({exc})", hint="Fix the file or its permissions"
            ) from exc
        return record_from_json(text, path, self.job)

    def run_ids(self) -> list[str]:
        """Returns the ids of all runs, newest first. Raises StateError."""
        try:
            found = self._files.list(self._runs)
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise StateError(f"cannot list {self._runs} ({exc})", hint="Fix its permissions, then try again") from exc
        names = (info.path.rstrip("/").rsplit("/", 1)[-1] for info in found if info.is_directory)
        return sorted(
            (name for name in names if is_run_id(name) and self._files.exists(f"{self._runs}/{name}/{_RECORD}")),
            reverse=True,
        )

    def ask_to_stop(self, run_id: str, signum: int) -> None:
        """Asks the driver of a run, on whatever host, to stop as if it got this signal. Raises StateError."""
        path = f"{self.directory(run_id)}/{_STOP}"
        try:
            self._files.replace_bytes(path, str(signum).encode())
        except OSError as exc:
            raise StateError(f"cannot write {path} ({exc})", hint="Stop the application itself") from exc

    def asked_to_stop(self, run_id: str) -> Optional[int]:
        """Returns the signal passed to ``ask_to_stop`` for a run; None if nobody asked."""
        try:
            return int(self._files.read_bytes(f"{self.directory(run_id)}/{_STOP}"))
        except (OSError, ValueError):
            return None

    def temporaries(self) -> list[FileInfo]:
        """Returns temporary files of records and reports: left by interrupted writers, or about to be renamed."""
        if not self._files.is_directory(self._runs):
            return []
        directories = [info.path for info in self._files.list(self._runs) if info.is_directory]
        places = [(directory, name) for directory in directories for name in (_RECORD, *_REPORT_FILES)]
        return [found for place in (*places, (self._runs, INDEX)) for found in temporaries(self._files, *place)]

    def delete(self, path: str) -> None:
        """Deletes one of the ``temporaries``."""
        self._files.delete_tree(path)

    def newest_first(self) -> Iterator[RunRecord]:
        """Yields the records, newest first, reading one at a time."""
        return map(self.load, self.run_ids())

    def unsettled(self) -> list[RunRecord]:
        """
        Returns the runs that have not ended or may have left partitions half-changed, newest first.

        To the holder of the lock, these are interrupted runs; without the lock, one of them may still be running. A run
        settles all older ones before it changes anything, so the search ends at the first that has done so.
        """
        found = []
        for record in self.newest_first():
            if record.outcome is Outcome.RUNNING or not record.publication.settled:
                found.append(record)
            if record.settled_earlier_runs:
                break
        return found

    def last_worked(self) -> Optional[RunRecord]:
        """Returns the newest run that began a step or changed the table. Refused runs leave nothing to resume."""
        return next(
            (
                each
                for each in self.newest_first()
                if each.command == "run" and (each.steps or each.publication is not Publication.UNTOUCHED)
            ),
            None,
        )

    def run_before(self, record: RunRecord) -> Optional[str]:
        """
        Returns the id of the last of the twenty runs before ``record`` that changed one of its partitions.

        None as well if their records cannot be read: only a link in a report depends on them.
        """
        try:
            earlier = [run_id for run_id in self.run_ids() if run_id < record.run_id]
            runs = map(self.load, earlier[:_LOOKED_BACK])
            changed = (each for each in runs if each.publication is not Publication.UNTOUCHED)
            return next((each.run_id for each in changed if each.days.keys() & record.days.keys()), None)
        except (StateError, UnknownRunError):
            return None

    def last(self) -> Optional[RunRecord]:
        return next(self.newest_first(), None)


def _copy_path(table_root: str, run_id: str) -> str:
    return f"{run_directory(table_root, run_id)}/{COPY_NAME}"


def copy_beside_table(record: RunRecord, files: Files) -> None:
    """Writes the record into the run's directory beside the final table, durably. Raises StateError."""
    if record.final_root is None:
        return
    path = _copy_path(record.final_root, record.run_id)
    try:
        files.make_directories(run_directory(record.final_root, record.run_id), record.final_root)
        files.replace_bytes(path, record_to_json(record).encode())
    except OSError as exc:
        raise StateError(f"cannot write {path} ({exc})", hint="Fix the table's directory") from exc


def remove_misleading_copy(record: RunRecord, files: Files) -> None:
    """
    Removes a copy that could not be replaced, and that says wrongly whether the run is settled.

    A copy that still says so would end the settling of half-restored days. One that does not would repeat it.
    """
    if record.final_root is None:
        return
    path = _copy_path(record.final_root, record.run_id)
    try:
        copy = _read_copy(files, path, record.job) if files.exists(path) else None
        if record.publication.settled or (copy is not None and copy.publication.settled):
            files.delete_tree(path)
    except (OSError, StateError) as exc:
        log.warning("cannot remove %s, which is out of date (%s)", path, exc)


def adopt_copies(store: RecordStore, files: Files, table_root: str) -> None:
    """
    Adopts runs of a lost or another state directory from their copies beside the table. Raises StateError.

    A run that only the copy knows is adopted if it is unsettled, so that it gets settled. If the store has a run as
    unsettled and the copy has it as settled, another state directory settled it and the copy wins. This relies on the
    copy being written before any change that the record announces.
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
        copy = _read_copy(files, path, store.job)
        if own is None and not copy.publication.settled:
            store.save(copy)
        elif own is not None and copy.publication.settled:
            own.take_place_of(copy)
            store.save(own)


def _read_copy(files: Files, path: str, job: JobDefinition) -> RunRecord:
    try:
        return record_from_json(files.read_bytes(path).decode(), path, job)
    except (OSError, UnicodeDecodeError) as exc:
        raise StateError(
            f"cannot read the copy of a run record {path} ({exc})", hint="Fix the file or its permissions"
        ) from exc
