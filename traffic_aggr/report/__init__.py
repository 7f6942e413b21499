"""
What people read: the report page and its charts, the plan and the result as text, the status.

Start with ``page``.
"""
