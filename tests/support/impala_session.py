"""Statements in a session of impyla's."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Optional

from impala.dbapi import connect

from devtools.impala_double import ImpalaDouble


def run(double: ImpalaDouble, *statements: str, options: Optional[dict[str, str]] = None, **auth: Any) -> Any:
    """Execute statements in one impyla session; the rows of the last, None where it has none."""
    connection = connect(double.host, double.port, timeout=30, retries=1, **auth)
    with closing(connection), closing(connection.cursor()) as cursor:
        for statement in statements:
            cursor.execute(statement, configuration=options)
        return cursor.fetchall() if cursor.has_result_set else None
