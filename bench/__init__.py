"""Times the job beside other ways to do the same work: ``python -m bench``, or ``make bench``."""
