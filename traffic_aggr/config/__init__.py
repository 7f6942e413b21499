"""
The configuration: sections with every key, checks, and the YAML reader that finds all problems at once.

Start with ``sections``.
"""
