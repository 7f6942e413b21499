"""Times as files keep them: ISO 8601 in UTC."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Optional


def utc_now() -> datetime:
    """Returns the current time."""
    return datetime.now(timezone.utc)


def timestamp(time: Optional[datetime] = None, timespec: str = "milliseconds") -> str:
    """Returns ``time``, or the current time, as text in UTC."""
    return (time or utc_now()).astimezone(timezone.utc).isoformat(timespec=timespec)


def parse_timestamp(text: str) -> datetime:
    """Reads ISO 8601, which is in UTC where it names no zone. Raises ValueError."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python before 3.11 does not parse Z
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
