"""
Impala: statements sent with retries over secured connections, and what its answers mean.

Start with ``refresh``; ``answers`` is the table of error messages.
"""
