"""
What is computed: the columns of the tables, the aggregation, and the sums that prove it.

A rule of the numbers lives here and nowhere else. Start with ``aggregation``. Imports no other room.
"""
