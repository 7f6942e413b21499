"""The statements that refresh Impala after each step, which `plan` shows and a run sends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from traffic_aggr.hive import sql
from traffic_aggr.hive.partitions import Partition
from traffic_aggr.hive.sql import TableName
from traffic_aggr.run.plan import Step


@dataclass(frozen=True)
class Refreshes:
    """The tables that a run writes. Impala does not know those that it has ``created``, so it has to load them."""

    staging: TableName
    final: TableName
    created: Collection[TableName] = ()

    def after(self, step: Step, *, moved: Sequence[Partition] = (), verify_only: bool = False) -> list[str]:
        """
        Returns the statements to send after ``step``.

        ``moved`` are the days whose partition points to another directory now. A run that ``verify_only`` leaves
        staging alone.
        """
        if step is Step.DROP:
            return self._of(self.final)
        if step is Step.STAGE:
            return self._of(self.staging)
        staging = [] if verify_only else self._of(self.staging)
        return [*staging, *self._of(self.final, moved)]

    def put_back(self, partitions: Sequence[Partition]) -> list[str]:
        """Returns the statements to send after old data was put back: the days' partitions may have moved."""
        return self._of(self.final, partitions)

    def _of(self, table: TableName, moved: Sequence[Partition] = ()) -> list[str]:
        if table in self.created:
            return [sql.invalidate(table)]
        return [sql.refresh(table), *sql.refresh_moved(table, moved)]
