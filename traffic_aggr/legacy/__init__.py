"""
The properties file of the old job, read as Bash reads it, and what became of each key.

Start with ``properties``.
"""
