"""
The client's side of SASL's GSSAPI as a program:
``python -m traffic_aggr.impala.kerberos_exchange SERVICE HOST [PRINCIPAL]``.

Writes a JSON object a line: the first ``answer``, then one for each challenge read, a line of base64 each; ``complete``
is set once the server has proved who it is. What goes wrong is the last line, as ``error`` and the library's ``code``.
It ends with its input.
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
    """Carry out the exchange, in lines on standard input and output."""
    try:
        for line in _lines(service, host, *principal):
            print(json.dumps(line), flush=True)
    except Exception as exc:  # whatever it is, it is the other side that knows what to make of it
        print(json.dumps(_failure(exc)), flush=True)


def _lines(service: str, host: str, *principal: str) -> Iterator[dict[str, Any]]:
    # Authentication alone: what impyla makes of signed and of sealed messages is not what SASL wants; TLS does better.
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
    A GSSError has two (text, code): GSSAPI's, and one of Kerberos itself, which says more unless it says Success.
    """
    told = [each for each in exc.args if isinstance(each, tuple) and len(each) == 2 and each[0] != "Success"]
    if told:
        text, code = told[-1]
        return {"error": str(text), "code": code}
    return {"error": str(exc) or type(exc).__name__, "code": None}


if __name__ == "__main__":
    main(*sys.argv[1:])
