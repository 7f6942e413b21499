"""
The configuration: sections with their keys, checks, and the YAML reader.

The reader finds all problems at once. Start with ``sections``.
"""
