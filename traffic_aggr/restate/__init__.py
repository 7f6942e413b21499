"""
What makes a run happen: preflight, the steps, publishing, recovery, rollback, cleanup, check.

Start with ``restatement.run``. What can happen to a day is in ``publish`` and ``swap``.
"""
