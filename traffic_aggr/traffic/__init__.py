"""
The computation: the tables' columns, the aggregation, and the control totals that prove it.

Every rule about the numbers is here. Start with ``aggregation``. Imports no other subpackage.
"""
