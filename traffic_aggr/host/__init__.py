"""
The edge node: locks, the shared status file, mail, metrics, hooks and the log.

Start with ``edge``, which combines them for a run.
"""
