"""
The client side of a SASL GSSAPI exchange, as a program:
``python -m traffic_aggr.impala.kerberos_exchange SERVICE HOST [PRINCIPAL]``.

Reads challenges from standard input, one a line. Writes one JSON object a line: the first ``answer``, then one for each
challenge. Challenges and answers are base64. ``complete`` is true once the server has proved its identity. After a
failure the last line has ``error`` and the library's ``code``. The program ends at the end of its input.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from typing import Any

from puresasl import QOP
from puresasl.client import SASLClient


def main(service: str, host: str, *principal: str) -> None:
    """Runs the exchange over standard input and output."""
    try:
        for line in _lines(service, host, *principal):
            print(json.dumps(line), flush=True)
    except Exception as exc:  # the parent process decides what any error means
        print(json.dumps(_failure(exc)), flush=True)


def _lines(service: str, host: str, *principal: str) -> Iterator[dict[str, Any]]:
    # Authentication only: impyla does not sign or seal messages as SASL requires, and TLS protects them better.
    client = SASLClient(host, service, mechanism="GSSAPI", qops=[QOP.AUTH], principal=next(iter(principal), None))
    answer = client.process()
    while True:
        yield {"answer": base64.b64encode(answer).decode("ascii"), "complete": client.complete}
        challenge = sys.stdin.readline()
        if not challenge:
            return
        answer = client.process(base64.b64decode(challenge))


def _failure(exc: Exception) -> dict[str, Any]:
    """
    Returns the last line of a failed exchange.

    A GSSError holds two (text, code) pairs: GSSAPI's, then Kerberos's own, which says more unless it says Success.
    """
    told = [each for each in exc.args if isinstance(each, tuple) and len(each) == 2 and each[0] != "Success"]
    if told:
        text, code = told[-1]
        return {"error": str(text), "code": code}
    return {"error": str(exc) or type(exc).__name__, "code": None}


if __name__ == "__main__":
    main(*sys.argv[1:])
