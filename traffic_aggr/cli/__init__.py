"""
The command line.

Start with ``main``. Only the commands that need Spark import it.
"""
