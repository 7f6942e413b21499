"""Numbers, counts and times as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Union

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 day``, ``1,200 files``, ``0 directories``; ``plural`` where it is not the noun with an ``s``."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def listed(days: int, parts: Mapping[str, int]) -> str:
    """``3 days listed: 2 restated, 1 kept``, from how many went each way; a way that none went is left out."""
    ways = ", ".join(f"{count:,} {way}" for way, count in parts.items() if count)
    return f"{counted(days, 'day')} listed{f': {ways}' if ways else ''}"


def data_volume(count: int) -> str:
    """Bytes in the largest unit (of 1024) that leaves a number of one or more: ``1.4 TiB``."""
    value = float(count)
    for unit in _UNITS:
        if abs(value) < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return counted(count, "byte") if unit == "bytes" else f"{value:.1f} {unit}"


def percent_change(before: int, after: int) -> str:
    """``+7.3 %``; empty where there was nothing before."""
    return f"{(after - before) * 100 / before:+.1f} %" if before else ""


def duration(seconds: float) -> str:
    """``4.2 s``, ``3 min 05 s``, ``1 h 12 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def local_time(time: Union[str, datetime]) -> str:
    """
    A time in this host's zone, as the status file and the log have theirs, and the zone: ``2021-05-04 07:32:00
    UTC+05:30``. Text is ISO 8601, or stays as it is; a time without a zone is local.
    """
    try:
        # Python before 3.11 knows no Z.
        found = datetime.fromisoformat(time.replace("Z", "+00:00")) if isinstance(time, str) else time
    except ValueError:
        return str(time)
    local = found.astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S} {_zone(local)}"


def local_zone() -> str:
    """This host's zone at present: ``UTC+05:30``."""
    return _zone(datetime.now().astimezone())


def _zone(local: datetime) -> str:
    # Its offset, since abbreviations such as IST are of several zones.
    return str(timezone(local.utcoffset() or timedelta()))
