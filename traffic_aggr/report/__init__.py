"""
What people read: the report page and its charts, plans and results as text, and the status.

Start with ``page``.
"""
