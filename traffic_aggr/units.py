"""Numbers as people read them."""

from __future__ import annotations

_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 day``, ``1,200 files``, ``0 directories``; ``plural`` where it is not the noun with an ``s``."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def data_volume(count: int) -> str:
    """Bytes in the largest unit (of 1024) that leaves a number of one or more: ``1.4 TB``."""
    value = float(count)
    for unit in _UNITS:
        if abs(value) < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


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
