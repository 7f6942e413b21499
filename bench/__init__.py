"""The job timed beside what else would do the same work: ``python -m bench``, or ``make bench``."""
