"""
Sample tables of a job: what is asked for, and what was created.
"""

from __future__ import annotations

from dataclasses import dataclass

from traffic_aggr.units import counted, data_volume


@dataclass(frozen=True)
class SampleData:
    """
    What was created: raw ``rows`` in ``days`` listed days, ``bytes`` on disk in total, path of the partition list.
    """

    rows: int
    days: int
    bytes: int
    partition_list: str

    def __str__(self) -> str:
        rows = f"{counted(self.rows, 'raw row')} of {counted(self.days, 'day')}"
        return f"{rows}, {data_volume(self.bytes)}; partition list {self.partition_list}"


@dataclass(frozen=True)
class SampleRequest:
    """
    What to create: ``days`` days of raw with ``rows_per_day`` rows each; the same ``seed`` makes the same rows.

    The ``final_format`` is ``parquet``, or ``text``: ``;``-delimited and purged when dropped, as in production.
    """

    days: int
    rows_per_day: int
    seed: int = 1
    final_format: str = "parquet"
