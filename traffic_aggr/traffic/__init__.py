"""
The traffic job: its definition, its tables' columns, the aggregation, and sample data.

Every rule about the numbers is here. Start with ``job``.
"""
