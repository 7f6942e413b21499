"""
Publishes by pointing partitions at their new directories. No file moves, and no reader finds a day missing.

Existing partitions change in one metastore request, all or none. Days that the table lacks are added, and days without
new rows are dropped. Old data stays where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from traffic_aggr.hive.layout import Placement, normal
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.restate.publish import POINT, Publisher
from traffic_aggr.run.record import Day, Publication, RunRecord
from traffic_aggr.units import counted


class SwapPublisher(Publisher):
    """Changes where the partitions of one table point, under a run record."""

    def published_location(self, day: Day) -> Optional[str]:
        return day.new

    def _go_forward(self, record: RunRecord) -> None:
        self._point(record, self._new_placements(record))
        self._drop_unwanted(record, [each for each, day in record.days.items() if day.new is None])
        self._verify(record, {each: day.new for each, day in record.days.items()})
        self._enter(record, Publication.PUBLISHED)

    def restore(self, record: RunRecord) -> None:
        """Points the record's days back to where they were before the run."""
        self._complete(record)
        self._enter(record, Publication.RESTORING)
        before = self._old_placements(record)
        self._point(record, before)
        self._give_back(record, before)
        self._drop_unwanted(record, [each for each, day in record.days.items() if day.before is None])
        self._verify(record, {each: day.before.location if day.before else None for each, day in record.days.items()})
        self._leave_restored(record)

    def _all_new_data_is_there(self, record: RunRecord) -> bool:
        return all(day.new is None or self._files.is_directory(day.new) for day in record.days.values())

    def _point(self, record: RunRecord, placements: Mapping[Partition, Placement]) -> None:
        present = self._table.partitions(placements)
        moving = {
            each: where
            for each, where in placements.items()
            if each in present and present[each].location != normal(where.location)
        }
        if moving:
            what = f"{POINT} to other directories ({counted(len(moving), 'partition')})"
            self._request(record, what, lambda: self._table.point(moving))
        self._add(record, placements)

    def _drop_unwanted(self, record: RunRecord, partitions: list[Partition]) -> None:
        present = self._table.partitions(partitions)
        self._drop(record, [each for each in partitions if each in present])
