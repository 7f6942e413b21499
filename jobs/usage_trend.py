"""
The same program with the configuration of the usage trend, unless ``--config`` or $TRAFFIC_AGGR_CONFIG names another.
"""

import os
from pathlib import Path

from traffic_adhoc_aggr import start

if __name__ == "__main__":
    config = Path(__file__).resolve().parent.parent / "conf" / "usage_trend.yaml"
    os.environ.setdefault("TRAFFIC_AGGR_CONFIG", str(config))
    start()
