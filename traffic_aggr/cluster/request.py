"""
What a launcher asks of the driver that it starts in the cluster: a file that is shipped with the application.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Optional

from traffic_aggr.hive.partitions import Partition, PartitionList, SkippedLine
from traffic_aggr.run.command_line import UNKNOWN, CommandLine
from traffic_aggr.run.plan import RunArguments, Step


@dataclass(frozen=True)
class DriverRequest:
    """
    A run for the driver to execute: its id, its arguments, and the command that was ``typed``.

    ``flag`` is that of the status file, which stays with the launcher.
    """

    run_id: str
    ask: RunArguments
    flag: int
    typed: CommandLine = UNKNOWN

    def to_json(self) -> str:
        return json.dumps(
            {
                "run_id": self.run_id,
                "flag": self.flag,
                "typed": asdict(self.typed),
                "from_step": self.ask.from_step and int(self.ask.from_step),
                "partitions": asdict(self.ask.partitions),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> DriverRequest:
        found = json.loads(text)
        listed = found["partitions"]
        partitions = PartitionList(
            partitions=tuple(map(Partition, listed["partitions"])),
            skipped=tuple(SkippedLine(**line) for line in listed["skipped"]),
            repeated=tuple(map(Partition, listed["repeated"])),
            source=listed["source"],
            skipped_total=listed["skipped_total"],
        )
        step: Optional[int] = found["from_step"]
        ask = RunArguments(partitions, Step(step) if step else None)
        return cls(found["run_id"], ask, found["flag"], CommandLine.from_json(found["typed"]))
