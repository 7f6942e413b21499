"""
Points of a run that programs wait for in the log. Each is a message for people and, in the log's JSON form, fields.
"""

from __future__ import annotations

import logging
from enum import Enum
from typing import Any


class Event(Enum):
    """The names of events, as the JSON form has them under ``event``; docs/files.md ("Logs") has their fields."""

    RUN_STARTED = "run_started"
    PLANNED = "planned"
    STEP_STARTED = "step_started"
    STEP_ENDED = "step_ended"
    PARTITION_ENDED = "partition_ended"
    RUN_ENDED = "run_ended"


def tell(log: logging.Logger, event: Event, message: str, *, quiet: bool = False, **fields: Any) -> None:
    """Logs an event. A ``quiet`` one does not go to a terminal, where the command's result says the same."""
    log.info("%s", message, extra={"event": event, "fields": fields, "quiet": quiet})
