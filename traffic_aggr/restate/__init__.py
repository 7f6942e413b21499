"""
The parts of a run: planning, steps, publishing, recovery, rollback, cleanup, check.

Start reading at ``restatement.run``. ``publish`` and ``swap`` hold everything that can happen to a day's data.
"""
