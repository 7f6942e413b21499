"""
Queries and kills applications through YARN's resource manager.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Optional

from py4j.protocol import Py4JError, Py4JJavaError

from traffic_aggr.errors import StateError
from traffic_aggr.spark.errors import java_says

_CONTAINER = re.compile(r"container_(?:e\d+_)?(\d+_\d+)_(\d+)_\d+")
_ENDED = ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True)
class Application:
    """An application. ``state`` is a YarnApplicationState, ``diagnostics`` YARN's account of its end on one line."""

    id: str
    state: str
    final_status: str
    diagnostics: str
    tracking_url: str

    @property
    def ended(self) -> bool:
        return self.state in _ENDED


def container(environ: Mapping[str, str]) -> Optional[tuple[str, int]]:
    """Returns the application id and attempt number of the container with this environment; None outside one."""
    match = _CONTAINER.fullmatch(environ.get("CONTAINER_ID", ""))
    return (f"application_{match[1]}", int(match[2])) if match else None


class Applications:
    """The resource manager; ``jvm`` is py4j's view, ``hadoop_conf`` a Configuration. Calls may raise StateError."""

    def __init__(self, jvm: Any, hadoop_conf: Any) -> None:
        self._jvm = jvm
        self._records = jvm.org.apache.hadoop.yarn.api.records
        self._client = jvm.org.apache.hadoop.yarn.client.api.YarnClient.createYarnClient()
        self._client.init(hadoop_conf)
        self._client.start()

    def find(self, application_id: str) -> Optional[Application]:
        """Returns the application, or None when the resource manager does not know it (any more)."""
        try:
            with _translated():
                return _application(self._client.getApplicationReport(self._id(application_id)))
        except LookupError:
            return None

    def runs(self, application_id: str) -> bool:
        """Whether the resource manager knows the application and it has not ended."""
        found = self.find(application_id)
        return found is not None and not found.ended

    def tagged(self, tag: str) -> Optional[Application]:
        """Returns an application with the tag, or None when there is none yet."""
        request = self._jvm.org.apache.hadoop.yarn.api.protocolrecords.GetApplicationsRequest.newInstance()
        tags = self._jvm.java.util.HashSet()
        tags.add(tag.lower())
        request.setApplicationTags(tags)
        with _translated():
            found = self._client.getApplications(request)
            return _application(found.get(0)) if found.size() else None

    def kill(self, application_id: str) -> None:
        """Kills the application; returns once YARN has killed it."""
        with _translated():
            self._client.killApplication(self._id(application_id))

    def _id(self, application_id: str) -> Any:
        return self._records.ApplicationId.fromString(application_id)


def _application(report: Any) -> Application:
    return Application(
        id=str(report.getApplicationId().toString()),
        state=str(report.getYarnApplicationState().name()),
        final_status=str(report.getFinalApplicationStatus().name()),
        diagnostics=" ".join(str(report.getDiagnostics() or "").split()),
        tracking_url=str(report.getTrackingUrl() or ""),
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Turns Java's errors into LookupError for an unknown application and StateError for anything else."""
    try:
        yield
    except Py4JJavaError as exc:
        java = exc.java_exception
        if java.getClass().getSimpleName() == "ApplicationNotFoundException":
            raise LookupError(str(java.getMessage())) from exc
        message = java_says(java)
        raise StateError(f"YARN's resource manager: {message}", hint="Check that it runs, and HADOOP_CONF_DIR") from exc
    except Py4JError as exc:
        raise StateError(f"YARN's resource manager cannot be asked: {exc}") from exc
