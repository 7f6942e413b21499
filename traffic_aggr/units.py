"""Formats numbers, counts and times for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Union

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 day``, ``1,200 files``, ``0 directories``; ``plural`` defaults to ``noun`` plus ``s``."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def listed(many: str, parts: Mapping[str, int]) -> str:
    """``3 days listed: 2 restated, 1 kept``; ``parts`` has their numbers by outcome, zeros are left out."""
    ways = ", ".join(f"{count:,} {way}" for way, count in parts.items() if count)
    return f"{many} listed{f': {ways}' if ways else ''}"


def data_volume(count: int) -> str:
    """A number of bytes in the largest binary unit that gives at least 1: ``1.4 TiB``."""
    value = float(count)
    for unit in _UNITS:
        if abs(value) < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return counted(count, "byte") if unit == "bytes" else f"{value:.1f} {unit}"


def minutes(seconds: int) -> str:
    """``1,234 min``."""
    return f"{seconds / 60:,.0f} min"


def percent_change(before: Union[int, Decimal], after: Union[int, Decimal]) -> str:
    """``+7.3 %``; empty when ``before`` is 0."""
    return f"{(after - before) * 100 / before:+.1f} %" if before else ""


def duration(seconds: float) -> str:
    """Seconds as ``4.2 s``, ``3 min 05 s`` or ``1 h 12 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def local_time(time: Union[str, datetime]) -> str:
    """
    A time in this host's zone, with the zone: ``2021-05-04 07:32:00 UTC+05:30``.

    The status file and the log use the same zone. A string is parsed as ISO 8601, and returned unchanged if it is not.
    A time without a zone is taken as local.
    """
    try:
        # Python before 3.11 does not parse Z.
        found = datetime.fromisoformat(time.replace("Z", "+00:00")) if isinstance(time, str) else time
    except ValueError:
        return str(time)
    local = found.astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S} {_zone(local)}"


def local_zone() -> str:
    """This host's current zone: ``UTC+05:30``."""
    return _zone(datetime.now().astimezone())


def _zone(local: datetime) -> str:
    # The offset, because an abbreviation such as IST names several zones.
    return str(timezone(local.utcoffset() or timedelta()))
