"""
What a launcher asks of the driver that it starts in the cluster: a file that is shipped with the application.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Optional

from traffic_aggr.hive.partitions import PartitionColumn, PartitionList, SkippedLine
from traffic_aggr.run.command_line import UNKNOWN, CommandLine
from traffic_aggr.run.dependants import Dependant
from traffic_aggr.run.plan import RunArguments, Step


@dataclass(frozen=True)
class DriverRequest:
    """
    A run for the driver to execute: its id, its arguments, and the command that was ``typed``.

    ``flag`` is that of the status file, which stays with the launcher. ``caused_by`` is the run of other days that this
    one follows, ``dependants`` are what follows this one.
    """

    run_id: str
    ask: RunArguments
    flag: int
    typed: CommandLine = UNKNOWN
    caused_by: Optional[str] = None
    dependants: tuple[Dependant, ...] = ()

    def to_json(self) -> str:
        return json.dumps(
            {
                "run_id": self.run_id,
                "flag": self.flag,
                "typed": asdict(self.typed),
                "from_step": self.ask.from_step and int(self.ask.from_step),
                "partitions": asdict(self.ask.partitions),
                "caused_by": self.caused_by,
                "dependants": [asdict(each) for each in self.dependants],
            }
        )

    @classmethod
    def from_json(cls, text: str, column: PartitionColumn) -> DriverRequest:
        """Returns the request; ``column`` is the partition column of the job."""
        found = json.loads(text)
        listed = found["partitions"]
        partitions = PartitionList(
            partitions=tuple(map(column.partition, listed["partitions"])),
            skipped=tuple(SkippedLine(**line) for line in listed["skipped"]),
            repeated=tuple(map(column.partition, listed["repeated"])),
            source=listed["source"],
            skipped_total=listed["skipped_total"],
        )
        step: Optional[int] = found["from_step"]
        ask = RunArguments(partitions, Step(step) if step else None)
        dependants = tuple(
            Dependant(each["table"], PartitionColumn(**each["partition"]), each["config"])
            for each in found["dependants"]
        )
        typed = CommandLine.from_json(found["typed"])
        return cls(found["run_id"], ask, found["flag"], typed, found["caused_by"], dependants)
