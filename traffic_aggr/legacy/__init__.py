"""
Turns the old job's properties file, read as Bash reads it, into a configuration.

Start with ``properties``.
"""
