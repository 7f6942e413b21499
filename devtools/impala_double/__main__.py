"""
Runs a coordinator in a process of its own, until Ctrl-C.

    python -m devtools.impala_double --metastore HOST:PORT [--port N]
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

from devtools.impala_double.command_line import keywords, parsed
from devtools.impala_double.server import ImpalaDouble


def main() -> None:
    """Serves until SIGINT or SIGTERM. The first line printed is the address."""
    options = parsed(sys.argv[1:])
    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    with tempfile.TemporaryDirectory() as copies, ImpalaDouble(**keywords(options, Path(copies))) as double:
        print(double, flush=True)
        signal.sigwait(stop)


if __name__ == "__main__":
    main()
