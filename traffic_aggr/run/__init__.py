"""
What a run is, as data: its plan, its record, the control totals and their comparison, what it leaves behind.

Knows neither Spark nor Impala, so everything here is tested without them. Start with ``plan``, then ``record``.
"""
