"""
Makes the class archive of `make setup`, with which Java starts faster. Where there can be none, says why in one line.
"""

from __future__ import annotations

from traffic_aggr.cli.warm import make_class_archive
from traffic_aggr.config.sections import SparkConfig
from traffic_aggr.errors import TrafficAggrError

if __name__ == "__main__":
    try:
        make_class_archive(SparkConfig())
    except TrafficAggrError as exc:
        print(f"Java will start without a class archive: {exc}")
