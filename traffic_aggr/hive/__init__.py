"""
Tables in the Hive metastore: partitions, formats, promises, the files that Spark reads, and SQL text.

Start with ``catalog``. Imports ``files`` and ``traffic``.
"""
