"""
The edge node: locks, the shared status file, mails, metrics, hooks, the log.

Start with ``edge``, which puts them together for a run.
"""
