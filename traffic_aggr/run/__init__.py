"""
A run as plain data: its plan, record, control totals and their reconciliation, and leftovers.

Imports neither Spark nor Impala, so tests need neither. Start with ``plan``, then ``record``.
"""
