"""
The command line.

Start with ``main``. Whatever needs Spark is imported by the commands that need it.
"""
