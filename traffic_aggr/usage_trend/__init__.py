"""
The usage trend job: months of usage by customer, country and call type, from the days of the adhoc table.

Start with ``job``.
"""
