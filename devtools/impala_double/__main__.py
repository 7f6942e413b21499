"""
``python -m devtools.impala_double --metastore HOST:PORT [--port N]``: a coordinator in its own process, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal

from devtools.impala_double.metastore_catalog import ThriftMetastoreCatalog
from devtools.impala_double.server import ImpalaDouble


def main() -> None:
    """Serve until SIGINT or SIGTERM; the first line printed is the address."""
    parser = argparse.ArgumentParser(prog="python -m devtools.impala_double", description=__doc__)
    parser.add_argument("--metastore", required=True, metavar="HOST:PORT", help="Hive metastore server to ask")
    parser.add_argument("--port", type=int, default=21050, help="port on the loopback interface; 0 takes a free one")
    arguments = parser.parse_args()
    host, _, port = arguments.metastore.rpartition(":")
    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    with ImpalaDouble(ThriftMetastoreCatalog(host, int(port)), port=arguments.port) as double:
        print(double, flush=True)
        signal.sigwait(stop)


if __name__ == "__main__":
    main()
